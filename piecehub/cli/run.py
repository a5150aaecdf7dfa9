"""`piecehub run`: a recipe's pipeline, to its verdict."""

import sys
from pathlib import Path

import click

from piecehub import logs
from piecehub.cli.options import STORE_URL, Command
from piecehub.facts.workdir import Workdir

_NOT_PUBLISHED = 4


@click.command(cls=Command)
@click.argument("recipe")
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
@click.option("--devices", default="", help="What to train on: all GPUs or the processor; cpu:2 are two replicas.")
def run(
    recipe: str,
    settings: tuple[str, ...],
    signing_key: Path | None,
    beam_args: tuple[str, ...],
    devices: str,
    workdir: Path,
) -> None:
    """Run RECIPE (a folder, or the name of a shipped one) on this machine.

    Exits 0 if the piece is published, 4 if the run finished but nothing may be published.
    """
    from pipelines.recipe.loader import load_recipe

    loaded = load_recipe(recipe, settings)
    click.echo("loading TensorFlow and TFX …", err=True)
    with logs.away():
        from pipelines import local_runner, summary

    outcome = local_runner.run(loaded, Workdir(workdir), signing_key, beam_args, devices)
    click.echo(summary.text(outcome, Workdir(workdir), STORE_URL))
    if not outcome.pushed:
        sys.exit(_NOT_PUBLISHED)
