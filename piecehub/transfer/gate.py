"""The verdict: whether the evidence allows publishing. It fails closed.

    BLESSED         every rule held on every task
    NOT_BLESSED     a rule did not hold
    INCONCLUSIVE    too few seeds to say, or the evaluation's budget was spent; not published either

Rules, each of which gives its sentence: (1) the piece conforms and few trainings diverge; (2) fine-tuning beats from
scratch: the lower end of the two-sided interval lies above `min_gain`; (3) it is not worse than the incumbent: the
one-sided lower bound lies above the margin; (4) frozen features are not significantly worse than random ones, which
would be a broken export. A piece with a parent is held against its parent where others are against from scratch.
Where the rule's mode is `feature_extraction`, frozen features stand for fine-tuning, and random ones for from scratch,
so (4) says nothing more; what the raw input or training from scratch gives as well is a warning.
Differences are paired over seeds and test examples, averaged over the shot counts up to 25, and their intervals are
two-way (see `statistics`). A mean above a threshold instead blessed an untrained piece in up to 13 of 100 tries.

What holds for each task counts for the tasks of the gate; where the rule asks for a gain on some of them only, Holm's
step-down rule keeps the chance small that one of many is a lucky one. A negative control warns.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from piecehub.facts.conformance_report import ConformanceReport
from piecehub.facts.reference import control_words, used_words
from piecehub.transfer.evidence import Evidence, comparable, read_all
from piecehub.transfer.full_model import weakness
from piecehub.transfer.rule import Rule
from piecehub.transfer.slices import Slice, lost
from piecehub.transfer.statistics import Interval, holm, one_sided, p_value, two_way_bootstrap
from piecehub.transfer.verdict import GateContrast, Verdict

_INCUMBENT = "incumbent.json"
_LARGEST_DIVERGED_SHARE = 0.05
_FROZEN = "feature_extraction"
_RANDOM = "random_features"
# What needs no piece, and so must be beaten by frozen features that are worth their download.
_WITHOUT_A_PIECE = {"raw_input": "a linear model on the raw input", "from_scratch": "training from scratch"}


@dataclass(frozen=True)
class IncumbentEvidence:
    """What was published with the newest version.

    Attributes:
        digest: of its SavedModel.
        fine_tunable: whether it was blessed for fine-tuning.
    """

    handle: str
    digest: str
    evidences: tuple[Evidence, ...]
    fine_tunable: bool = False


def read_incumbent(folder: Path) -> IncumbentEvidence | None:
    """The incumbent that was brought into the run, `incumbent.json` and `evidence/<task>/`; None if there is none."""
    value = json.loads((folder / _INCUMBENT).read_text(encoding="utf-8"))
    if not value["version"]:
        return None
    fine_tunable = value.get("fine_tunable", False)  # earlier releases did not note it
    return IncumbentEvidence(value["handle"], value["digest"], read_all(folder / "evidence"), fine_tunable)


def judge(
    evidences: Sequence[Evidence],
    conformance: ConformanceReport,
    incumbent: IncumbentEvidence | None,
    rule: Rule,
    full_model: Mapping[str, Any] | None = None,
) -> Verdict:
    """Applies `rule` to the evidence of all tasks; all numbers are computed from the predictions.

    Args:
        evidences: of every task, about one and the same piece.
        conformance: the validator's report of that piece.
        incumbent: the published version; None if there is none.
        rule: the recipe's.
        full_model: the facts of the full model that the piece was cut from, if they are known; a weak one is a warning.

    Raises:
        DataError: if predictions are missing or damaged.
    """
    judged = [e for e in evidences if rule.of(e.task).role == "gate"]
    refusals = _integrity(judged, evidences, conformance)
    if refusals:
        return Verdict("NOT_BLESSED", tuple(refusals), (), rule)
    open_questions = [*map(_unfinished, filter(_is_unfinished, judged)), *_too_few_seeds(judged, rule)]
    if conformance.verdict == "unfinished":
        open_questions.append(f"Expected checks that come to an end. Received: {conformance.first_failure}")
    if open_questions:
        return Verdict("INCONCLUSIVE", tuple(open_questions), (), rule)
    diverging = [reason for evidence in judged for reason in _divergence(evidence, rule)]
    if diverging:
        return Verdict("NOT_BLESSED", tuple(diverging), (), rule)
    outcomes = [outcome for evidence in judged for outcome in _judge_task(evidence, incumbent, rule)]
    if rule.min_tasks:
        outcomes = [*(o for o in outcomes if not o.is_superiority), _superior_on_some(judged, outcomes, rule)]
    failed = tuple(outcome.sentence for outcome in outcomes if not outcome.held)
    reasons = failed or tuple(outcome.sentence for outcome in outcomes)
    contrasts = tuple(contrast for outcome in outcomes for contrast in outcome.contrasts)
    warnings = [sentence for evidence in evidences for sentence in _warnings(evidence, rule)]
    warnings += [*_less_than(incumbent, rule), *weakness(full_model or {})]
    return Verdict("NOT_BLESSED" if failed else "BLESSED", reasons, contrasts, rule, tuple(warnings))


@dataclass(frozen=True)
class _Outcome:
    held: bool
    sentence: str
    contrasts: tuple[GateContrast, ...] = ()

    @property
    def is_superiority(self) -> bool:
        return any(contrast.rule == "superiority" for contrast in self.contrasts)


def _integrity(judged: Sequence[Evidence], evidences: Sequence[Evidence], conformance: ConformanceReport) -> list[str]:
    """Whether there is anything to judge, and whether it is all about one and the same piece."""
    found: list[str] = []
    if not judged:
        found.append("Expected evidence of at least one task of the gate. Received: none.")
    if not conformance.findings:
        found.append("Expected a conformance report with checks. Received: an empty one.")
    if not conformance.conforms and conformance.verdict != "unfinished":  # that is an open question
        faults = "; ".join(f"{f.check} {f.title}" for f in conformance.failures)
        found.append(f"Expected a piece that passes every check of level fail. Received: {faults}.")
    for evidence in evidences:
        if evidence.piece_digest != conformance.digest:
            found.append(
                f"Expected evidence about the piece that was checked, {conformance.digest}. Received: "
                f"{evidence.piece_digest} on {evidence.task}."
            )
    return found


def _divergence(evidence: Evidence, rule: Rule) -> list[str]:
    cells = [cell for cell in evidence.cells if cell.mode == rule.mode]
    diverged, total = sum(cell.diverged for cell in cells), sum(len(cell.per_seed) for cell in cells)
    if diverged <= _LARGEST_DIVERGED_SHARE * total:
        return []
    what = "fine-tunings" if rule.mode != _FROZEN else "linear models"
    return [
        f"Expected at most 5 % of the {what} to diverge. Received: {diverged} of {total} on {evidence.task}; "
        "lower the learning rates."
    ]


def _is_unfinished(evidence: Evidence) -> bool:
    return not evidence.complete


def _unfinished(evidence: Evidence) -> str:
    return (
        f"Expected every trial on {evidence.task}. Received: {evidence.incomplete_because}; raise the budget and run "
        "again, finished trials are kept."
    )


def _too_few_seeds(judged: Sequence[Evidence], rule: Rule) -> list[str]:
    return [
        f"Expected at least {rule.min_seeds} seeds for a verdict. Received: {len(evidence.protocol.seeds)} on "
        f"{evidence.task}; add seeds to the evaluation."
        for evidence in judged
        if len(evidence.protocol.seeds) < rule.min_seeds
    ]


def _warnings(evidence: Evidence, rule: Rule) -> list[str]:
    """What a person should know of a task, which neither blesses nor refuses."""
    found: list[str] = []
    if rule.of(evidence.task).role == "negative_control" and evidence.complete:
        interval = _interval(_differences(evidence, rule), rule.confidence)
        if interval.low > 0:
            found.append(
                f"Expected no gain on {evidence.task}, which is a negative control. Received: {_gain(interval)}; look "
                "for examples that upstream and downstream share, and for a fault of the evaluation."
            )
    if rule.mode == _FROZEN and evidence.complete and rule.of(evidence.task).role == "gate":
        found += _no_better_without(evidence, rule)
    if evidence.leakage and evidence.leakage.rate:
        found.append(
            f"{evidence.leakage.exact + evidence.leakage.near} of {evidence.leakage.examples} examples of "
            f"{evidence.task} equal an upstream example or nearly so ({_percent(evidence.leakage.rate)})."
        )
    if evidence.leakage is None:
        found.append(
            f"Leakage was not checked: nobody knows whether the piece has seen examples of {evidence.task} before."
        )
    if evidence.overlap and evidence.overlap.rate:
        found.append(
            f"{evidence.overlap.exact + evidence.overlap.near} of {evidence.overlap.examples} test examples of "
            f"{evidence.task} equal one of its pool or nearly so ({_percent(evidence.overlap.rate)})."
        )
    if rule.of(evidence.task).role == "gate":
        found += [_lost(evidence, part, rule) for part in lost(evidence.slices, rule.mode, rule.level)]
    if evidence.controls == "approximate":
        found.append(
            f"The controls on {evidence.task} were drawn without the code that initialises the piece, so the gain is "
            "approximate."
        )
    return found


def _lost(evidence: Evidence, part: Slice, rule: Rule) -> str:
    gain, used = _gain(Interval(part.gain, part.low, part.high, 0)), used_words(rule.mode)
    return (
        f"Expected no loss against {control_words(rule.mode, evidence.parent)} on any slice of {evidence.task}. "
        f"Received: {gain} by {used} where {part.feature} is '{part.value}' ({part.examples} test examples)."
    )


def _less_than(incumbent: IncumbentEvidence | None, rule: Rule) -> list[str]:
    """Whether the newest version would be one that may no longer be fine-tuned."""
    if incumbent is None or not incumbent.fine_tunable or rule.mode != _FROZEN:
        return []
    return [
        f"Expected a version that may be fine-tuned, as {incumbent.handle} may. Received: one of which frozen features "
        "were judged; who takes the newest version gets it for those only."
    ]


def _no_better_without(evidence: Evidence, rule: Rule) -> list[str]:
    """What frozen features are not better than for sure, though it needs no piece."""
    intervals = {
        words: _interval(evidence.curve(_FROZEN) - evidence.curve(mode), rule.confidence)
        for mode, words in _WITHOUT_A_PIECE.items()
        if mode in evidence.scores
    }
    return [
        f"Expected frozen features that beat {words} on {evidence.task}, too. Received: {_gain(interval)}."
        for words, interval in intervals.items()
        if interval.low <= 0
    ]


def _judge_task(evidence: Evidence, incumbent: IncumbentEvidence | None, rule: Rule) -> list[_Outcome]:
    missing = [
        mode for mode in dict.fromkeys((rule.mode, rule.control, _FROZEN, _RANDOM)) if mode not in evidence.scores
    ]
    if missing:
        sentence = f"Expected predictions of every mode on {evidence.task}. Received: none of {', '.join(missing)}."
        return [_Outcome(False, sentence)]
    gain, no_loss = _superiority(evidence, rule), _non_inferiority(evidence, incumbent, rule)
    return [gain, no_loss] if rule.mode == _FROZEN else [gain, no_loss, _features(evidence, rule)]


def _superiority(evidence: Evidence, rule: Rule) -> _Outcome:
    interval = _interval(_differences(evidence, rule), rule.confidence)
    bound = rule.of(evidence.task).min_gain
    held = interval.low > bound
    sentence = (
        f"Expected a gain {_over(rule, evidence.parent)} whose {_percent(rule.confidence)} interval lies "
        f"above {_points(bound)}. Received: {_gain(interval)} on {evidence.task}."
    )
    return _Outcome(
        held, sentence, (_contrast("superiority", evidence.task, rule.control, interval, bound, held, rule.mode),)
    )


def _superior_on_some(judged: Sequence[Evidence], outcomes: Sequence[_Outcome], rule: Rule) -> _Outcome:
    """Whether the mode beats its control on as many tasks as the rule asks for, by Holm's step-down rule."""
    p_values = [p_value(_differences(evidence, rule), rule.of(evidence.task).min_gain) for evidence in judged]
    superior = holm(p_values, rule.level)
    contrasts = [c for outcome in outcomes for c in outcome.contrasts if c.rule == "superiority"]
    held = sum(superior) >= rule.min_tasks
    found = ", ".join(
        f"{evidence.task} {_signed(contrast.estimate)} points (p = {p:.4f})"
        for evidence, contrast, p in zip(judged, contrasts, p_values, strict=True)
    )
    sentence = (
        f"Expected a gain {_over(rule, '')} on at least {rule.min_tasks} of {len(judged)} tasks, with a family-wise "
        f"error of {_percent(rule.level)} (Holm). Received: {sum(superior)}; {found}."
    )
    kept = tuple(replace(contrast, held=h) for contrast, h in zip(contrasts, superior, strict=True))
    return _Outcome(held, sentence, kept)


