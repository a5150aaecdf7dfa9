"""Reads a recipe strictly: what is wrong with it is told all at once, by file and line, with exit code 2."""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from piecehub.errors import RecipeError
from piecehub.facts.pointers import refuse_pointers
from pipelines.recipe import lines
from pipelines.recipe.checks import recipe_faults
from pipelines.recipe.faults import FILE, Fault, Told, refuse, told
from pipelines.recipe.files import file_faults
from pipelines.recipe.settings import Settings, by_name, lay_over
from pipelines.recipe.tables import LoadedRecipe, Recipe
from pipelines.recipe.typed import Typed, typed

RECIPES = Path(__file__).parents[1] / "recipes"


def load_recipe(recipe: str | PathLike[str], settings: Settings = ()) -> LoadedRecipe:
    """The recipe in a folder, or of a name in `pipelines/recipes`, with settings laid over it (`settings.lay_over`).

    Raises:
        RecipeError: naming what is wrong; `SeveralFaults` if that is more than one thing.
    """
    return _without_faults(read_recipe(recipe, settings))


def load_tasks(recipe: str | PathLike[str], settings: Settings = ()) -> LoadedRecipe:
    """The same for who asks its tasks of another model: its own one, and what its page says, may be missing.

    Raises:
        RecipeError: as `load_recipe`.
    """
    return _without_faults(read_recipe(recipe, settings, unused=("model", "documentation")))


def _without_faults(read: "Read") -> LoadedRecipe:
    refuse(read.faults)
    assert read.config is not None  # or there would be faults
    return LoadedRecipe(read.folder, read.config, read.text, read.settings)


@dataclass(frozen=True)
class Read:
    """A recipe as it was read; without faults it has a `config`."""

    folder: Path
    faults: list[Told]
    config: Recipe | None = None
    text: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_recipe(recipe: str | PathLike[str], settings: Settings = (), unused: Collection[str] = ()) -> Read:
    """The recipe with all that is wrong with it; needs neither TensorFlow nor the recipe's code.

    Args:
        recipe: a folder, or a name.
        settings: laid over it.
        unused: the tables of which only keys and types are looked at.

    Raises:
        RecipeError: if there is none, or a setting is none.
    """
    folder = find_recipe(recipe)
    refuse_pointers([folder / FILE], "a recipe")
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        line = re.search(r"at line (\d+)", str(error))
        return Read(folder, [Told(FILE, int(line[1]) if line else 0, f"Expected TOML. Received: {error}.")])
    named = by_name(settings)
    faults, config = _read(values, text, named, folder, unused)
    return Read(folder, faults, config, text, named)


def check_text(text: str, settings: Settings = ()) -> None:
    """Passes if the text of a `recipe.toml` is a recipe with the settings, as far as can be told without its files.

    Raises:
        RecipeError: as `load_recipe`.
    """
    faults, _ = _read(tomllib.loads(text), text, by_name(settings), None, ())
    refuse(faults)


def parse_text(text: str, settings: Settings = ()) -> Recipe:
    """The recipe of a text with settings laid over it, of which only keys and types are looked at; as `parse`."""
    values = tomllib.loads(text)
    lay_over(values, by_name(settings))
    return parse(values)


def _read(
    values: dict[str, Any], text: str, settings: Mapping[str, Any], folder: Path | None, unused: Collection[str]
) -> tuple[list[Told], Recipe | None]:
    """What is wrong with a recipe's values, and what can be made of them; without a folder no file is looked at."""
    laid = lay_over(values, settings)
    found = typed(values)
    config = _completed(found.recipe) if found.recipe else None
    others = (fault for fault in _of_values(config, folder) if not found.is_guessed(fault.entries))
    faults = [*found.faults, *(fault for fault in others if not (fault.entries and fault.entries[0][0] in unused))]
    return told(faults, _places(text, found), laid), config


def _of_values(config: Recipe | None, folder: Path | None) -> Iterator[Fault]:
    """All that types do not say."""
    if config:
        yield from recipe_faults(config)
        yield from file_faults(config, folder) if folder else ()


def _places(text: str, found: Typed) -> dict[lines.Path, int]:
    """The lines of the entries as they are understood: one piece is a list of one, and what is misspelt is renamed."""
    places = lines.lines_of(text)
    for meant, written in found.aliases.items():
        places |= {
            meant + path[len(written) :]: line for path, line in places.items() if path[: len(written)] == written
        }
    one = {("piece", 0, *path[1:]): line for path, line in places.items() if path[0] == "piece"}
    return places if ("piece", 0) in places else one | places


def find_recipe(recipe: str | PathLike[str]) -> Path:
    """The recipe's folder, absolute."""
    for folder in (Path(recipe), RECIPES / recipe):
        if (folder / "recipe.toml").is_file():
            return folder.resolve()
    names = ", ".join(sorted(p.parent.name for p in RECIPES.glob("*/recipe.toml")))
    raise RecipeError(f"Expected a folder with a 'recipe.toml', or one of: {names}. Received: '{recipe}'.")


def parse(values: dict[str, Any]) -> Recipe:
    """A recipe from TOML's values; unknown keys and wrong types raise RecipeError."""
    found = typed(values)
    refuse(told(found.faults, {}, [()]))
    assert found.recipe is not None  # or there would be faults
    return _completed(found.recipe)


def _completed(recipe: Recipe) -> Recipe:
    """The recipe with what follows from other entries."""
    return _with_names(_with_examples(recipe))


def _with_names(recipe: Recipe) -> Recipe:
    """The recipe with a name for its piece, if there is one piece and it has none."""
    first, *others = recipe.piece
    return recipe if others or first.name else replace(recipe, piece=(replace(first, name=recipe.recipe.name),))


def _with_examples(recipe: Recipe) -> Recipe:
    """The recipe with what `[data]` says for each task that says nothing else; another schema is decoded otherwise."""
    data = recipe.data
    tasks = (
        replace(
            task,
            schema=task.schema or data.schema,
            label=task.label or data.label,
            decode=task.decode or ("" if task.schema else data.decode),
        )
        for task in recipe.task
    )
    return replace(recipe, task=tuple(tasks))
