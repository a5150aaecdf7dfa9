"""The recipe: what is computed, read strictly from `recipe.toml` into frozen dataclasses.

Every number that changes the result stands in the recipe, once; where things lie is told to the runner. The loader is
strict: an unknown key, a wrong type or a missing entry is one sentence and exit code 2.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from piecehub.errors import RecipeError
from piecehub.handle import check_name, check_publisher

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
    """`[data]`: a module that writes the examples once, or a folder of your own TFRecords in the same layout."""

    __pydantic_config__ = _STRICT
    label: Text
    schema: str = "schema.pbtxt"
    module: str = ""
    folder: str = ""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Model:
    """`[model]`: the function that builds the full model, as `function(seed=…, **arguments) -> keras.Model`."""

    __pydantic_config__ = _STRICT
    module: str = "model.py"
    function: str = "build_model"
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Train:
    """`[train]`: 0 epochs publish nothing, but show what random weights are worth."""

    __pydantic_config__ = _STRICT
    epochs: Annotated[int, Field(ge=0)]
    batch_size: Positive
    learning_rate: Rate
    optimizer: str = "adam"
    seed: int = 0


@dataclass(frozen=True)
class PieceCut:
    """`[piece]`: `cut` at a layer after the fact, or `take` the layer that was built first, as a model of its own."""

    __pydantic_config__ = _STRICT
    layer: Text
    road: Literal["cut", "take"] = "cut"


@dataclass(frozen=True)
class DownstreamTask:
    """`[[task]]`: examples in the folder `name`, splits `pool` and `test`."""

    __pydantic_config__ = _STRICT
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


@dataclass(frozen=True)
class Evaluation:
    """`[evaluation]`: the grid of trials, the same for every mode (docs of the protocol: piecehub/transfer)."""

    __pydantic_config__ = _STRICT
    shots: Annotated[tuple[Positive, ...], Field(min_length=1)]
    seeds: Seeds
    learning_rates: Annotated[tuple[Rate, ...], Field(min_length=1)]
    steps: Positive
    batch_size: Positive
    inverse_regularization: Annotated[tuple[Rate, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Gate:
    """`[gate]`: the blessing rule."""

    __pydantic_config__ = _STRICT
    min_gain: float = 0.0
    non_inferiority_margin: Annotated[float, Field(ge=0)] = 0.02
    min_seeds: Annotated[int, Field(ge=2)] = 5
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    incomparable_incumbent: Literal["refuse", "accept"] = "refuse"


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
    piece: PieceCut
    task: Annotated[tuple[DownstreamTask, ...], Field(min_length=1)]
    evaluation: Evaluation
    documentation: DocumentationFacts
    model: Model = field(default_factory=Model)
    gate: Gate = field(default_factory=Gate)


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
    try:
        # JSON mode is what lets a strict reader take TOML's lists as tuples and its whole numbers as floats.
        return TypeAdapter(Recipe).validate_json(json.dumps(values), strict=True)
    except (ValidationError, TypeError) as error:
        raise RecipeError(_sentence(error)) from error


def _sentence(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return f"Expected numbers, texts, lists and tables in the recipe. Received: {error}."
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"Expected only known keys in the recipe. Received: '{key}'{_closest(key)}."
        case "missing" | "missing_argument":
            return f"Expected the entry '{key}' in the recipe. Received: none; add it."
        case _:
            message = first["msg"].removeprefix("Input should be ")
            return f"Expected {message} for '{key}' in the recipe. Received: {first['input']!r}."


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
        "piece": PieceCut,
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
    if recipe.train.seed in recipe.evaluation.seeds:
        raise RecipeError(
            "Expected a 'train.seed' that is no seed of the evaluation, or a control starts from the weights that the "
            f"piece started from. Received: {recipe.train.seed}; choose another."
        )
    names = [task.name for task in recipe.task]
    if len(set(names)) != len(names):
        raise RecipeError(f"Expected tasks of different names in the recipe. Received: {', '.join(names)}.")
    for table in (recipe.model.arguments, recipe.data.arguments):
        if len(json.dumps(table)) > _TEXT_BYTES:
            raise RecipeError(f"Expected arguments under {_TEXT_BYTES} bytes. Received: more; read them from a file.")
    return recipe
