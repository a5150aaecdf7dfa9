"""The verdict: whether the evidence allows publishing. It fails closed.

    BLESSED         every rule held on every task
    NOT_BLESSED     a rule did not hold
    INCONCLUSIVE    too few seeds to say; not published either

Rules, each of which gives its sentence: (1) the piece conforms and few trainings diverge; (2) fine-tuning beats from
scratch: the lower end of the two-sided interval lies above `min_gain`; (3) it is not worse than the incumbent: the
one-sided lower bound lies above the margin; (4) frozen features are not significantly worse than random ones, which
would be a broken export. A piece with a parent is held against its parent where others are against from scratch.
Differences are paired over seeds and test examples, averaged over the shot counts up to 25, and their intervals are
two-way (see `statistics`). A mean above a threshold instead blessed an untrained piece in up to 13 of 100 tries.

    verdict.json    {"schema": 1, "status", "reasons": […], "contrasts": […], "rule": {…}}
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from piecehub.conformance import ConformanceReport
from piecehub.errors import RecipeError
from piecehub.reference import reference_words
from piecehub.transfer.evidence import Evidence
from piecehub.transfer.statistics import Interval, two_way_bootstrap

VERDICT = "verdict.json"
_INCUMBENT = "incumbent.json"
_LARGEST_DIVERGED_SHARE = 0.05
_CANDIDATE = "fine_tuning"
_CONTROL = "from_scratch"
_FROZEN = "feature_extraction"
_RANDOM = "random_features"

Status = Literal["BLESSED", "NOT_BLESSED", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Rule:
    """What the recipe asks of the evidence; accuracies and gains are shares of 1, so 0.02 is 2 points.

    Attributes:
        min_gain: fine-tuning must beat from scratch by more.
        non_inferiority_margin: fine-tuning may be worse than the incumbent's by less.
        min_seeds: below it there is no verdict.
        confidence: of the two-sided interval of the gain, and of the one-sided bound against the incumbent.
        incomparable_incumbent: `refuse` or `accept`, where the incumbent's evidence is of another task or protocol.
    """

    min_gain: float = 0.0
    non_inferiority_margin: float = 0.02
    min_seeds: int = 5
    confidence: float = 0.95
    incomparable_incumbent: str = "refuse"

    def __post_init__(self) -> None:
        if self.incomparable_incumbent not in ("refuse", "accept"):
            raise RecipeError(
                "Expected 'refuse' or 'accept' for an incumbent that cannot be compared. Received: "
                f"'{self.incomparable_incumbent}'."
            )
        if not 0.5 < self.confidence < 1 or self.non_inferiority_margin < 0:
            raise RecipeError(
                "Expected a confidence between 0.5 and 1 and a margin of 0 or more. Received: "
                f"{self.confidence} and {self.non_inferiority_margin}."
            )


@dataclass(frozen=True)
class IncumbentEvidence:
    """What was published with the newest version; `digest` is that of its SavedModel."""

    handle: str
    digest: str
    evidences: tuple[Evidence, ...]


@dataclass(frozen=True)
class GateContrast:
    """A difference that a rule looked at; `bound` is what its `low` (or `high`) had to lie above."""

    rule: Literal["superiority", "non_inferiority", "features"]
    task: str
    candidate: str
    reference: str
    estimate: float
    low: float
    high: float
    p_superior: float
    bound: float
    held: bool


@dataclass(frozen=True)
class Verdict:
    """The status with its reasons, in full sentences; for a blessed piece they say what was found."""

    status: Status
    reasons: tuple[str, ...]
    contrasts: tuple[GateContrast, ...]
    rule: Rule

    @property
    def blessed(self) -> bool:
        """Whether the piece may be published."""
        return self.status == "BLESSED"

    def to_json(self) -> str:
        """The text of `verdict.json`."""
        return json.dumps({"schema": 1, **asdict(self)}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote."""
        value = json.loads(text)
        contrasts = tuple(GateContrast(**contrast) for contrast in value["contrasts"])
        return cls(value["status"], tuple(value["reasons"]), contrasts, Rule(**value["rule"]))

    def write(self, folder: Path) -> None:
        """Writes `verdict.json` into `folder`, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VERDICT).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads `verdict.json` from `folder`."""
        return cls.from_json((folder / VERDICT).read_text(encoding="utf-8"))


