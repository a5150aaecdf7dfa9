"""The tables of a recipe, as frozen dataclasses: every number that changes the result, once."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from piecehub.facts.tables import MOST_BYTES, ModelTable, TaskTable, TrainTable

_STRICT = ConfigDict(extra="forbid", strict=True)

Text = Annotated[str, Field(min_length=1, max_length=MOST_BYTES)]
Note = Annotated[str, Field(max_length=MOST_BYTES)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Seeds = Annotated[tuple[int, ...], Field(min_length=1)]


@dataclass(frozen=True)
class About:
    """`[recipe]`: what the result is called, and what to expect of the command."""

    __pydantic_config__ = _STRICT
    name: str
    publisher: str = "piecehub"
    command: str = ""
    minutes: Annotated[float, Field(ge=0)] = 0.0
    expected: str = ""


@dataclass(frozen=True)
class Data:
    """`[data]`: a module that writes the examples once, or a folder of your own TFRecords in the same layout.

    Attributes:
        label: the feature that is the class; empty if upstream examples have none, as where `train.loss` needs none.
        schema: what examples must look like; a task may have a schema and a label of its own.
        decode: a function of the model's module, `decode(features) -> features` over one example, that makes of it what
            the model takes: pictures of JPEG bytes, tokens of a text. A task with a schema of its own names its own.
        module, arguments: a file of the recipe, and what its function `write(folder, **arguments)` is called with.
        upstream: whether there are examples to train the full model on. Without, it keeps the weights that it comes
            with (`[model] checkpoint` or `parent`, 0 epochs), and nobody looks whether it has seen a task's examples.
        reads: files and folders elsewhere that `module` reads; when one of them changes, examples are written anew.
        folder: the folder of your own TFRecords.
    """

    __pydantic_config__ = _STRICT
    label: str = ""
    schema: str = "schema.pbtxt"
    decode: str = ""
    module: str = ""
    folder: str = ""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    reads: tuple[Text, ...] = ()
    upstream: bool = True


@dataclass(frozen=True)
class Model(ModelTable):
    """`[model]`: the function that builds the full model, as `function(seed=…, **arguments) -> keras.Model`.

    Attributes:
        module: the recipe's file that holds the function.
        function: its name; for the road `core` it returns `(core, pretrainer)`.
        arguments: passed on by name.
        checkpoint: where training starts, a `.weights.h5` file or a TensorFlow checkpoint in the recipe's folder.
        parent: `publisher/name/version` of a published piece to start from; the function then gets the folder of its
            SavedModel as the keyword `parent`.
    """

    __pydantic_config__ = _STRICT
    checkpoint: str = ""
    parent: str = ""

    def read_by(self, decode: str) -> ModelTable:
        """What a component is told of the model, and of the function that decodes the examples it reads."""
        return replace(ModelTable.of(self), decode=decode)


@dataclass(frozen=True)
class Train(TrainTable):
    """`[train]`: 0 epochs publish nothing, but show what random weights are worth.

    Attributes:
        loss, accuracy: functions of the model's module, `(y_true, y_pred) -> [batch] float32`, for models that are no
            classifiers; without them a model ends in logits. Where examples have no label, `y_true` is 0.

    docs/training.md tells all of them.
    """

    __pydantic_config__ = _STRICT
    epochs: Annotated[int, Field(ge=0)]
    batch_size: Positive
    learning_rate: Rate | None = None
    gradient_clip: dict[str, Rate] | None = None
    class_weight: Literal["balanced"] | dict[str, Annotated[float, Field(ge=0)]] | None = None
    steps_per_epoch: Positive | None = None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"


@dataclass(frozen=True)
class Piece:
    """`[piece]`, or one of several `[[piece]]`: what is shared of the full model, and how it is exported.

    The roads lead to it: `cut` at one layer or several after the fact, `take` the layer that was built first as a model
    of its own, the `whole` model, or the `core` that the recipe's function returned beside the model that is trained.

    Attributes:
        name: what it is published as; the recipe's name if there is one piece.
        layer: where to cut, or what to take; several to cut at give a dict of outputs by the layers' names.
        features: which output downstream models read, where the piece has a dict of them.
        description, hub_tasks: what its page says instead of the recipe's `[documentation]`.
        trainable, frozen, hyperparameters, return_losses, sub_pieces, golden, preprocessor: how to export it
            (`ExportOptions` in piecehub/exporting/reusable.py); `golden` may also name a function of the model's module
            that takes nothing and gives golden inputs, which are published.
    """

    __pydantic_config__ = _STRICT
    name: str = ""
    road: Literal["cut", "take", "whole", "core"] = "cut"
    layer: str | tuple[Text, ...] = ""
    features: str = ""
    description: Annotated[str, Field(max_length=MOST_BYTES)] = ""
    hub_tasks: tuple[str, ...] = ()
    trainable: tuple[Text, ...] = ()
    frozen: Literal["refuse", "unfreeze", "keep"] = "refuse"
    hyperparameters: tuple[Literal["dropout_rate", "batch_norm_momentum"], ...] = ()
    return_losses: bool = False
    sub_pieces: dict[str, Text] = field(default_factory=dict[str, str])
    golden: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "synthetic"
    preprocessor: str = ""

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that it names."""
        return self.layer if isinstance(self.layer, tuple) else tuple(filter(None, [self.layer]))


