"""Two models side by side, and in one line whether B is a drop-in for A.

B is one if whatever code is written for A works with B (interface.py), and it fine-tunes at most a margin worse on
every task where the evidence of both can be paired. Where none can, only the interface is said to fit.
"""

from dataclasses import dataclass
from typing import Any, Literal

from piecehub.comparing.interface import lacks
from piecehub.comparing.metrics import Difference, TaskComparison, compare_tasks
from piecehub.comparing.side import Side
from piecehub.transfer.rule import Rule

DropIn = Literal["yes", "interface only", "no"]
SCHEMA = 1


@dataclass(frozen=True)
class Comparison:
    """Both sides, and what was found.

    Attributes:
        lacking: what code written for A misses in B.
        tasks: how well both fine-tune.
        operations: how often each operation stands in A and in B, where that differs.
        drop_in: whether B can stand in for A.
        sentence: that in one line, with the reason.
    """

    a: Side
    b: Side
    lacking: tuple[str, ...]
    tasks: tuple[TaskComparison, ...]
    operations: dict[str, tuple[int, int]]
    drop_in: DropIn
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain JSON."""
        return {
            "schema": SCHEMA,
            "a": _side(self.a),
            "b": _side(self.b),
            "lacking": list(self.lacking),
            "tasks": [task.to_json() for task in self.tasks],
            "operations": {name: list(counts) for name, counts in self.operations.items()},
            "drop_in": self.drop_in,
            "sentence": self.sentence,
        }


def compare(a: Side, b: Side, margin: float | None = None) -> Comparison:
    """Compares `b` with `a`.

    Args:
        a: what stands now.
        b: what may stand in for it.
        margin: how much worse on a task is no matter, a share of 1; None takes that of the rule that A was published
            by, and without one the default of a recipe.

    Raises:
        DataError: if predictions of the evidence are missing or damaged.
    """
    rule = a.rule or Rule()
    if margin is not None:
        rule = Rule(confidence=rule.confidence, non_inferiority_margin=margin)
    lacking = tuple(lacks(b.interface, a.interface))
    tasks = compare_tasks(a.evidence, b.evidence, rule)
    operations = {
        name: (a.operations.get(name, 0), b.operations.get(name, 0))
        for name in sorted({*a.operations, *b.operations})
        if a.operations.get(name) != b.operations.get(name)
    }
    return Comparison(a, b, lacking, tasks, operations, *_verdict(a, b, lacking, tasks))


def _verdict(a: Side, b: Side, lacking: tuple[str, ...], tasks: tuple[TaskComparison, ...]) -> tuple[DropIn, str]:
    if a.digest == b.digest:
        return "yes", f"{b.name} is a drop-in for {a.name}: they are the same files."
    if lacking:
        first, *others = lacking
        more = f" ({len(others)} more)" if others else ""
        return "no", f"{b.name} is no drop-in for {a.name}: {first}{more}"
    paired = [(task, task.difference) for task in tasks if task.difference]
    worse = [(task, difference) for task, difference in paired if not difference.held]
    if worse:
        task, difference = worse[0]
        return "no", (
            f"{b.name} is no drop-in for {a.name}: fine-tuned on {task.task} it may be more than "
            f"{100 * difference.margin:g} points worse, {points_text(difference)}."
        )
    if not paired:
        why = next((task.incomparable_because for task in tasks), "there is no evidence of either")
        return "interface only", (
            f"{b.name} has the interface of {a.name}; whether it fine-tunes as well is not known, for {why}."
        )
    found = "; ".join(f"{points_text(difference)} on {task.task}" for task, difference in paired)
    return "yes", f"{b.name} is a drop-in for {a.name}: the same interface, and fine-tuned {found}."


def points_text(difference: Difference) -> str:
    """The difference with its interval, in points."""
    low, high = 100 * difference.low, 100 * difference.high
    return f"{100 * difference.estimate:+z.1f} points [{low:+z.1f}, {high:+z.1f}]"


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "digest": side.digest,
        "size_bytes": side.size_bytes,
        "parameters": side.parameters,
        "operations": sum(side.operations.values()),
        "interface": side.interface.to_json(),
        "data": {where: list(digests) for where, digests in side.data.items()} if side.data is not None else None,
    }