def read_incumbent(folder: Path) -> IncumbentEvidence | None:
    """The incumbent that was brought into the run, `incumbent.json` and `evidence/<task>/`; None if there is none."""
    value = json.loads((folder / _INCUMBENT).read_text(encoding="utf-8"))
    if not value["version"]:
        return None
    folders = sorted(path.parent for path in folder.glob("evidence/**/evidence.json"))
    return IncumbentEvidence(value["handle"], value["digest"], tuple(Evidence.read(path) for path in folders))


def judge(
    evidences: Sequence[Evidence],
    conformance: ConformanceReport,
    incumbent: IncumbentEvidence | None,
    rule: Rule,
) -> Verdict:
    """Applies `rule` to the evidence of all tasks; all numbers are computed from the predictions.

    Raises:
        DataError: if predictions are missing or damaged.
    """
    refusals = [*_integrity(evidences, conformance), *(r for e in evidences for r in _divergence(e))]
    if refusals:
        return Verdict("NOT_BLESSED", tuple(refusals), (), rule)
    few = [reason for evidence in evidences for reason in _too_few_seeds(evidence, rule)]
    if few:
        return Verdict("INCONCLUSIVE", tuple(few), (), rule)
    outcomes = [outcome for evidence in evidences for outcome in _judge_task(evidence, incumbent, rule)]
    failed = tuple(outcome.sentence for outcome in outcomes if not outcome.held)
    reasons = failed or tuple(outcome.sentence for outcome in outcomes)
    contrasts = tuple(outcome.contrast for outcome in outcomes if outcome.contrast)
    return Verdict("NOT_BLESSED" if failed else "BLESSED", reasons, contrasts, rule)


@dataclass(frozen=True)
class _Outcome:
    held: bool
    sentence: str
    contrast: GateContrast | None = None


def _integrity(evidences: Sequence[Evidence], conformance: ConformanceReport) -> list[str]:
    """Whether there is anything to judge, and whether it is all about one and the same piece."""
    found: list[str] = []
    if not evidences:
        found.append("Expected evidence of at least one task. Received: none.")
    if not conformance.findings:
        found.append("Expected a conformance report with checks. Received: an empty one.")
    if not conformance.conforms:
        faults = "; ".join(f"{f.check} {f.title}" for f in conformance.failures)
        found.append(f"Expected a piece that passes every check of level fail. Received: {faults}.")
    for evidence in evidences:
        if evidence.piece_digest != conformance.digest:
            found.append(
                f"Expected evidence about the piece that was checked, {conformance.digest}. Received: "
                f"{evidence.piece_digest} on {evidence.task}."
            )
    return found


def _divergence(evidence: Evidence) -> list[str]:
    cells = [cell for cell in evidence.cells if cell.mode == _CANDIDATE]
    diverged, total = sum(cell.diverged for cell in cells), sum(len(cell.per_seed) for cell in cells)
    if diverged <= _LARGEST_DIVERGED_SHARE * total:
        return []
    return [
        f"Expected at most 5 % of the fine-tunings to diverge. Received: {diverged} of {total} on {evidence.task}; "
        "lower the learning rates."
    ]


def _too_few_seeds(evidence: Evidence, rule: Rule) -> list[str]:
    seeds = len(evidence.protocol.seeds)
    if seeds >= rule.min_seeds:
        return []
    return [
        f"Expected at least {rule.min_seeds} seeds for a verdict. Received: {seeds} on {evidence.task}; "
        "add seeds to the evaluation."
    ]


def _judge_task(evidence: Evidence, incumbent: IncumbentEvidence | None, rule: Rule) -> list[_Outcome]:
    missing = [mode for mode in (_CANDIDATE, _CONTROL, _FROZEN, _RANDOM) if mode not in evidence.correct]
    if missing:
        sentence = f"Expected predictions of every mode on {evidence.task}. Received: none of {', '.join(missing)}."
        return [_Outcome(False, sentence)]
    return [
        _superiority(evidence, rule),
        _non_inferiority(evidence, incumbent, rule),
        _features(evidence, rule),
    ]


