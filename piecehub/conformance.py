"""The conformance report: what the validator found, and what gate, store and pages read of it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

Level = Literal["fail", "warn", "info"]
REPORT_NAME = "conformance.json"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: the check's number, such as `S3` or `D11`.
        title: what the check demands, in a few words.
        level: what it means if the check falls short.
        passed: whether the check held; None if it could not be made (an earlier one fell short).
        sentence: what was seen; for a check that fell short `Expected … Received: …`, and what to do.
    """

    check: str
    title: str
    level: Level
    passed: bool | None
    sentence: str


@dataclass(frozen=True)
class ConformanceReport:
    """Every finding about one SavedModel, whose content digest is `digest`."""

    digest: str
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Findings of level fail that fell short or could not be made."""
        return tuple(f for f in self.findings if f.level == "fail" and f.passed is not True)

    @property
    def conforms(self) -> bool:
        """True if no check of level fail fell short."""
        return not self.failures

    def to_json(self) -> str:
        """The report as a JSON document that `from_json` reads."""
        value = {"schema": 1, "conforms": self.conforms, **asdict(self)}
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote."""
        value = json.loads(text)
        return cls(value["digest"], tuple(Finding(**finding) for finding in value["findings"]))

    def write(self, folder: Path) -> None:
        """Writes `conformance.json` into `folder`."""
        (folder / REPORT_NAME).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads `conformance.json` from `folder`."""
        return cls.from_json((folder / REPORT_NAME).read_text(encoding="utf-8"))


def report(digest: str, findings: Iterable[Finding]) -> ConformanceReport:
    """A report in the order that the checks ran in."""
    return ConformanceReport(digest, tuple(findings))
