"""What the validator's fresh process runs, with results that JSON carries."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from piecehub.conformance import Finding
from piecehub.modeling.conformance.dynamic import crashed, dynamic_findings, not_made
from piecehub.modeling.conformance.static import static_findings


def findings(folder: Path) -> list[Finding]:
    """Static findings, then dynamic ones; these could not be made if a static check of level fail fell short."""
    static = static_findings(folder)
    short = [found for found in static if found.level == "fail" and not found.passed]
    return _joined(static, not_made(short[0].check) if short else dynamic_findings(folder))


def all_findings(folder: str) -> list[dict[str, Any]]:
    """`findings` as plain JSON."""
    return [asdict(found) for found in findings(Path(folder))]


def findings_after_crash(folder: str, sentence: str) -> list[dict[str, Any]]:
    """The static findings of a model that ended the process that ran it, which is what D1 then says."""
    return [asdict(found) for found in _joined(static_findings(Path(folder)), crashed(sentence))]


def _joined(static: Sequence[Finding], dynamic: Sequence[Finding]) -> list[Finding]:
    """Both in order, one finding a number: that a signature serves the same numbers says more than that it is there."""
    made = {found.check for found in dynamic if found.passed is not None}
    absent = {found.check for found in static if not found.passed}
    kept = [found for found in static if found.check not in made or found.check in absent]
    numbers = {found.check for found in kept}
    both = [*kept, *(found for found in dynamic if found.check not in numbers)]
    return sorted(both, key=lambda found: (found.check[0] != "S", int(found.check[1:])))
