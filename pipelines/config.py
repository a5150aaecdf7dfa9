"""The recipe: what is computed, read strictly from `recipe.toml` into frozen dataclasses.

Every number that changes the result stands in the recipe, once; where things lie is told to the runner. The loader is
strict: an unknown key, a wrong type or a missing entry is one sentence and exit code 2.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from piecehub.errors import RecipeError
from piecehub.handle import Handle, check_name, check_publisher

RECIPES = Path(__file__).parent / "recipes"
# PostgreSQL's index on string properties ends at 2.7 kB, so ML Metadata on it refuses longer parameters.
_TEXT_BYTES = 2000
_STRICT = ConfigDict(extra="forbid", strict=True)

Text = Annotated[str, Field(min_length=1, max_length=_TEXT_BYTES)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Seeds = Annotated[tuple[int, ...], Field(min_length=1)]


@dataclass(frozen=True)
class About:
    """`[recipe]`: what the result is called, and what to expect of the command."""

    __pydantic_config__ = _STRICT
    name: str
    command: Text
    minutes: float
    expected: Text
    publisher: str = "piecehub"


@dataclass(frozen=True)
class Data:
    """`[data]`: a module that writes the examples once, or a folder of your own TFRecords in the same layout.

    Attributes:
        label: the feature that is the class; empty if upstream examples have none, as where `train.loss` needs none.
        schema: what examples must look like; a task may have a schema and a label of its own.
        module, arguments: a file of the recipe, and what its function `write(folder, **arguments)` is called with.
        folder: the folder of your own TFRecords.
    """

    __pydantic_config__ = _STRICT
    label: str = ""
    schema: str = "schema.pbtxt"
    module: str = ""
    folder: str = ""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Model:
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
    module: str = "model.py"
    function: str = "build_model"
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    checkpoint: str = ""
    parent: str = ""


@dataclass(frozen=True)
class Train:
    """`[train]`: 0 epochs publish nothing, but show what random weights are worth.

    Attributes:
        loss, accuracy: functions of the model's module, `(y_true, y_pred) -> [batch] float32`, for models that are no
            classifiers; without them a model ends in logits. Where examples have no label, `y_true` is 0.
    """

    __pydantic_config__ = _STRICT
    epochs: Annotated[int, Field(ge=0)]
    batch_size: Positive
    learning_rate: Rate
    optimizer: str = "adam"
    seed: int = 0
    loss: str = ""
    accuracy: str = ""


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
            (`ExportOptions` in piecehub/modeling/reusable.py).
    """

    __pydantic_config__ = _STRICT
    name: str = ""
    road: Literal["cut", "take", "whole", "core"] = "cut"
    layer: str | tuple[Text, ...] = ""
    features: str = ""
    description: Annotated[str, Field(max_length=_TEXT_BYTES)] = ""
    hub_tasks: tuple[str, ...] = ()
    trainable: tuple[Text, ...] = ()
    frozen: Literal["refuse", "unfreeze", "keep"] = "refuse"
    hyperparameters: tuple[Literal["dropout_rate", "batch_norm_momentum"], ...] = ()
    return_losses: bool = False
    sub_pieces: dict[str, Text] = field(default_factory=dict[str, str])
    golden: Literal["synthetic", "none"] = "synthetic"
    preprocessor: str = ""

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that it names."""
        return self.layer if isinstance(self.layer, tuple) else tuple(filter(None, [self.layer]))


@dataclass(frozen=True)
class DownstreamTask:
    """`[[task]]`: examples in the folder `name`, splits `pool` and `test`; it judges all pieces, or those it names.

    Attributes:
        schema, label: those of its examples, if they are others than `[data]` says.
        kind: of the label: a class, several labels (a row of 0 and 1), or a value; it decides the metric.
        role: the tasks of the `gate` bless or refuse; a `report` is only shown, a `negative_control` only warns.
        shots, seeds: in place of those of `[evaluation]`.
        min_gain, non_inferiority_margin: in place of those of `[gate]`.
    """

    __pydantic_config__ = _STRICT
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    pieces: tuple[Text, ...] = ()
    schema: str = ""
    label: str = ""
    kind: Literal["classification", "multi_label", "regression"] = "classification"
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
    """`[documentation]`: what only a person knows."""

    __pydantic_config__ = _STRICT
    description: Text
    intended_use: Text
    limitations: Text
    training_data: Text
    license: Text
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
    documentation: DocumentationFacts
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


def load_recipe(recipe: str, settings: Iterable[str] = ()) -> LoadedRecipe:
    """The recipe in a folder, or of a name in `pipelines/recipes`, with `KEY=VALUE` settings laid over it.

    Raises:
        RecipeError: naming the first thing that is wrong.
    """
    folder = find_recipe(recipe)
    try:
        values = tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"Expected TOML in '{folder / 'recipe.toml'}'. Received: {error}.") from error
    for setting in settings:
        _lay_over(values, setting)
    return LoadedRecipe(folder, _check(parse(values)))


def find_recipe(recipe: str) -> Path:
    """The recipe's folder, absolute."""
    for folder in (Path(recipe), RECIPES / recipe):
        if (folder / "recipe.toml").is_file():
            return folder.resolve()
    names = ", ".join(sorted(p.parent.name for p in RECIPES.glob("*/recipe.toml")))
    raise RecipeError(f"Expected a folder with a 'recipe.toml', or one of: {names}. Received: '{recipe}'.")