def _superiority(evidence: Evidence, rule: Rule) -> _Outcome:
    interval = _interval(evidence.curve(_CANDIDATE) - evidence.curve(_CONTROL), rule.confidence)
    held = interval.low > rule.min_gain
    sentence = (
        f"Expected a gain over {reference_words(evidence.parent)} whose {_percent(rule.confidence)} interval lies "
        f"above {_points(rule.min_gain)}. Received: {_gain(interval)} on {evidence.task}."
    )
    contrast = _contrast("superiority", evidence.task, _CONTROL, interval, rule.min_gain, held)
    return _Outcome(held, sentence, contrast)


def _non_inferiority(evidence: Evidence, incumbent: IncumbentEvidence | None, rule: Rule) -> _Outcome:
    if incumbent is None:
        return _Outcome(True, f"There is no published version to compare with on {evidence.task}.")
    if incumbent.digest == evidence.piece_digest:
        return _Outcome(True, f"The piece is the published {incumbent.handle}, so it is not worse on {evidence.task}.")
    published = next((e for e in incumbent.evidences if _comparable(e, evidence)), None)
    if published is None:
        return _incomparable(evidence, incumbent, rule)
    difference = evidence.curve(_CANDIDATE) - published.curve(_CANDIDATE)
    # The lower end of a two-sided interval of 90 % is a one-sided bound of 95 %.
    interval = _interval(difference, 2 * rule.confidence - 1)
    bound = -rule.non_inferiority_margin
    held = interval.low > bound
    sentence = (
        f"Expected fine-tuning to be at most {_points(rule.non_inferiority_margin)} points worse than "
        f"{incumbent.handle}, with {_percent(rule.confidence)} confidence. Received: {_signed(interval.estimate)} "
        f"points, lower bound {_signed(interval.low)}, on {evidence.task}."
    )
    contrast = _contrast("non_inferiority", evidence.task, incumbent.handle, interval, bound, held)
    return _Outcome(held, sentence, contrast)


def _comparable(published: Evidence, evidence: Evidence) -> bool:
    """Whether row s, t means the same in both: equal examples, shots, seeds and budget."""
    return (
        published.task_digest == evidence.task_digest
        and published.protocol == evidence.protocol
        and _CANDIDATE in published.correct
    )


def _incomparable(evidence: Evidence, incumbent: IncumbentEvidence, rule: Rule) -> _Outcome:
    sentence = (
        f"Expected evidence of {incumbent.handle} on the examples of {evidence.task} by the same protocol. Received: "
        "none that can be compared"
    )
    if rule.incomparable_incumbent == "accept":
        return _Outcome(True, f"{sentence}, which the rule accepts.")
    return _Outcome(False, f"{sentence}; set incomparable_incumbent to 'accept' to publish all the same.")


def _features(evidence: Evidence, rule: Rule) -> _Outcome:
    interval = _interval(evidence.curve(_FROZEN) - evidence.curve(_RANDOM), rule.confidence)
    held = interval.high > 0
    reference = "its parent's" if evidence.parent else "random ones"
    sentence = (
        f"Expected frozen features that are not significantly worse than {reference}. Received: {_gain(interval)} on "
        f"{evidence.task}."
    )
    contrast = _contrast("features", evidence.task, _RANDOM, interval, 0.0, held)
    return _Outcome(held, sentence, contrast)


def _interval(differences: NDArray[np.float64], confidence: float) -> Interval:
    return two_way_bootstrap(differences, confidence=confidence)


def _contrast(
    rule: Literal["superiority", "non_inferiority", "features"],
    task: str,
    reference: str,
    interval: Interval,
    bound: float,
    held: bool,
) -> GateContrast:
    candidate = _FROZEN if rule == "features" else _CANDIDATE
    numbers = {name: round(value, 6) for name, value in asdict(interval).items()}
    return GateContrast(rule, task, candidate, reference, **numbers, bound=bound, held=held)


def _gain(interval: Interval) -> str:
    return f"{_signed(interval.estimate)} points [{_signed(interval.low)}, {_signed(interval.high)}]"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}"


def _points(share: float) -> str:
    return f"{100 * share:g}"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
