"""`piecehub run`: a recipe's pipeline, to its verdict."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from piecehub import logs
from piecehub.cli.completion import recipes
from piecehub.cli.options import STORE_URL, Command, needs
from piecehub.facts.workdir import Workdir

if TYPE_CHECKING:
    from pipelines.recipe.tables import LoadedRecipe

_NOT_PUBLISHED = 4


@click.command(cls=Command)
@click.argument("recipe", shell_complete=recipes)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Lays a value over the recipe's own.")
@click.option(
    "--signing-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Sign what is published; see `piecehub keys new`. No record holds the path.",
)
@click.option(
    "--beam-arg",
    "beam_args",
    multiple=True,
    help="Read examples and run trials on Beam, to the same bytes, such as --beam-arg=--runner=FlinkRunner.",
)
@click.option(
    "--devices", default="", help="What to train and try on: all GPUs or the processor; cpu:2 are two replicas."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what processor time, memory and disk it takes; train, publish and record nothing.",
)
@needs("pipeline")
def run(
    recipe: str,
    settings: tuple[str, ...],
    signing_key: Path | None,
    beam_args: tuple[str, ...],
    devices: str,
    dry_run: bool,
    workdir: Path,
) -> None:
    """Run RECIPE (a folder, or the name of a shipped one) on this machine.

    Exits 0 if the piece is published, 4 if the run finished but nothing may be published.

    With --dry-run each part of the run is done once, on little, in a folder for temporary files that is gone
    afterwards, and what all of it takes is told: at most, for a training may stop early. That takes a minute or two.
    """
    from pipelines.recipe.loader import load_recipe

    loaded = load_recipe(recipe, settings)
    if dry_run:
        _print_cost(loaded, settings, Workdir(workdir), devices)
        return
    click.echo("loading TensorFlow and TFX …", err=True)
    with logs.away():
        from pipelines import local_runner, summary

    outcome = local_runner.run(loaded, Workdir(workdir), signing_key, beam_args, devices)
    click.echo(summary.text(outcome, Workdir(workdir), STORE_URL))
    if not outcome.pushed:
        sys.exit(_NOT_PUBLISHED)


def _print_cost(loaded: "LoadedRecipe", settings: tuple[str, ...], workdir: Workdir, devices: str) -> None:
    from pipelines.cost import dry_run, table

    click.echo("trying each part of the run on little …", err=True)
    click.echo(table.text(dry_run.estimate(loaded, settings, workdir, devices), loaded.config.recipe.name))
