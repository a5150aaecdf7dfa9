"""The conformance report: what the validator found, and what gate, store and pages read of it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

Level = Literal["fail", "warn", "info"]
Sandbox = Literal["bubblewrap", "process limits", "none"]
Decision = Literal["reusable", "serving only", "not reusable", "undecided"]
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
    """Every finding about one SavedModel.

    Attributes:
        digest: its content digest; empty if it holds links or the like, so that it has none.
        findings: in the order of their numbers.
        sandbox: where the checks ran that load the model; `none` if they did not, or if an older report does not say.
        serves: whether it is not callable, but has signatures and nothing that speaks against serving them.
    """

    digest: str
    findings: tuple[Finding, ...]
    sandbox: Sandbox = "none"
    serves: bool = False

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Findings of level fail that fell short or could not be made."""
        return tuple(f for f in self.findings if f.level == "fail" and f.passed is not True)

    @property
    def conforms(self) -> bool:
        """True if no check of level fail fell short."""
        return not self.failures

    @property
    def first_failure(self) -> str:
        """What a person reads first of a model that does not conform: a check that fell short, or could not be made."""
        found = next((f for f in self.failures if f.check == "S3" and self.serves), None)
        found = found or next((f for f in self.failures if f.passed is False), self.failures[0])
        return f"{found.check} {'could not be made' if found.passed is None else 'fell short'}: {found.sentence}"

    @property
    def verdict(self) -> Decision:
        """What the model is good for; `undecided` if nothing fell short, but not every check could be made."""
        if self.conforms:
            return "reusable"
        if self.serves:
            return "serving only"
        return "not reusable" if any(f.passed is False for f in self.failures) else "undecided"

    def to_json(self) -> str:
        """The report as a JSON document that `from_json` reads."""
        value = {"schema": 1, "conforms": self.conforms, "verdict": self.verdict, **asdict(self)}
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote, also what it wrote before there were sandboxes."""
        value = json.loads(text)
        findings = tuple(Finding(**finding) for finding in value["findings"])
        return cls(value["digest"], findings, value.get("sandbox", "none"), value.get("serves", False))

    def write(self, folder: Path) -> None:
        """Writes `conformance.json` into `folder`."""
        (folder / REPORT_NAME).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads `conformance.json` from `folder`."""
        return cls.from_json((folder / REPORT_NAME).read_text(encoding="utf-8"))


def report(
    digest: str, findings: Iterable[Finding], sandbox: Sandbox = "none", *, serves: bool = False
) -> ConformanceReport:
    """A report in the order that the checks ran in."""
    return ConformanceReport(digest, tuple(findings), sandbox, serves)
