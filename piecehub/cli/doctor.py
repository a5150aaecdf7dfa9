"""`piecehub doctor`: whether this machine has what piecehub needs, a line each."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from piecehub import extras
from piecehub.cli.options import Command, store_option
from piecehub.errors import EnvironmentProblem

if TYPE_CHECKING:
    from piecehub.cli.machine import Row


@click.command(cls=Command)
@click.option(
    "--extra",
    "wanted",
    multiple=True,
    type=click.Choice(sorted(extras.MODULES)),
    help="What has to be there: missing, it is a fault; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
@store_option
def doctor(wanted: tuple[str, ...], as_json: bool, place: str | None, workdir: Path) -> None:
    """Tell whether this machine has what piecehub needs: packages, sandbox, GPUs, disk, cache and store.

    What is not there and need not be is a note. Exits 3 if something is missing, which the line says what to do about.
    """
    from piecehub.cli.machine import look

    tell(look(wanted, place, workdir), as_json, "machine")


def tell(rows: "Sequence[Row]", as_json: bool, what: str) -> None:
    """Prints what was looked at, a line each.

    Raises:
        EnvironmentProblem: if something is missing; `what` is what all were looked at for.
    """
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        for row in rows:
            click.echo(f"{row.state:<8} {row.what:<10} {row.found}{f'; {row.do}' if row.do else ''}")
    if missing := [row.what for row in rows if row.state == "missing"]:
        raise EnvironmentProblem(
            f"Expected a {what} that has all that is asked for. Received: faults of {', '.join(missing)}; the lines "
            "that begin with 'missing' say what to do."
        )
