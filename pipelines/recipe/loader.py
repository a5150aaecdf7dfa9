"""Reads a recipe strictly: an unknown key, a wrong type or a missing entry is one sentence and exit code 2."""

import json
import tomllib
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from piecehub.errors import RecipeError
from piecehub.facts.pointers import refuse_pointers
from pipelines.recipe.checks import checked
from pipelines.recipe.sentences import sentence
from pipelines.recipe.settings import Settings, lay_over
from pipelines.recipe.tables import LoadedRecipe, Recipe

RECIPES = Path(__file__).parents[1] / "recipes"


def load_recipe(recipe: str | PathLike[str], settings: Settings = ()) -> LoadedRecipe:
    """The recipe in a folder, or of a name in `pipelines/recipes`, with settings laid over it (`settings.lay_over`).

    Raises:
        RecipeError: naming the first thing that is wrong.
    """
    folder = find_recipe(recipe)
    refuse_pointers([folder / "recipe.toml"], "a recipe")
    try:
        values = tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"Expected TOML in '{folder / 'recipe.toml'}'. Received: {error}.") from error
    lay_over(values, settings)
    return LoadedRecipe(folder, checked(parse(values)))


def find_recipe(recipe: str | PathLike[str]) -> Path:
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
        raise RecipeError(sentence(error)) from error


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
