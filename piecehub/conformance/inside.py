"""What the validator's fresh process runs, with results that JSON carries."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from piecehub.conformance.archive_rules import archive_finding
from piecehub.conformance.documentation_rules import check_documentation
from piecehub.conformance.dynamic import crashed, dynamic_findings, not_made
from piecehub.conformance.graph import read_graph
from piecehub.conformance.static import is_for_serving_only, static_findings
from piecehub.conformance.xla import xla_finding
from piecehub.facts.conformance_report import Finding


def findings(folder: Path, documentation: str = "", archive: Path | None = None) -> list[Finding]:
    """Static findings, then dynamic ones; these could not be made if a static check of level fail fell short.

    Args:
        folder: of the SavedModel.
        documentation: the text of its model page, which X1 and X4 then look at; empty where there is none.
        archive: the archive that it came in, which X3 then looks at instead of one of our own.
    """
    static = static_findings(folder)
    short = [found for found in static if found.level == "fail" and not found.passed]
    if short:
        return _joined(static, not_made(short[0].check), documentation, folder)
    dynamic = [*dynamic_findings(folder, documentation), xla_finding(folder)]
    if archive is not None:
        dynamic = [archive_finding(archive) if found.check == "X3" else found for found in dynamic]
    return _joined(static, dynamic, documentation, folder)


def all_findings(folder: str, documentation: str, archive: str) -> dict[str, Any]:
    """`findings` as plain JSON, and whether the model can be served; an empty `archive` is none."""
    return _answer(Path(folder), findings(Path(folder), documentation, Path(archive) if archive else None))


def findings_without_loading(folder: str, documentation: str, because: str) -> dict[str, Any]:
    """The static findings as plain JSON; dynamic ones could not be made, as the sentence `because` says."""
    static = static_findings(Path(folder))
    short = [found for found in static if found.level == "fail" and not found.passed]
    unmade = not_made(short[0].check) if short else [replace(f, sentence=because) for f in not_made("")]
    return _answer(Path(folder), _joined(static, unmade, documentation, Path(folder)))


def findings_after_crash(folder: str, sentence: str) -> list[dict[str, Any]]:
    """The static findings of a model that ended the process that ran it, which is what D1 then says."""
    return [asdict(found) for found in _joined(static_findings(Path(folder)), crashed(sentence))]


def _answer(folder: Path, found: list[Finding]) -> dict[str, Any]:
    return {"findings": [asdict(f) for f in found], "serves": is_for_serving_only(read_graph(folder), found)}


def _joined(
    static: Sequence[Finding], dynamic: Sequence[Finding], documentation: str = "", folder: Path | None = None
) -> list[Finding]:
    """All in order, one finding a number: that a signature serves the same numbers says more than that it is there."""
    made = {found.check for found in dynamic if found.passed is not None}
    absent = {found.check for found in static if not found.passed}
    kept = [found for found in static if found.check not in made or found.check in absent]
    numbers = {found.check for found in kept}
    page = check_documentation(documentation, folder) if documentation and folder else []
    both = [*kept, *(found for found in dynamic if found.check not in numbers), *page]
    return sorted(both, key=lambda found: ("SDX".index(found.check[0]), int(found.check[1:])))
