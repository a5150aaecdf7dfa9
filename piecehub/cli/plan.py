"""`piecehub plan`: what a run would do, and why, before it does it."""

import sys
from pathlib import Path

import click

from piecehub.cli.options import QUIET, Command, needs, options_of_a_run
from piecehub.facts.loading import loading
from piecehub.facts.workdir import Workdir

SOMETHING_RUNS = 10


@click.command(cls=Command)
@options_of_a_run
@click.option("--no-data", is_flag=True, help="Leave new examples unwritten: say only that they are new.")
@click.option("--json", "as_json", is_flag=True, help="The whole plan, as a run keeps it (docs/plan.md).")
@QUIET
@needs("pipeline")
def plan(
    recipe: str,
    settings: tuple[str, ...],
    signing_key: Path | None,
    devices: str,
    place: str | None,
    no_data: bool,
    as_json: bool,
    quiet: bool,
    workdir: Path,
) -> None:
    """Say what `piecehub run RECIPE` would do now: what runs and why, and what comes from the cache.

    Whether a component runs is asked of the records of earlier runs, as the run asks them; why, is told against the
    last run of this recipe that published: parameters by name, code by file and function, the lock, and the data.

    Exits 0 if there is nothing to do, 10 if something would run. Nothing is trained, published or recorded. Where the
    recipe's module has examples to write, it is called, and the run finds them; --no-data leaves that to the run.

    Another --signing-key than that of the last run is something to do; only its public half is looked at.
    """
    from piecehub.store.place import whole
    from pipelines.recipe.loader import load_recipe

    loaded, places = load_recipe(recipe, settings), Workdir(workdir, whole(place))
    from piecehub.ui.shown import form_of, shown
    from pipelines.planning import text
    from pipelines.planning.at_once import nothing_to_do
    from pipelines.planning.repeat import signer

    signed_by = signer(signing_key)
    with shown(form_of(quiet=quiet or as_json)):
        found = nothing_to_do(loaded, places, devices, signed_by)
        if found is None:
            with loading("TensorFlow and TFX"):
                from pipelines.planning import plan as planning

            make = planning.plan_without_data if no_data else planning.plan
            found = make(loaded, places, devices, signed_by)
    click.echo(found.to_json().rstrip() if as_json else f"{text.text(found)}\n{text.cost(found)}")
    sys.exit(SOMETHING_RUNS if found.something_runs else 0)
