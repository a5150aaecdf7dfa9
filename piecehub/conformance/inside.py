"""What the validator's fresh process runs, with results that JSON carries."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from piecehub.conformance.archive_rules import archive_finding
from piecehub.conformance.documentation_rules import check_documentation
from piecehub.conformance.dynamic import crashed, dynamic_findings, not_made
from piecehub.conformance.graph import read_graph
from piecehub.conformance.progress import MARK
from piecehub.conformance.static import hinders_loading, is_for_serving_only, static_findings
from piecehub.conformance.xla import xla_finding
from piecehub.facts.conformance_report import Finding


def findings(folder: Path, documentation: str = "", archive: Path | None = None) -> list[Finding]:
    """Static findings, then dynamic ones; these are not made if a static check tells that it had better not be loaded.

    Args:
        folder: of the SavedModel.
        documentation: the text of its model page, which X1 and X4 then look at; empty where there is none.
        archive: the archive that it came in, which X3 then looks at instead of one of our own.
    """
    static = static_findings(folder, _say)
    if because := hinders_loading(static):
        return _joined(static, not_made(because), documentation, folder)
    dynamic = dynamic_findings(folder, documentation, _say)
    _say("D19")
    dynamic.append(xla_finding(folder))
    if archive is not None:
        dynamic = [archive_finding(archive) if found.check == "X3" else found for found in dynamic]
    return _joined(static, dynamic, documentation, folder)


def all_findings(folder: str, documentation: str, archive: str) -> dict[str, Any]:
    """`findings` as plain JSON, and whether the model can be served; an empty `archive` is none."""
    return _answer(Path(folder), findings(Path(folder), documentation, Path(archive) if archive else None))


def findings_without_loading(folder: str, documentation: str, because: str) -> dict[str, Any]:
    """The static findings as plain JSON; dynamic ones could not be made, as the sentence `because` says."""
    static = static_findings(Path(folder), _say)
    hindered = hinders_loading(static)
    unmade = not_made(hindered) if hindered else [replace(f, sentence=because) for f in not_made("")]
    return _answer(Path(folder), _joined(static, unmade, documentation, Path(folder)))


def findings_after_crash(folder: str, ended: dict[str, str]) -> dict[str, Any]:
    """The findings of a model that ended the process that checked it, as plain JSON.

    Args:
        folder: of the SavedModel.
        ended: sentences by the numbers of the checks that the process ended in: of a static one that is its finding, of
            any other it is what D1 says.
    """
    static = static_findings(Path(folder), _say, ended)
    hindered = hinders_loading(static) or next((check for check in ended if check.startswith("S")), "")
    others = [sentence for check, sentence in ended.items() if not check.startswith("S")]
    found = _joined(static, crashed(others[0]) if others and not hindered else not_made(hindered))
    return {"findings": [asdict(f) for f in found], "serves": False}


def _say(check: str) -> None:
    """Tells who started this process which check comes now, in case that it ends it."""
    print(f"{MARK}{check}", file=sys.stderr, flush=True)


def _answer(folder: Path, found: list[Finding]) -> dict[str, Any]:
    serves = not _is_damaged(found) and is_for_serving_only(read_graph(folder), found)
    return {"findings": [asdict(f) for f in found], "serves": serves}


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
