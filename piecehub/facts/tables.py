"""What a component is told of a table of the recipe: one parameter, the canonical JSON of a frozen dataclass.

TFX records scalars only, and a parameter for each entry made doors of 22 arguments. A table holds what is computed,
never where: its JSON is part of the cache key, stands in ML Metadata for ever, and is published with the provenance.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, cast

from piecehub.errors import RecipeError
from piecehub.facts.content import canonical_json

# PostgreSQL's index on string properties ends at 2.7 kB, so ML Metadata on it refuses longer parameters.
MOST_BYTES = 2000


@dataclass(frozen=True)
class Table:
    """A value that travels as JSON."""

    @classmethod
    def of(cls, wider: object) -> Self:
        """The table with the entries of another value that has them, and more, as attributes."""
        return cls(**{entry.name: getattr(wider, entry.name) for entry in fields(cls)})

    def to_json(self) -> str:
        """Canonical JSON: equal tables give equal texts, so equal cache keys.

        Raises:
            RecipeError: if it is longer than a database takes.
        """
        text = canonical_json(self.entries()).decode()
        if len(text.encode()) > MOST_BYTES:
            raise RecipeError(
                f"Expected arguments under {MOST_BYTES} bytes. Received: {len(text.encode())}; read them from a file."
            )
        return text

    def entries(self) -> dict[str, Any]:
        """What `to_json` writes, by key."""
        return asdict(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class ModelTable(Table):
    """How the full model is built: `function(seed=…, **arguments)` of the recipe's file `module`.

    Attributes:
        decode: another function of it, which makes an example's features what the model takes; empty for none.
    """

    module: str = "model.py"
    function: str = "build_model"
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    decode: str = ""

    def entries(self) -> dict[str, Any]:
        """As a table's, but without `decode` where there is none, as it was before there was any."""
        found = super().entries()
        return found if self.decode else {key: value for key, value in found.items() if key != "decode"}


# The names of optimizers that Keras knows, in small letters; any other is a function of the recipe's.
KERAS_OPTIMIZERS = (
    *("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion", "muon", "nadam", "rmsprop"),
    *("schedulefreeadamw", "sgd"),
)


@dataclass(frozen=True)
class TrainTable(Table):
    """How it is trained (docs/training.md); functions are named, and stand in the model's module.

    In JSON, what came after the first seven stands only where it is not the default: a recipe that does not use a new
    entry keeps its cache key.

    Attributes:
        optimizer: a name that Keras knows, `{"class_name", "config"}` as Keras has it, or a function.
        loss, accuracy: functions, for a model that is no classifier.
        schedule: `{"class_name", "config"}` of one of `keras.optimizers.schedules`.
        gradient_clip: one of `clipnorm`, `global_clipnorm` and `clipvalue`.
        early_stopping: arguments of Keras' `EarlyStopping`.
        class_weight: by label, or "balanced".
        sample_weight: the feature that says how much an example counts.
        steps_per_epoch: None is a pass over the examples.
        precision: Keras' policy while the full model is built and trained.
        callbacks, augment, fit: functions.
    """

    epochs: int
    batch_size: int
    learning_rate: float | None = None
    optimizer: str | dict[str, Any] = "adam"
    seed: int = 0
    loss: str = ""
    accuracy: str = ""
    schedule: dict[str, Any] | None = None
    gradient_clip: dict[str, float] | None = None
    early_stopping: dict[str, Any] | None = None
    class_weight: str | dict[str, float] | None = None
    sample_weight: str = ""
    steps_per_epoch: int | None = None
    precision: str = "float32"
    callbacks: str = ""
    augment: str = ""
    fit: str = ""

    def entries(self) -> dict[str, Any]:
        """Without what is left at its default, but for the entries that were there first."""
        found = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        defaults = {entry.name: entry.default for entry in fields(self)[7:]} | {"learning_rate": None}
        return {key: value for key, value in found.items() if key not in defaults or value != defaults[key]}

    def functions(self) -> dict[str, str]:
        """The functions of the model's module that it names, by entry."""
        own = isinstance(self.optimizer, str) and self.optimizer.lower() not in KERAS_OPTIMIZERS
        named = {key: getattr(self, key) for key in ("loss", "accuracy", "callbacks", "augment", "fit")}
        found = {"optimizer": self.optimizer if isinstance(self.optimizer, str) and own else "", **named}
        return {key: name for key, name in found.items() if name}


@dataclass(frozen=True)
class TaskTable(Table):
    """What is asked of a downstream task's examples. What its verdict needs is no part: evidence outlives a margin.

    In JSON `slices` stands only where there are some: a task without keeps its cache key.
    """

    name: str
    kind: str = "classification"
    label: str = ""
    slices: tuple[str, ...] = ()

    def entries(self) -> dict[str, Any]:
        """Without `slices`, if there are none."""
        found = super().entries()
        return found if self.slices else {key: value for key, value in found.items() if key != "slices"}


@dataclass(frozen=True)
class LimitsTable(Table):
    """What an evaluation may find or cost; 0 seconds or trials is no limit."""

    max_leakage: float = 0.01
    max_seconds: float = 0.0
    max_trials: int = 0


def value_of(parameter: Any) -> Any:
    """The object that a parameter's text is the JSON of; any other parameter as it is."""
    if not isinstance(parameter, str) or not parameter.startswith("{"):
        return parameter
    try:
        return json.loads(parameter)
    except json.JSONDecodeError:
        return parameter


def unfolded(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A component's parameters for a person: of a table each entry by itself, as `train.epochs`."""
    found: dict[str, Any] = {}
    for key, parameter in parameters.items():
        value = value_of(parameter)
        table = cast(dict[str, Any], value) if isinstance(value, dict) else {}
        found |= {f"{key}.{entry}": item for entry, item in table.items()} or {key: value}
    return found
