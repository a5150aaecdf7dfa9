"""The tables of a recipe, as frozen dataclasses: every number that changes the result, once.

What their docstrings say of each entry is what docs/recipe.md says of it (`reference`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import ConfigDict, Field

from piecehub.facts.tables import MOST_BYTES, ModelTable, TaskTable, TrainTable
from piecehub.transfer.rule import MIN_GAIN
from pipelines.recipe.kubeflow_table import OnKubeflow

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

# The weights that training starts from: no number that somebody gives as a seed of an evaluation, whose controls start
# from those.
DEFAULT_SEED = 1_000_000

Text = Annotated[str, Field(min_length=1, max_length=MOST_BYTES)]
Note = Annotated[str, Field(max_length=MOST_BYTES)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
# Shares of 1: who says 2 means points.
Gain = Annotated[float, Field(lt=1)]
Margin = Annotated[float, Field(ge=0, le=1)]
Seeds = Annotated[tuple[int, ...], Field(min_length=1)]


@dataclass(frozen=True)
class About:
    """`[recipe]`: what the result is called.

    Attributes:
        name: of the recipe and, if there is one piece, of what is published: lower-case letters, digits, `.`, `_` and
            `-`.
        publisher: whose name stands before it.
        command: what to call, for a reader of the recipe.
        minutes: how long that takes, for a reader.
        expected: what comes out, for a reader.
    """

    __pydantic_config__ = _STRICT
    name: str
    publisher: str = "piecehub"
    command: Note = ""
    minutes: Annotated[float, Field(ge=0)] = 0.0
    expected: Note = ""


@dataclass(frozen=True)
class Data:
    """`[data]`: a module that writes the examples once, or a folder of your own TFRecords in the same layout.

    Attributes:
        label: the feature that is the class; empty if upstream examples have none, as where `train.loss` needs none.
        schema: what examples must look like; a task may have a schema and a label of its own.
        decode: a function of the model's module, `decode(features) -> features` over one example, that makes of it what
            the model takes: pictures of JPEG bytes, tokens of a text. A task with a schema of its own names its own.
        module: a file of the recipe, such as `data.py`, whose function `write(folder, **arguments)` writes the
            examples.
        arguments: what that function is called with, by name.
        folder: the folder of your own TFRecords, in place of a module; or a bucket, `s3://`, `gs://` or `az://`. With
            `{SPAN}`, or `{YYYY}`, `{MM}` and `{DD}`, in its name each run reads the newest of them that is complete.
        upstream: whether there are examples to train the full model on. Without, it keeps the weights that it comes
            with (`[model] checkpoint` or `parent`, 0 epochs), and nobody looks whether it has seen a task's examples.
        reads: files and folders elsewhere that `module` reads; when one of them changes, examples are written anew.
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
        checkpoint: where training starts: a `.weights.h5` or `.keras` file or a TensorFlow checkpoint in the recipe's
            folder.
        parent: `publisher/name/version` of a published piece to start from; the function then gets the folder of its
            SavedModel as the keyword `parent`.
    """

    __pydantic_config__ = _STRICT
    decode: str = field(default="", init=False)  # that of the examples a component reads (`read_by`): no key
    checkpoint: str = ""
    parent: str = ""

    def read_by(self, decode: str) -> ModelTable:
        """What a component is told of the model, and of the function that decodes the examples it reads."""
        return replace(ModelTable.of(self), decode=decode)


@dataclass(frozen=True)
class Train(TrainTable):
    """`[train]`: how the full model is trained (docs/training.md).

    Attributes:
        epochs: 0 keep the random weights, which publishes nothing, but shows what these are worth.
        batch_size: examples a step.
        learning_rate: may be left out where `schedule`, the optimizer's table or its function has it.
        seed: of the first weights and of the order of examples; no seed of the evaluation, whose controls start from
            those.
        optimizer: a name that Keras knows, `{class_name = "…", config = {…}}` as Keras serializes it, or a function of
            the model's module.
        loss: a function of the model's module, `(y_true, y_pred) -> [batch] float32`, for a model that is no
            classifier; without it the model ends in logits. Where examples have no label, `y_true` is 0.
        accuracy: such a function beside `loss`: how right the model is with each example, 0 to 1.
        schedule: `{class_name = "…", config = {…}}` of one of `keras.optimizers.schedules`.
        gradient_clip: one of `clipnorm`, `global_clipnorm` and `clipvalue`.
        early_stopping: arguments of Keras' `EarlyStopping`; the best weights come back unless it says otherwise.
        class_weight: a weight by label, others count 1; or `balanced`, by how many examples each class has.
        sample_weight: the feature that says how much an example counts; it is no input of the model.
        steps_per_epoch: left out, an epoch is a pass over the examples.
        precision: Keras' policy while the full model is built and trained; the piece is exported as float32.
        callbacks: a function `() -> [keras.callbacks.Callback, …]`.
        augment: a function `(features, seed) -> features` of one decoded example of the training split.
        fit: a function `(training) -> None` that trains in your own way.
    """

    __pydantic_config__ = _STRICT
    epochs: Annotated[int, Field(ge=0)]
    batch_size: Positive
    learning_rate: Rate | None = None
    seed: int = DEFAULT_SEED
    gradient_clip: dict[str, Rate] | None = None
    class_weight: Literal["balanced"] | dict[str, Annotated[float, Field(ge=0)]] | None = None
    steps_per_epoch: Positive | None = None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"


@dataclass(frozen=True)
class Piece:
    """`[piece]`, or one of several `[[piece]]`: what is shared of the full model, and how it is exported.

    Attributes:
        name: what it is published as; the recipe's name if there is one piece.
        road: which leads to it: `cut` at one layer or several after the fact, `take` the layer that was built first as
            a model of its own, the `whole` model, the `core` that the recipe's function returned beside the model
            that is trained, or `as_is` the SavedModel that is the one `ReusableLayer` of a model that is not trained.
        layer: where to cut, or what to take; several to cut at give a dict of outputs by the layers' names.
        features: which output downstream models read, where the piece has a dict of them.
        description: what its page says instead of that of `[documentation]`.
        hub_tasks: those of its page instead of those of `[documentation]`.
        trainable: patterns (fnmatch) over the paths of variables: those that consumers are advised to train; none is
            all trainable weights.
        frozen: what to do if a layer with weights has `trainable = False`, which would be traced in inference mode for
            ever: `refuse` it, `unfreeze` it for the export, or `keep` it so.
        hyperparameters: which of these consumers may pass as float32 scalars; the default is the model's own.
        return_losses: adds the flag `return_losses=False` to the call; where true, the outputs are a dict with one key
            more, `losses`.
        sub_pieces: attribute name = name of the layer that it exports, one level deep.
        golden: `synthetic` inputs with a fixed seed, and their outputs, lie in the SavedModel; or `none`; or a function
            of the model's module that takes nothing and gives golden inputs, which are published.
        preprocessor: the handle of the companion SavedModel that makes its inputs.
    """

    __pydantic_config__ = _STRICT
    name: str = ""
    road: Literal["cut", "take", "whole", "core", "as_is"] = "cut"
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


# The entries of `[piece]` that an export settles.
EXPORT_OPTIONS = ("trainable", "frozen", "hyperparameters", "return_losses", "sub_pieces", "golden", "preprocessor")


@dataclass(frozen=True)
class DownstreamTask(TaskTable):
    """`[[task]]`: examples in the folder `name`, splits `pool` and `test`; it judges all pieces, or those it names.

    Attributes:
        name: the folder of its examples, beside `upstream`: lower-case letters, digits and `-`.
        schema: what its examples must look like, if they are others than `[data]` says.
        label: the feature that is asked for, if it is another than `[data]` says.
        decode: the function that makes of an example what the piece takes, if it is another than `[data]` says.
        kind: of the label: a class, several labels (a row of 0 and 1), or a value; it decides the metric.
        slices: features of its examples, texts or whole numbers of at most 50 values: what the piece gains on the test
            examples of each value stands on the page, and where it loses the gate warns.
        pieces: the names of those that it judges; none is all.
        role: the tasks of the `gate` bless or refuse; a `report` is only shown, a `negative_control` only warns.
        shots: in place of those of `[evaluation]`.
        seeds: in place of those of `[evaluation]`.
        min_gain: in place of that of `[gate]`.
        non_inferiority_margin: in place of that of `[gate]`.
    """

    __pydantic_config__ = _STRICT
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    kind: Literal["classification", "multi_label", "regression"] = "classification"
    slices: tuple[Text, ...] = ()
    pieces: tuple[Text, ...] = ()
    schema: str = ""
    decode: str = ""
    role: Literal["gate", "report", "negative_control"] = "gate"
    shots: tuple[Positive, ...] = ()
    seeds: tuple[int, ...] = ()
    min_gain: Gain | None = None
    non_inferiority_margin: Margin | None = None


@dataclass(frozen=True)
class Evaluation:
    """`[evaluation]`: the grid of trials, the same for every mode (docs/evaluate.md).

    Attributes:
        shots: examples a class of a classification, else examples in all, ascending.
        seeds: each fixes the examples, their order and the weights of the controls.
        learning_rates: of Adam, tried by every mode that trains weights, ascending.
        steps: of one training.
        batch_size: examples a step.
        inverse_regularization: logistic regression's C, or ridge regression's 1 / alpha, tried by every mode that
            freezes weights, ascending.
        sensitivity_batch_sizes: fine-tuning with its chosen setting is also tried with these.
        max_leakage: the share of downstream examples that may equal an upstream example, or nearly so.
        max_seconds: what one task may take; an evaluation that needs more is inconclusive. 0 is no limit.
        max_trials: how many trials one task may take; 0 is no limit.
    """

    __pydantic_config__ = _STRICT
    shots: Annotated[tuple[Positive, ...], Field(min_length=1)] = (5, 10, 25)
    seeds: Seeds = tuple(range(10))
    learning_rates: Annotated[tuple[Rate, ...], Field(min_length=1)] = (0.001, 0.003)
    steps: Positive = 200
    batch_size: Positive = 32
    inverse_regularization: Annotated[tuple[Rate, ...], Field(min_length=1)] = (0.03, 0.3, 3.0)
    sensitivity_batch_sizes: tuple[Positive, ...] = (8, 32, 128)
    max_leakage: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_seconds: Annotated[float, Field(ge=0)] = 0.0
    max_trials: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class Gate:
    """`[gate]`: the blessing rule (docs/evaluate.md); gains are shares of 1, so 0.02 is 2 points.

    Attributes:
        mode: what is blessed: `fine_tuning` the piece, or its frozen features (`feature_extraction`), whose page then
            says that it is not fine-tunable.
        min_gain: the interval of the gain must lie above it: of fine-tuning over from scratch, or of frozen features
            over random ones.
        non_inferiority_margin: how much worse than the published version it may be.
        min_seeds: with fewer there is no verdict.
        confidence: of the interval of the gain, and of the bound against the published version.
        incomparable_incumbent: what to do where the published version's evidence is of another task or protocol.
        min_tasks: on how many tasks of the gate it must gain, by Holm's rule; 0 is on each.
    """

    __pydantic_config__ = _STRICT
    mode: Literal["fine_tuning", "feature_extraction"] = "fine_tuning"
    min_gain: Gain = MIN_GAIN
    non_inferiority_margin: Margin = 0.02
    min_seeds: Annotated[int, Field(ge=2)] = 5
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    incomparable_incumbent: Literal["refuse", "accept"] = "refuse"
    min_tasks: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class DocumentationFacts:
    """`[documentation]`: what only a person knows, for the model's page.

    What is left empty is asked for before it is published.

    Attributes:
        description: one paragraph, which follows the page's first line.
        intended_use: what it is for, and what it takes.
        limitations: what it is not for.
        training_data: what it has seen, and whose that is.
        license: one that TensorFlow Hub knows, such as `apache-2.0`; `custom` is any other.
        hub_tasks: TensorFlow Hub's tasks of a piece that takes images or texts, such as `image-others`; all of
            them stand below.
    """

    __pydantic_config__ = _STRICT
    description: Note = ""
    intended_use: Note = ""
    limitations: Note = ""
    training_data: Note = ""
    license: Note = ""
    hub_tasks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One recipe."""

    __pydantic_config__ = _STRICT
    recipe: About
    data: Data
    model: Model = field(default_factory=Model)
    train: Train
    piece: Annotated[tuple[Piece, ...], Field(min_length=1)]
    task: Annotated[tuple[DownstreamTask, ...], Field(min_length=1)]
    evaluation: Evaluation = field(default_factory=Evaluation)
    gate: Gate = field(default_factory=Gate)
    documentation: DocumentationFacts = field(default_factory=DocumentationFacts)
    kubeflow: OnKubeflow = field(default_factory=OnKubeflow)

    def tasks_of(self, piece: Piece) -> tuple[DownstreamTask, ...]:
        """The tasks that judge a piece."""
        return tuple(task for task in self.task if not task.pieces or piece.name in task.pieces)

    def seeds(self) -> list[int]:
        """The seeds of all tasks: a piece has a control for each."""
        return sorted({seed for task in self.task for seed in task.seeds or self.evaluation.seeds})


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe with its place on this machine, the text that it was read from, and what was laid over that."""

    folder: Path
    config: Recipe
    text: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


def table_classes() -> dict[str, type[Any]]:
    """The dataclass of each table of a recipe, by its name, in the order in which they are written."""
    hints = get_type_hints(Recipe)
    return {entry.name: next(iter(get_args(hints[entry.name])), hints[entry.name]) for entry in fields(Recipe)}
