"""`piecehub run`: a recipe's pipeline, to its verdict."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from piecehub import logs
from piecehub.cli.completion import recipes
from piecehub.cli.options import QUIET, STORE_URL, Command, needs, store_option
from piecehub.errors import RecipeError
from piecehub.facts.progress import phase
from piecehub.facts.secrets import redacted_text
from piecehub.facts.workdir import DEFAULT_NAME, Workdir

if TYPE_CHECKING:
    from piecehub.ui.board import Words
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
@click.option("--json", "as_json", is_flag=True, help="Events as JSON lines on standard output (docs/terminal.md).")
@QUIET
@store_option
@needs("pipeline")
def run(
    recipe: str,
    settings: tuple[str, ...],
    signing_key: Path | None,
    beam_args: tuple[str, ...],
    devices: str,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    place: str | None,
    workdir: Path,
) -> None:
    """Run RECIPE (a folder, or the name of a shipped one) on this machine.

    Exits 0 if the piece is published, 4 if the run finished but nothing may be published. What came of it goes to
    standard output; how far it is, to standard error: drawn on a terminal, elsewhere a line when a component begins and
    ends, and every 30 seconds between. After Ctrl-C, or a failure, the same command goes on where it stood.

    With --dry-run each part of the run is done once, on little, in a folder for temporary files that is gone
    afterwards, and what all of it takes is told: at most, for a training may stop early. That takes a minute or two.
    """
    from pipelines.recipe.loader import load_recipe

    if as_json and (dry_run or quiet):
        raise RecipeError("Expected --json alone. Received: it with --dry-run or --quiet; leave one out.")
    loaded = load_recipe(recipe, settings)
    if dry_run:
        _print_cost(loaded, settings, Workdir(workdir), devices, quiet)
        return
    from piecehub.ui.shown import form_of, shown
    from piecehub.ui.table import print_text

    with shown(form_of(quiet=quiet, as_events=as_json), _words(workdir)) as show:
        with phase("loading TensorFlow and TFX"), logs.away():
            from pipelines import local_runner, summary

        outcome = local_runner.run(loaded, Workdir(workdir), signing_key, beam_args, devices, show.fd, place or "")
    if not as_json:
        print_text(summary.text(outcome, Workdir(workdir), STORE_URL, place or ""))
    if not outcome.pushed:
        sys.exit(_NOT_PUBLISHED)


def _words(workdir: Path) -> "Words":
    """What a person who looks on may need to know of this command."""
    from piecehub.ui.board import Words

    serve = ["piecehub", "serve", *(["--workdir", str(workdir)] if workdir != Path(DEFAULT_NAME) else [])]
    again = redacted_text(shlex.join(["piecehub", *sys.argv[1:]]))
    return Words(STORE_URL, shlex.join(serve), again, str(Workdir(workdir).logs))


def _print_cost(loaded: "LoadedRecipe", settings: tuple[str, ...], workdir: Workdir, devices: str, quiet: bool) -> None:
    from piecehub.ui.shown import form_of, shown
    from pipelines.cost import dry_run, table

    with shown(form_of(quiet=quiet)), phase("trying each part on little"):
        estimate = dry_run.estimate(loaded, settings, workdir, devices)
    click.echo(table.text(estimate, loaded.config.recipe.name))
