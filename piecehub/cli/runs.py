"""`piecehub runs`: the runs of a working folder, as the page `/runs` lists them."""

import json
from pathlib import Path

import click

from piecehub.cli.options import Command
from piecehub.facts.run_index import MOST_SHOWN, SHOWN, STATES
from piecehub.facts.run_rows import OUTCOMES
from piecehub.facts.workdir import Workdir


@click.command(cls=Command)
@click.option("--recipe", default="", help="Of that recipe only: its name, or its folder.")
@click.option("--state", default="", type=click.Choice(["", *STATES]), metavar="|".join(STATES))
@click.option("--outcome", default="", type=click.Choice(["", *OUTCOMES]), metavar="|".join(map(repr, OUTCOMES)))
@click.option("--since", default="", metavar="WHEN", help="Started since: 2026-11-24, an ISO 8601 time, 7d or 12h.")
@click.option("--publisher", default="", help="Those that publish under that name.")
@click.option("--before", default="", metavar="RUN", help="Older than that run: the next page.")
@click.option("--limit", default=SHOWN, show_default=True, type=click.IntRange(1, MOST_SHOWN), help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, as /api/v1/runs answers.")
def runs(
    recipe: str,
    state: str,
    outcome: str,
    since: str,
    publisher: str,
    before: str,
    limit: int,
    as_json: bool,
    workdir: Path,
) -> None:
    """List the runs, newest first, with what became of them."""
    from piecehub.facts.run_index import Wanted, list_runs
    from piecehub.ui import words
    from piecehub.ui.run_list import listed_json

    wanted = Wanted(recipe, state, outcome, since, publisher)
    found = list_runs(Workdir(workdir), wanted, before=before, limit=limit)
    if as_json:
        click.echo(json.dumps(listed_json(found), indent=2, ensure_ascii=False))
        return
    for row in found.rows:
        state_and_time = f"{words.state_word(row.shown_state):<13}  {words.duration(row.seconds):>12}"
        click.echo(words.plain(f"{row.run}  {state_and_time}  {row.pipeline}"))
        for said in (*(result.sentence for result in row.results), row.message):
            if said:
                click.echo(f"    {words.plain(said)}")
    if not found.total:
        told = "that match" if wanted.given else "yet; `piecehub run RECIPE` starts one"
        click.echo(f"No runs in '{workdir}' {told}.", err=True)
    elif found.older:
        click.echo(f"{len(found.rows)} of {found.total}; older ones by --before {found.older}", err=True)
