"""`piecehub workdir`: what a person does to a working folder. Lists on standard output, talk on standard error."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from piecehub.cli.options import Command
from piecehub.facts.workdir import Workdir

if TYPE_CHECKING:
    from pipelines.gc import Thing


@click.group(name="workdir")
def workdir_commands() -> None:
    """The working folder: remove what nobody needs any more."""


@workdir_commands.command(cls=Command)
@click.option(
    "--keep-runs",
    default=5,
    show_default=True,
    type=click.IntRange(min=0),
    help="How many of the newest runs of each pipeline stay, with all that they read and made.",
)
@click.option("--dry-run", is_flag=True, help="Only list what would stay and go.")
def gc(keep_runs: int, dry_run: bool, workdir: Path) -> None:
    """Remove what no published version, no recent run and no run that goes on needs; safe beside runs.

    Lists what stays and what goes, with sizes, and why. Published versions stay, and their lineage. What goes is what
    else a later run would take from the cache: artifacts, examples, checkpoints, trials; it makes them anew.
    """
    from piecehub.ui.table import print_list
    from piecehub.ui.words import size
    from pipelines import gc as collector

    places = Workdir(workdir)
    things = (collector.plan if dry_run else collector.collect)(places, keep_runs)
    rows = _rows(things)
    lines = [f"{fate:<5}  {taken:>9}  {shown}: {why}" for fate, taken, shown, why in rows]
    print_list(("", "size", "what", "why"), rows, lines)
    goes, stays = (size(sum(t.size_bytes for t in things if t.goes is which)) for which in (True, False))
    click.echo(f"{'would free' if dry_run else 'freed'} {goes} in '{workdir}'; {stays} stay", err=True)


def _rows(things: "list[Thing]") -> list[tuple[str, str, str, str]]:
    """A row for each thing, and one for all that have one name and one fate; what goes comes first."""
    from piecehub.ui.words import size

    together: dict[tuple[bool, str, str], list[int]] = {}
    for thing in things:
        together.setdefault((not thing.goes, thing.shown, thing.why), []).append(thing.size_bytes)
    return [
        ("stays" if stays else "goes", size(sum(sizes)), f"{shown} ({len(sizes)})" if len(sizes) > 1 else shown, why)
        for (stays, shown, why), sizes in sorted(together.items())
    ]
