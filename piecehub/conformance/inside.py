"""What the validator's fresh process runs, with results that JSON carries."""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from piecehub.conformance.archive_rules import archive_finding
from piecehub.conformance.common_apis import Declared, apis_hold
from piecehub.conformance.described import describe, interface, traces
from piecehub.conformance.documentation_rules import check_documentation, page_faults
from piecehub.conformance.dynamic import DYNAMIC_COUNT, crashed, dynamic_findings, not_made, unfinished
from piecehub.conformance.graph import read_graph
from piecehub.conformance.page import Fault, parse
from piecehub.conformance.progress import Clock
from piecehub.conformance.static import STATIC_COUNT, hinders_loading, is_for_serving_only, static_findings
from piecehub.conformance.xla import xla_finding
from piecehub.facts.conformance_report import Finding
from piecehub.facts.heap import give_back


def findings(
    folder: Path, documentation: str = "", archive: Path | None = None, begun: Callable[[str], object] = lambda _: None
) -> list[Finding]:
    """Static findings, then dynamic ones; these are not made if a static check tells that it had better not be loaded.

    Args:
        folder: of the SavedModel.
        documentation: the text of its model page, which X1 and X4 then look at; empty where there is none.
        archive: the archive that it came in, which X3 then looks at instead of one of our own.
        begun: is told the number of each check before it is made.
    """
    static = static_findings(folder, begun)
    if because := hinders_loading(static):
        return _joined(static, not_made(because), documentation, folder)
    dynamic = dynamic_findings(folder, documentation, begun)
    begun("D19")
    give_back()  # the model, which another process loads now
    dynamic.append(xla_finding(folder))
    if archive is not None:
        dynamic = [archive_finding(archive) if found.check == "X3" else found for found in dynamic]
    return _joined(static, dynamic, documentation, folder)


def all_findings(folder: str, documentation: str, archive: str) -> dict[str, Any]:
    """`findings` as plain JSON, how long each took, and whether the model can be served; an empty `archive` is none."""
    gc.freeze()  # what was imported is no garbage, and large models have it looked for after each check
    clock = Clock(STATIC_COUNT + DYNAMIC_COUNT)
    found = findings(Path(folder), documentation, Path(archive) if archive else None, clock)
    return _answer(Path(folder), found, clock)


def findings_without_loading(folder: str, documentation: str, because: str) -> dict[str, Any]:
    """The static findings as plain JSON; dynamic ones could not be made, as the sentence `because` says."""
    clock = Clock()
    static = static_findings(Path(folder), clock)
    hindered = hinders_loading(static)
    unmade = not_made(hindered) if hindered else [replace(f, sentence=because) for f in not_made("")]
    return _answer(Path(folder), _joined(static, unmade, documentation, Path(folder)), clock)


def glance(folder: str, documentation: str) -> dict[str, Any]:
    """What costs seconds, as plain JSON: static checks that fall short, the interface, and what is wrong with a page.

    Without a page (empty) nothing is wrong with it.
    """
    static = static_findings(Path(folder))
    found = None if _is_damaged(static) else interface(Path(folder))
    faults = _page_faults(Path(folder), documentation, found is not None) if documentation else []
    return {
        "findings": [asdict(f) for f in static if f.level == "fail" and f.passed is False],
        "interface": found and asdict(found),
        "serves": not _is_damaged(static) and is_for_serving_only(read_graph(Path(folder)), static),
        "faults": [asdict(fault) for fault in faults],
    }


def _page_faults(folder: Path, documentation: str, callable_: bool) -> list[Fault]:
    """What is wrong with a page, and what its task asks of the model's inputs and outputs."""
    faults = page_faults(documentation, describe(folder) if callable_ else None)
    first = traces(read_graph(folder))[0] if callable_ else None
    if first is None:
        return faults
    trainable = describe(folder).trainable_variables
    declared = apis_hold(Declared(documentation, first.inputs, lambda: first.outputs, trainable))
    if declared.passed is False:
        faults.append(Fault(parse(documentation).lines["task"], declared.sentence))
    return faults


def findings_after_end(folder: str, ended: dict[str, str], beyond: dict[str, str]) -> dict[str, Any]:
    """The findings of a model whose checks did not come to an end, as plain JSON.

    Args:
        folder: of the SavedModel.
        ended: sentences by the numbers of the checks that the process crashed in: of a static one that is its finding,
            of any other it is what D1 says.
        beyond: the same of checks that went beyond a limit, which says nothing against the model.
    """
    clock = Clock()
    static = static_findings(Path(folder), clock, ended, beyond)
    hindered = hinders_loading(static) or next((check for check in (*ended, *beyond) if check.startswith("S")), "")
    found = _joined(static, not_made(hindered) if hindered else _after_end(ended, beyond))
    return {"findings": [asdict(f) for f in found], "serves": False, "seconds": clock.seconds()}


def _after_end(ended: Mapping[str, str], beyond: Mapping[str, str]) -> list[Finding]:
    """Dynamic findings where no static check hinders loading."""
    if ended:
        return crashed(next(iter(ended.values())))
    return unfinished(*next(iter(beyond.items())))


def _answer(folder: Path, found: list[Finding], clock: Clock) -> dict[str, Any]:
    serves = not _is_damaged(found) and is_for_serving_only(read_graph(folder), found)
    return {"findings": [asdict(f) for f in found], "serves": serves, "seconds": clock.seconds()}


def _is_damaged(found: Sequence[Finding]) -> bool:
    """Whether the graph could not be read, so that nothing else could be looked at."""
    return any(finding.check == "S2" and finding.passed is None for finding in found)


def _joined(
    static: Sequence[Finding], dynamic: Sequence[Finding], documentation: str = "", folder: Path | None = None
) -> list[Finding]:
    """All in order, one finding a number: that a signature serves the same numbers says more than that it is there."""
    made = {found.check for found in dynamic if found.passed is not None}
    absent = {found.check for found in static if not found.passed}
    kept = [found for found in static if found.check not in made or found.check in absent]
    numbers = {found.check for found in kept}
    page = check_documentation(documentation, folder) if documentation and folder and not _is_damaged(static) else []
    both = [*kept, *(found for found in dynamic if found.check not in numbers), *page]
    return sorted(both, key=lambda found: ("SDX".index(found.check[0]), int(found.check[1:])))
