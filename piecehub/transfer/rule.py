"""The blessing rule: what a recipe asks of the evidence, for all tasks and for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from piecehub.errors import RecipeError
from piecehub.facts.reference import CONTROLS

Role = Literal["gate", "report", "negative_control"]
# Three quarters of a point keep out what 0 blesses: a lucky draw of random weights (docs/evaluate.md).
MIN_GAIN = 0.0075


@dataclass(frozen=True)
class TaskRule:
    """What is asked of one task.

    Attributes:
        role: a task of the `gate` blesses or refuses, a `report` is only shown, and a `negative_control`, on which no
            piece can help, warns if one seems to.
        min_gain, non_inferiority_margin: as of the rule.
    """

    role: Role
    min_gain: float
    non_inferiority_margin: float


@dataclass(frozen=True)
class Rule:
    """What the recipe asks of the evidence; metrics and gains are shares of 1, so 0.02 is 2 points.

    Attributes:
        min_gain: the mode must beat its control by more.
        non_inferiority_margin: the mode may be worse than the incumbent's by less.
        min_seeds: below it there is no verdict.
        confidence: of the two-sided interval of the gain, and of the one-sided bound against the incumbent.
        incomparable_incumbent: `refuse` or `accept`, where the incumbent's evidence is of another task or protocol.
        min_tasks: on how many tasks of the gate the mode must beat its control, by Holm's rule; 0 is on each.
        tasks: what is asked of single tasks instead, by name: any of the fields of `TaskRule`.
        mode: the way of using a piece that is judged: `fine_tuning`, or frozen features (`feature_extraction`).
    """

    min_gain: float = MIN_GAIN
    non_inferiority_margin: float = 0.02
    min_seeds: int = 5
    confidence: float = 0.95
    incomparable_incumbent: str = "refuse"
    min_tasks: int = 0
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    mode: str = "fine_tuning"

    def __post_init__(self) -> None:
        if self.mode not in CONTROLS:
            raise RecipeError(f"Expected a mode that a gate judges, {' or '.join(CONTROLS)}. Received: '{self.mode}'.")
        if self.incomparable_incumbent not in ("refuse", "accept"):
            raise RecipeError(
                "Expected 'refuse' or 'accept' for an incumbent that cannot be compared. Received: "
                f"'{self.incomparable_incumbent}'."
            )
        if not 0.5 < self.confidence < 1 or self.non_inferiority_margin < 0 or self.min_tasks < 0:
            raise RecipeError(
                "Expected a confidence between 0.5 and 1, a margin and a number of tasks of 0 or more. Received: "
                f"{self.confidence}, {self.non_inferiority_margin} and {self.min_tasks}."
            )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Reads what `dataclasses.asdict` made of a rule, also of one from before there were roles or modes."""
        return cls(**value)

    def of(self, task: str) -> TaskRule:
        """What is asked of the task of that name."""
        own = {"role": "gate", "min_gain": self.min_gain, "non_inferiority_margin": self.non_inferiority_margin}
        return TaskRule(**own | dict(self.tasks.get(task, {})))

    @property
    def control(self) -> str:
        """The mode that the judged one is held against."""
        return CONTROLS[self.mode]

    @property
    def level(self) -> float:
        """The one-sided level of a test of superiority: half of what the two-sided interval leaves out."""
        return (1 - self.confidence) / 2