def parse(values: dict[str, Any]) -> Recipe:
    """A recipe from TOML's values; unknown keys and wrong types raise RecipeError."""
    piece = values.get("piece")
    try:
        # JSON mode is what lets a strict reader take TOML's lists as tuples and its whole numbers as floats.
        one_or_several = {"piece": [piece]} if isinstance(piece, dict) else {}
        recipe = TypeAdapter(Recipe).validate_json(json.dumps(values | one_or_several), strict=True)
        return _with_names(_with_examples(recipe))
    except (ValidationError, TypeError) as error:
        raise RecipeError(_sentence(error)) from error


def _with_names(recipe: Recipe) -> Recipe:
    """The recipe with a name for its piece, if there is one piece and it has none."""
    first, *others = recipe.piece
    return recipe if others or first.name else replace(recipe, piece=(replace(first, name=recipe.recipe.name),))


def _with_examples(recipe: Recipe) -> Recipe:
    """The recipe with the schema and the label of `[data]` for each task that has none of its own."""
    data = recipe.data
    tasks = (replace(t, schema=t.schema or data.schema, label=t.label or data.label) for t in recipe.task)
    return replace(recipe, task=tuple(tasks))


def _sentence(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return f"Expected numbers, texts, lists and tables in the recipe. Received: {error}."
    first = error.errors(include_url=False)[0]
    key = _key(first["loc"])
    match first["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"Expected only known keys in the recipe. Received: '{key}'{_closest(key)}."
        case "missing" | "missing_argument":
            return f"Expected the entry '{key}' in the recipe. Received: none; add it."
        case _:
            message = first["msg"].removeprefix("Input should be ")
            return f"Expected {message} for '{key}' in the recipe. Received: {first['input']!r}."


def _key(location: Sequence[str | int]) -> str:
    """Where an error lies as a person writes it: without the number of a table, and of what a union tried."""
    words = [str(part) for part in location if part not in ("str", "tuple[constrained-str, ...]")]
    return ".".join(w for n, w in enumerate(words) if not (n == 1 and w.isdigit() and words[0] == "piece"))


def _closest(key: str) -> str:
    known = [f"{table}.{entry}" for table, entry in _known_keys()] + [table for table, _ in _known_keys()]
    match = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    return f"; did you mean '{match[0]}'?" if match else ""


def _known_keys() -> list[tuple[str, str]]:
    tables = {
        "recipe": About,
        "data": Data,
        "model": Model,
        "train": Train,
        "piece": Piece,
        "evaluation": Evaluation,
        "gate": Gate,
        "documentation": DocumentationFacts,
    }
    return [(name, key) for name, table in tables.items() for key in table.__dataclass_fields__]


def _lay_over(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    *tables, last = key.strip().split(".")
    if not equals or not last:
        raise RecipeError(f"Expected a setting like 'train.epochs=3'. Received: '{setting}'.")
    place: Any = values
    for table in tables:
        place = place.setdefault(table, {})
        if not isinstance(place, dict):
            raise RecipeError(f"Expected a table of the recipe before the last dot. Received: '{setting}'.")
    try:
        place[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        place[last] = text  # a bare word is a text: `--set recipe.publisher=acme`


def _check(recipe: Recipe) -> Recipe:
    """What types alone do not say."""
    check_publisher(recipe.recipe.publisher)
    check_name(recipe.recipe.name)
    if bool(recipe.data.module) == bool(recipe.data.folder):
        raise RecipeError("Expected either 'data.module' or 'data.folder' in the recipe. Received: both or none.")
    if recipe.train.seed in recipe.seeds():
        raise RecipeError(
            "Expected a 'train.seed' that is no seed of the evaluation, or a control starts from the weights that the "
            f"piece started from. Received: {recipe.train.seed}; choose another."
        )
    _check_different("tasks", [task.name for task in recipe.task])
    _check_labels(recipe)
    _check_pieces(recipe)
    _check_tasks_of_pieces(recipe)
    for table in (recipe.model.arguments, recipe.data.arguments, *(piece.sub_pieces for piece in recipe.piece)):
        if len(json.dumps(table)) > _TEXT_BYTES:
            raise RecipeError(f"Expected arguments under {_TEXT_BYTES} bytes. Received: more; read them from a file.")
    if recipe.model.parent:
        Handle.parse(recipe.model.parent)
    return recipe


def _check_different(what: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise RecipeError(f"Expected {what} of different names in the recipe. Received: {', '.join(names)}.")


def _check_labels(recipe: Recipe) -> None:
    if bool(recipe.train.loss) != bool(recipe.train.accuracy):
        raise RecipeError("Expected both 'train.loss' and 'train.accuracy' in the recipe, or none. Received: one.")
    if not recipe.data.label and not recipe.train.loss:
        raise RecipeError(
            "Expected the entry 'data.label' in the recipe, or a 'train.loss' that needs none. Received: neither."
        )
    for task in recipe.task:
        if not task.label:
            raise RecipeError(f"Expected a label for the task '{task.name}' in the recipe. Received: none; add it.")


def _check_pieces(recipe: Recipe) -> None:
    for piece in recipe.piece:
        if not piece.name:
            raise RecipeError(
                "Expected a name for each of several pieces in the recipe. Received: one without; add it."
            )
        check_name(piece.name)
        _check_layer(piece)
    if len({camel_case(piece.name) for piece in recipe.piece}) < len(recipe.piece):
        names = ", ".join(piece.name for piece in recipe.piece)
        raise RecipeError(f"Expected pieces whose names differ in letters or digits. Received: {names}; rename one.")


def _check_layer(piece: Piece) -> None:
    wanted = {"cut": "one layer or several", "take": "one layer"}.get(piece.road, "none")
    if piece.road in ("cut", "take") and not piece.layers:
        raise RecipeError("Expected the entry 'piece.layer' in the recipe. Received: none; add it.")
    if len(piece.layers) > {"cut": len(piece.layers), "take": 1}.get(piece.road, 0):
        raise RecipeError(
            f"Expected {wanted} in 'piece.layer' for the road '{piece.road}'. Received: {', '.join(piece.layers)}."
        )


def _check_tasks_of_pieces(recipe: Recipe) -> None:
    names = [piece.name for piece in recipe.piece]
    unknown = [name for task in recipe.task for name in task.pieces if name not in names]
    if unknown:
        raise RecipeError(f"Expected pieces of the recipe ({', '.join(names)}) in a task. Received: '{unknown[0]}'.")
    for piece in recipe.piece:
        judging = [task for task in recipe.tasks_of(piece) if task.role == "gate"]
        if not judging:
            raise RecipeError(f"Expected a task that judges the piece '{piece.name}'. Received: none; add one.")
        if recipe.gate.min_tasks > len(judging):
            raise RecipeError(
                f"Expected 'gate.min_tasks' of at most {len(judging)}, as many as judge the piece '{piece.name}'. "
                f"Received: {recipe.gate.min_tasks}."
            )


def camel_case(name: str) -> str:
    """A name as part of a component's id, in letters and digits only, as Kubeflow wants it."""
    return "".join(word.capitalize() for word in re.split(r"[^a-z0-9]+", name))
