"""How well two pieces fine-tune on each task: their means with intervals, and the difference where it can be paired."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from piecehub.facts.reference import metric_words
from piecehub.transfer.evidence import Cell, Evidence, comparable
from piecehub.transfer.rule import Rule
from piecehub.transfer.statistics import one_sided, two_way_bootstrap

_MODE = "fine_tuning"


@dataclass(frozen=True)
class Mean:
    """A metric, a share of 1, with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """A mode at one number of examples; None where that side has no evidence of it."""

    mode: str
    shots: int
    a: Mean | None
    b: Mean | None


@dataclass(frozen=True)
class Difference:
    """Fine-tuning of B minus A, over the learning curve: paired over seeds and test examples, with its 95 % interval.

    Attributes:
        bound: the one-sided lower bound with the rule's confidence, which is held against the margin.
        margin: how much worse is no matter, a share of 1.
        held: whether the bound lies above minus the margin.
    """

    estimate: float
    low: float
    high: float
    bound: float
    margin: float
    held: bool


@dataclass(frozen=True)
class TaskComparison:
    """Both pieces on one task.

    Attributes:
        difference: None where the evidence cannot be paired.
        incomparable_because: why not; empty where it can.
    """

    task: str
    metric: str
    rows: tuple[Row, ...]
    difference: Difference | None
    incomparable_because: str

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain JSON."""
        return asdict(self)


def compare_tasks(a: Sequence[Evidence], b: Sequence[Evidence], rule: Rule) -> tuple[TaskComparison, ...]:
    """Every task that either of both has evidence of, in the order of `a`.

    Raises:
        DataError: if predictions are missing or damaged.
    """
    by_name = [{evidence.task: evidence for evidence in side} for side in (a, b)]
    return tuple(
        _compare_task(task, by_name[0].get(task), by_name[1].get(task), rule)
        for task in dict.fromkeys([*by_name[0], *by_name[1]])
    )


def _compare_task(task: str, a: Evidence | None, b: Evidence | None, rule: Rule) -> TaskComparison:
    sides = [evidence for evidence in (a, b) if evidence]
    cells = [{(cell.mode, cell.shots): cell for cell in e.cells} if e else {} for e in (a, b)]
    rows = tuple(
        Row(mode, shots, *(_mean(side.get((mode, shots))) for side in cells))
        for mode, shots in dict.fromkeys([*cells[0], *cells[1]])
    )
    why = _incomparable(a, b)
    difference = _difference(a, b, rule) if a and b and not why else None
    return TaskComparison(task, metric_words(sides[0].metric), rows, difference, why)


def _incomparable(a: Evidence | None, b: Evidence | None) -> str:
    if not a or not b:
        return f"there is no evidence of {'A' if b else 'B'}"
    for name, evidence in (("A", a), ("B", b)):
        if not evidence.complete:
            return f"{evidence.incomplete_because} for {name}"
    if a.task_digest != b.task_digest:
        return "the examples are others"
    if a.device != b.device:
        return f"A was measured on a {a.device}, B on a {b.device}"
    return "" if comparable(a, b) else "the protocol is another"


def _difference(a: Evidence, b: Evidence, rule: Rule) -> Difference:
    values = b.curve(_MODE) - a.curve(_MODE)
    both = two_way_bootstrap(values)
    bound = one_sided(values, rule.confidence).low
    margin = rule.of(a.task).non_inferiority_margin
    return Difference(both.estimate, both.low, both.high, bound, margin, bound > -margin)


def _mean(cell: Cell | None) -> Mean | None:
    return Mean(cell.mean, cell.low, cell.high) if cell else None
