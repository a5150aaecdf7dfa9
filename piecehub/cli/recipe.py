"""`piecehub recipe`: what a recipe gets wrong, told at once, and what it may say."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from piecehub.cli.options import RECIPE, SETTINGS
from piecehub.errors import RecipeError

if TYPE_CHECKING:
    from pipelines.recipe.loader import Read
    from pipelines.recipe.tables import Recipe


@click.group(name="recipe")
def recipe_commands() -> None:
    """Recipes: check one, read what it may say."""


@recipe_commands.command("check")
@RECIPE
@SETTINGS
@click.option("--json", "as_json", is_flag=True, help="Faults with their files and lines, as JSON.")
def check_recipe(recipe: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Tell all that is wrong with RECIPE (a folder, or the name of a shipped one), by file and line.

    Nothing is built, loaded or run: it is keys, types, texts of the model page, and the files and functions that the
    recipe names. What only the model tells (whether it builds, has the layer, and suits its page) `piecehub run`
    checks before it computes anything.

    Exits 0 if nothing is wrong, else 2.
    """
    from pipelines.recipe.loader import read_recipe

    read = read_recipe(recipe, settings)
    if as_json:
        told = {"recipe": str(read.folder), "faults": [asdict(fault) for fault in read.faults]}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        for line in read.faults or _lines(read):
            click.echo(str(line))
    if read.faults and not as_json:
        raise RecipeError(f"Expected a recipe without faults in '{read.folder}'. Received: {len(read.faults)}.")
    if read.faults:
        sys.exit(RecipeError.exit_code)


@recipe_commands.command()
def reference() -> None:
    """Print docs/recipe.md: every key of a recipe, with its type, its default and what it does."""
    from pipelines.recipe.reference import page

    click.echo(page(), nl=False)


def _lines(read: "Read") -> list[str]:
    """What a recipe without faults is, a line a part."""
    assert read.config is not None
    config = read.config
    data = config.data
    label = f"label '{data.label}'" if data.label else "no label"
    return [
        f"{config.recipe.publisher}/{config.recipe.name}: no fault in '{read.folder}'",
        f"  data        {data.module or data.folder}, {data.schema}, {label}",
        f"  model       {config.model.function} of {config.model.module}{_started(config)}",
        f"  training    {config.train.epochs} epochs of batches of {config.train.batch_size}, seed {config.train.seed}",
        *(f"  piece       {piece.name}: {piece.road} {', '.join(piece.layers)}".rstrip() for piece in config.piece),
        *(f"  task        {task.name}: {task.kind}, {_shots(config, task.shots)}, {task.role}" for task in config.task),
        f"  gate        {config.gate.mode}, by more than {100 * config.gate.min_gain:g} points",
        *_open_texts(config),
    ]


def _open_texts(config: "Recipe") -> list[str]:
    """What is still to be written before the piece can be published; a run comes to its verdict without."""
    from pipelines.recipe.page_texts import person_of

    # Pieces differ in their descriptions alone: who lacks most lacks all that another lacks.
    unsaid = max((person_of(config, piece).unsaid for piece in config.piece), key=len)
    missing = ", ".join(entry.removeprefix("documentation.") for entry in unsaid)
    return [f"  to write    {missing} of [documentation], before it is published"] if missing else []


def _started(config: "Recipe") -> str:
    started = config.model.parent or config.model.checkpoint
    return f", from {started}" if started else ""


def _shots(config: "Recipe", own: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, own or config.evaluation.shots))} examples"
