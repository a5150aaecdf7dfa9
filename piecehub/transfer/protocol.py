"""The protocol: which trials are made of a task, and what its modes are."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, Self

from piecehub.errors import RecipeError
from piecehub.facts.content import canonical_json, sha256_bytes
from piecehub.facts.reference import mode_words

# 3: BatchNorm's statistics are re-estimated in batches.
VERSION = 3


@dataclass(frozen=True)
class Mode:
    """One way to use a piece on a downstream task.

    Attributes:
        name: how files call it.
        training: `probe` fits a linear model on frozen features (logistic regression, or ridge regression of values),
            `tuning` trains all weights with a new head, `probe_then_tuning` starts that from the probe's head (LP-FT,
            Kumar et al. 2022).
        weights: of the `piece`, or of the re-initialised `control`; with `none` the raw inputs are the features.
    """

    name: str
    training: Literal["probe", "tuning", "probe_then_tuning"]
    weights: Literal["piece", "control", "none"]

    @property
    def setting_name(self) -> str:
        """The hyperparameter that is chosen on validation."""
        return "inverse_regularization" if self.training == "probe" else "learning_rate"


MODES = {
    mode.name: mode
    for mode in (
        Mode("fine_tuning", "tuning", "piece"),
        Mode("lp_ft", "probe_then_tuning", "piece"),
        Mode("feature_extraction", "probe", "piece"),
        Mode("from_scratch", "tuning", "control"),
        Mode("random_features", "probe", "control"),
        Mode("raw_input", "probe", "none"),
    )
}
# The floor that needs no training: every test example gets the pool's class frequencies, or its mean.
MAJORITY = "majority"
TUNED = tuple(name for name, mode in MODES.items() if mode.training != "probe")


def mode_title(name: str, parent: str = "") -> str:
    """How a person calls a mode, of a piece with or without a parent."""
    return mode_words(name, parent).capitalize()


@dataclass(frozen=True)
class Protocol:
    """What is computed for a task; equal for treatment and control.

    Attributes:
        shots: labelled examples per class, ascending.
        seeds: each fixes the shots, the order of the data and the control's weights.
        learning_rates: tried by every mode that trains weights.
        steps: gradient steps of one training.
        batch_size: examples per step.
        inverse_regularization: logistic regression's C (ridge regression's 1 / alpha), tried by every mode that freezes
            weights.
        sensitivity_batch_sizes: fine-tuning with its chosen learning rate is also tried with these.
        version: of the trials' meaning; raised when the engine's numbers change.
    """

    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    steps: int
    batch_size: int
    inverse_regularization: tuple[float, ...]
    sensitivity_batch_sizes: tuple[int, ...] = (8, 32, 128)
    version: int = VERSION

    def __post_init__(self) -> None:
        check_ascending("shots", self.shots)
        check_ascending("seeds", self.seeds, 0)
        check_ascending("learning rates", self.learning_rates)
        check_ascending("values of inverse regularization", self.inverse_regularization)
        if self.sensitivity_batch_sizes:
            check_ascending("batch sizes of the sensitivity", self.sensitivity_batch_sizes)
        if self.steps < 1 or self.batch_size < 1:
            raise RecipeError(
                f"Expected 1 or more steps and a batch size of 1 or more. Received: {self.steps}, {self.batch_size}."
            )

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of all fields."""
        return f"sha256:{sha256_bytes(canonical_json(asdict(self)))}"

    def settings(self, mode: Mode) -> tuple[float, ...]:
        """The grid that `mode` chooses from."""
        return self.inverse_regularization if mode.training == "probe" else self.learning_rates

    def to_json(self) -> str:
        """The protocol as a JSON document that `from_json` reads."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote."""
        value: dict[str, Any] = json.loads(text)
        lists: dict[str, Any] = {key: tuple(item) for key, item in value.items() if isinstance(item, list)}
        return cls(**(value | lists))


def check_ascending(what: str, values: Sequence[float], least: float | None = None) -> None:
    """Passes if the values ascend, from above 0, or from `least` on; raises RecipeError if not."""
    too_small = values and (values[0] <= 0 if least is None else values[0] < least)
    if not values or too_small or any(a >= b for a, b in pairwise(values)):
        raise RecipeError(
            f"Expected one or more {what}, ascending, none twice, none too small. Received: {tuple(values)}."
        )
