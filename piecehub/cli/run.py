"""`piecehub run`: a recipe's pipeline, to its verdict."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from piecehub.cli.options import QUIET, STORE_URL, Command, needs, options_of_a_run
from piecehub.errors import RecipeError
from piecehub.facts.progress import phase
from piecehub.facts.secrets import redacted_text
from piecehub.facts.workdir import Workdir

if TYPE_CHECKING:
    from piecehub.ui.board import Words
    from pipelines.recipe.tables import LoadedRecipe

_NOT_PUBLISHED = 4


@click.command(cls=Command)
@options_of_a_run
@click.option(
    "--beam-arg",
    "beam_args",
    multiple=True,
    help="Read examples and run trials on Beam, to the same bytes, such as --beam-arg=--runner=FlinkRunner.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what runs and why, and what processor time, memory and disk it takes; train and record nothing.",
)
@click.option("--no-skip", is_flag=True, help="Run what sees the store, too, where nothing has changed.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON lines on standard output (docs/terminal.md).")
@QUIET
@needs("pipeline")
def run(
    recipe: str,
    settings: tuple[str, ...],
    signing_key: Path | None,
    beam_args: tuple[str, ...],
    devices: str,
    dry_run: bool,
    no_skip: bool,
    as_json: bool,
    quiet: bool,
    place: str | None,
    workdir: Path,
) -> None:
    """Run RECIPE (a folder, or the name of a shipped one) on this machine.

    Exits 0 if the piece is published, 4 if the run finished but nothing may be published. Where recipe, code, lock,
    data and store are as the last run left them, there is nothing to do: its outcome is told again.

    What came of it goes to standard output; how far it is, to standard error: drawn on a terminal, elsewhere a line
    when a component begins and ends, and every 30 seconds between. After Ctrl-C, or a failure, the same command goes on
    where it stood.

    With --dry-run the plan is told, as `piecehub plan` does, and what all of it costs: each part of the run is done
    once, on little, in a folder for temporary files that is gone afterwards. The cost is told at most, for a training
    may stop early. That takes a minute or two.
    """
    from piecehub.store.place import whole
    from pipelines.recipe.loader import load_recipe

    if as_json and (dry_run or quiet):
        raise RecipeError("Expected --json alone. Received: it with --dry-run or --quiet; leave one out.")
    loaded, places = load_recipe(recipe, settings), Workdir(workdir, whole(place))
    if dry_run:
        _print_cost(loaded, settings, places, signing_key, devices, quiet)
        return
    from piecehub.ui.shown import form_of, shown
    from piecehub.ui.table import print_text
    from pipelines import summary
    from pipelines.planning.repeat import repeated_end
    from pipelines.run import run_anyway, run_if_needed

    with shown(form_of(quiet=quiet, as_events=as_json), _words(places)) as show:
        start = run_anyway if no_skip else run_if_needed
        outcome = start(loaded, places, signing_key, beam_args, devices, show)
        if as_json and outcome.is_repeated:
            show.tell(repeated_end(outcome, places))
    if not as_json:
        print_text(summary.text(outcome, places, STORE_URL))
    if not outcome.pushed:
        sys.exit(_NOT_PUBLISHED)


def _words(workdir: Workdir) -> "Words":
    """What a person who looks on may need to know of this command."""
    from piecehub.ui.board import Words

    serve = ["piecehub", "serve", *workdir.options]
    again = redacted_text(shlex.join(["piecehub", *sys.argv[1:]]))
    return Words(STORE_URL, shlex.join(serve), again, str(workdir.logs))


def _print_cost(
    loaded: "LoadedRecipe",
    settings: tuple[str, ...],
    workdir: Workdir,
    signing_key: Path | None,
    devices: str,
    quiet: bool,
) -> None:
    from piecehub.ui.shown import form_of, shown
    from pipelines.cost import dry_run, table
    from pipelines.planning import text
    from pipelines.planning.repeat import signer

    signed_by = signer(signing_key)
    with shown(form_of(quiet=quiet)), phase("trying each part on little"):
        told = dry_run.rehearsed(loaded, settings, workdir, devices, signed_by)
    click.echo(f"{text.text(told.plan)}\n\n{table.text(told.cost, loaded.config.recipe.name, told.plan)}")
