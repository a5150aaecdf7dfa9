"""What the validator finds of a piece, in this process."""

from pathlib import Path

from piecehub.conformance.dynamic import dynamic_findings
from piecehub.conformance.static import static_findings
from piecehub.facts.conformance_report import Finding


def findings(folder: Path) -> list[Finding]:
    """What the validator finds; as there, nothing is loaded where a static check falls short."""
    static = static_findings(folder)
    if any(finding.level == "fail" and finding.passed is False for finding in static):
        return static
    made = dynamic_findings(folder)
    return [*(finding for finding in static if finding.check not in {other.check for other in made}), *made]


def short(found: list[Finding]) -> dict[str, str]:
    """The sentences of what fell short, of level fail or advice, by check."""
    return {finding.check: finding.sentence for finding in found if finding.passed is False and finding.level != "info"}