@dataclass(frozen=True)
class DownstreamTask(TaskTable):
    """`[[task]]`: examples in the folder `name`, splits `pool` and `test`; it judges all pieces, or those it names.

    Attributes:
        schema, label, decode: those of its examples, if they are others than `[data]` says.
        kind: of the label: a class, several labels (a row of 0 and 1), or a value; it decides the metric.
        role: the tasks of the `gate` bless or refuse; a `report` is only shown, a `negative_control` only warns.
        shots, seeds: in place of those of `[evaluation]`.
        min_gain, non_inferiority_margin: in place of those of `[gate]`.
    """

    __pydantic_config__ = _STRICT
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    kind: Literal["classification", "multi_label", "regression"] = "classification"
    pieces: tuple[Text, ...] = ()
    schema: str = ""
    decode: str = ""
    role: Literal["gate", "report", "negative_control"] = "gate"
    shots: tuple[Positive, ...] = ()
    seeds: tuple[int, ...] = ()
    min_gain: float | None = None
    non_inferiority_margin: Annotated[float, Field(ge=0)] | None = None


@dataclass(frozen=True)
class Evaluation:
    """`[evaluation]`: the grid of trials, the same for every mode (docs/evaluate.md).

    Attributes:
        shots: examples a class of a classification, else examples in all.
        sensitivity_batch_sizes: fine-tuning with its chosen setting is also tried with these.
        max_leakage: the share of downstream examples that may equal an upstream example, or nearly so.
        max_seconds, max_trials: what one task may cost; an evaluation that needs more is inconclusive. 0 is no limit.
    """

    __pydantic_config__ = _STRICT
    shots: Annotated[tuple[Positive, ...], Field(min_length=1)]
    seeds: Seeds
    learning_rates: Annotated[tuple[Rate, ...], Field(min_length=1)]
    steps: Positive
    batch_size: Positive
    inverse_regularization: Annotated[tuple[Rate, ...], Field(min_length=1)]
    sensitivity_batch_sizes: tuple[Positive, ...] = (8, 32, 128)
    max_leakage: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_seconds: Annotated[float, Field(ge=0)] = 0.0
    max_trials: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class Gate:
    """`[gate]`: the blessing rule (piecehub/transfer/rule.py)."""

    __pydantic_config__ = _STRICT
    min_gain: float = 0.0
    non_inferiority_margin: Annotated[float, Field(ge=0)] = 0.02
    min_seeds: Annotated[int, Field(ge=2)] = 5
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    incomparable_incumbent: Literal["refuse", "accept"] = "refuse"
    min_tasks: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class DocumentationFacts:
    """`[documentation]`: what only a person knows. Without it a recipe runs to its verdict, and is not published."""

    __pydantic_config__ = _STRICT
    description: Note = ""
    intended_use: Note = ""
    limitations: Note = ""
    training_data: Note = ""
    license: Note = ""
    hub_tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """One recipe, and the folder that it was read from."""

    __pydantic_config__ = _STRICT
    recipe: About
    data: Data
    train: Train
    piece: Annotated[tuple[Piece, ...], Field(min_length=1)]
    task: Annotated[tuple[DownstreamTask, ...], Field(min_length=1)]
    evaluation: Evaluation
    documentation: DocumentationFacts = field(default_factory=DocumentationFacts)
    model: Model = field(default_factory=Model)
    gate: Gate = field(default_factory=Gate)

    def tasks_of(self, piece: Piece) -> tuple[DownstreamTask, ...]:
        """The tasks that judge a piece."""
        return tuple(task for task in self.task if not task.pieces or piece.name in task.pieces)

    def seeds(self) -> list[int]:
        """The seeds of all tasks: a piece has a control for each."""
        return sorted({seed for task in self.task for seed in task.seeds or self.evaluation.seeds})


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe with its place on this machine."""

    folder: Path
    config: Recipe
