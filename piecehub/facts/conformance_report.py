"""The conformance report: what the validator found, and what gate, store and pages read of it."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

Level = Literal["fail", "warn", "info"]
Sandbox = Literal["bubblewrap", "process limits", "none"]
Decision = Literal["reusable", "serving only", "not reusable", "undecided", "unfinished"]
Outcome = Literal["held", "fell short", "advice", "not made", "note"]
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

    @property
    def outcome(self) -> Outcome:
        """What it means, in a word: only `fell short` and `not made` keep a model from being reusable."""
        if self.passed is None:
            return "not made" if self.level == "fail" else "note"
        if self.passed:
            return "held"
        return "fell short" if self.level == "fail" else "advice" if self.level == "warn" else "note"


@dataclass(frozen=True)
class Timings:
    """What checking took; no part of what was found.

    Attributes:
        seconds: of the processor, by check; what several checks share is counted at the first of them.
        peak_bytes: the most resident memory that all processes of the check were seen to hold together.
    """

    seconds: Mapping[str, float]
    peak_bytes: int

    @property
    def total_s(self) -> float:
        """Seconds of the processor of all checks."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class ConformanceReport:
    """Every finding about one SavedModel.

    Attributes:
        digest: its content digest; empty if it holds links or the like, so that it has none.
        findings: in the order of their numbers.
        sandbox: where the checks ran that load the model; `none` if they did not, or if an older report does not say.
        serves: whether it is not callable, but has signatures and nothing that speaks against serving them.
        unfinished: the number of the check that went beyond a limit of time or memory; empty if none did.
        timings: what it took, where the checks have just been made. It is not kept: equal models have equal reports.
    """

    digest: str
    findings: tuple[Finding, ...]
    sandbox: Sandbox = "none"
    serves: bool = False
    unfinished: str = ""
    timings: Timings | None = field(default=None, compare=False)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Findings of level fail that fell short or could not be made."""
        return tuple(f for f in self.findings if f.level == "fail" and f.passed is not True)

    @property
    def conforms(self) -> bool:
        """True if no check of level fail fell short, and every one could be made."""
        return not self.failures and not self.unfinished

    @property
    def first_failure(self) -> str:
        """What a person reads first of a model that does not conform: a check that fell short, or could not be made."""
        found = next((f for f in self.failures if f.check == "S3" and self.serves), None)
        found = found or next((f for f in self.failures if f.passed is False), None)
        stopped = next((f for f in self.findings if f.check == self.unfinished), None)
        if found is None and stopped is not None:
            return f"{stopped.check} {stopped.sentence[:1].lower()}{stopped.sentence[1:]}"
        found = found or self.failures[0]
        return f"{found.check} {'could not be made' if found.passed is None else 'fell short'}: {found.sentence}"

    @property
    def verdict(self) -> Decision:
        """What the model is good for; `undecided` if nothing fell short, but not every check could be made.

        `unfinished` is the same where time or memory were short: it says nothing of the model.
        """
        if self.conforms:
            return "reusable"
        if self.serves:
            return "serving only"
        if any(f.passed is False for f in self.failures):
            return "not reusable"
        return "unfinished" if self.unfinished else "undecided"

    @property
    def summary(self) -> str:
        """The verdict, and what is worth a look: `reusable · nothing fell short · 3 notes`."""
        counts = Counter(finding.outcome for finding in self.findings)
        short, advice, unmade, notes = (counts[each] for each in ("fell short", "advice", "not made", "note"))
        told = [
            f"{short or 'nothing'} fell short",
            f"{advice} piece{'s' if advice > 1 else ''} of advice" if advice else "",
            f"{unmade} not made" if unmade else "",
            f"{notes} note{'s' if notes > 1 else ''}" if notes else "",
        ]
        return " · ".join([self.verdict, *filter(None, told)])

    def to_json(self) -> str:
        """The report as a JSON document that `from_json` reads, without timings: equal models give equal bytes."""
        return _json(self._value())

    def to_json_with_timings(self) -> str:
        """The same for a person who waits for it."""
        told = self.timings and {**asdict(self.timings), "total_s": round(self.timings.total_s, 2)}
        return _json({**self._value(), "timings": told})

    def _value(self) -> dict[str, Any]:
        value = {"schema": 1, "conforms": self.conforms, "verdict": self.verdict, **asdict(self)}
        absent = {"timings"} if self.unfinished else {"timings", "unfinished"}  # so that what was finished is as before
        return {key: part for key, part in value.items() if key not in absent}

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote, also what it wrote before there were sandboxes."""
        value = json.loads(text)
        findings = tuple(Finding(**finding) for finding in value["findings"])
        serves, unfinished = value.get("serves", False), value.get("unfinished", "")
        return cls(value["digest"], findings, value.get("sandbox", "none"), serves, unfinished)

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


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