def _differences(evidence: Evidence, rule: Rule) -> NDArray[np.float64]:
    return evidence.curve(rule.mode) - evidence.curve(rule.control)


def _over(rule: Rule, parent: str) -> str:
    """What must gain over what; of fine-tuning it goes without saying."""
    whose = "of frozen features " if rule.mode == _FROZEN else ""
    return f"{whose}over {control_words(rule.mode, parent)}"


def _non_inferiority(evidence: Evidence, incumbent: IncumbentEvidence | None, rule: Rule) -> _Outcome:
    if incumbent is None:
        return _Outcome(True, f"There is no published version to compare with on {evidence.task}.")
    if incumbent.digest == evidence.piece_digest:
        return _Outcome(True, f"The piece is the published {incumbent.handle}, so it is not worse on {evidence.task}.")
    published = next((e for e in incumbent.evidences if comparable(e, evidence, rule.mode)), None)
    if published is None:
        return _incomparable(evidence, incumbent, rule)
    difference = evidence.curve(rule.mode) - published.curve(rule.mode)
    interval = one_sided(difference, rule.confidence)
    margin = rule.of(evidence.task).non_inferiority_margin
    bound = -margin
    held = interval.low > bound
    sentence = (
        f"Expected {used_words(rule.mode)} to be at most {_points(margin)} points worse than "
        f"{incumbent.handle}, with {_percent(rule.confidence)} confidence. Received: {_signed(interval.estimate)} "
        f"points, lower bound {_signed(interval.low)}, on {evidence.task}."
    )
    contrast = _contrast("non_inferiority", evidence.task, incumbent.handle, interval, bound, held, rule.mode)
    return _Outcome(held, sentence, (contrast,))


