"""Options that several commands of the command line share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from piecehub.workdir import DEFAULT_NAME

FOLDER = click.Path(file_okay=False, path_type=Path)


def workdir_option(what: str) -> Callable[[Any], Any]:
    """Adds `--workdir` to a function or a `click.Command`; `what` is its help."""
    return click.option("--workdir", type=FOLDER, default=DEFAULT_NAME, show_default=True, help=what)


def store_option(to: Any) -> Any:
    """Adds `--store` to a function or a `click.Command`, as `place`."""
    meaning = "Another store than the working folder's: a folder, or s3://, gs:// or az://."
    return click.option("--store", "place", metavar="URI", help=meaning)(to)


def store_workdir_option(to: Any) -> Any:
    """Adds the `--workdir` of a command that has `--store`."""
    return workdir_option("Whose store is meant without --store.")(to)