def _incomparable(evidence: Evidence, incumbent: IncumbentEvidence, rule: Rule) -> _Outcome:
    sentence = (
        f"Expected evidence of {incumbent.handle} on the examples of {evidence.task} by the same protocol, on the same "
        "kind of device. Received: none that can be compared"
    )
    if rule.incomparable_incumbent == "accept":
        return _Outcome(True, f"{sentence}, which the rule accepts.")
    mend = (
        f"`piecehub evaluate {incumbent.handle}` measures it, `piecehub store yank {incumbent.handle}` hides it if it "
        "came without evidence, or set incomparable_incumbent to 'accept' to publish all the same."
    )
    return _Outcome(False, f"{sentence}; {mend}")


def _features(evidence: Evidence, rule: Rule) -> _Outcome:
    interval = _interval(evidence.curve(_FROZEN) - evidence.curve(_RANDOM), rule.confidence)
    held = interval.high >= 0  # as good as them in each prediction is no worse
    reference = "its parent's" if evidence.parent else "random ones"
    sentence = (
        f"Expected frozen features that are not significantly worse than {reference}. Received: {_gain(interval)} on "
        f"{evidence.task}."
    )
    return _Outcome(held, sentence, (_contrast("features", evidence.task, _RANDOM, interval, 0.0, held, _FROZEN),))


def _interval(differences: NDArray[np.float64], confidence: float) -> Interval:
    return two_way_bootstrap(differences, confidence=confidence)


def _contrast(
    rule: Literal["superiority", "non_inferiority", "features"],
    task: str,
    reference: str,
    interval: Interval,
    bound: float,
    held: bool,
    candidate: str,
) -> GateContrast:
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
