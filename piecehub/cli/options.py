"""What several commands of the command line share: options, and the address that `piecehub serve` has by default."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from piecehub import extras
from piecehub.cli.completion import recipes
from piecehub.errors import RecipeError
from piecehub.facts.text_file import read_text_file
from piecehub.facts.workdir import DEFAULT_NAME

VERSION = "0.1.0"  # as in pyproject.toml; asking importlib.metadata for it would cost every start 50 ms
STORE_URL = "http://127.0.0.1:8470"
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


RECIPE = click.argument("recipe", shell_complete=recipes)
SETTINGS = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Lays a value over the recipe's own."
)
QUIET = click.option("-q", "--quiet", is_flag=True, help="Results and errors only: say nothing of how far it is.")

TOKEN = click.option("--token-file", type=FILE, help="Holds the bearer token of a private publisher.")
SERVER = click.option("--server", default="", metavar="URL", help="The part before the publisher, if it has a path.")


def read_token(path: Path | None) -> str:
    """The token that stands in the file of `--token-file`; empty without one."""
    token = read_text_file(path).strip() if path else ""
    if not token.isascii() or not all(c.isprintable() and c != " " for c in token):
        raise RecipeError(f"Expected one token in '{path}'. Received: something that no header can carry.")
    return token


def workdir_option(what: str) -> Callable[[Any], Any]:
    """Adds `--workdir` to a function or a `click.Command`; `what` is its help."""
    return click.option("--workdir", type=FOLDER, default=DEFAULT_NAME, show_default=True, help=what)


def store_option(to: Any) -> Any:
    """Adds `--store` to a function or a `click.Command`, as `place`."""
    meaning = "Another store than the working folder's: a folder, or s3://, gs://, az:// or minio://."
    return click.option("--store", "place", metavar="URI", help=meaning)(to)


def options_of_a_run(to: Any) -> Any:
    """Adds what a command is told of a run, be it to run or to look ahead: recipe, settings, key, devices, store."""
    key = click.option(
        "--signing-key",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Signs what the run publishes; see `piecehub keys new`. No record holds the path.",
    )
    told = "What the run trains and tries on: all GPUs or the processor; cpu:2 are two replicas."
    devices = click.option("--devices", default="", help=told)
    return RECIPE(SETTINGS(key(devices(store_option(to)))))


def store_workdir_option(to: Any) -> Any:
    """Adds the `--workdir` of a command that has `--store`."""
    return workdir_option("Whose store is meant without --store.")(to)


def needs(extra: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a command say at once what to install where an extra, or the pipeline, is missing; stands next to `def`."""

    def mark(body: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(body)
        def checked(*arguments: Any, **options: Any) -> None:
            if lacks := extras.lacking(extra, "this command"):
                raise lacks
            body(*arguments, **options)

        return checked

    return mark


class Command(click.Command):
    """A command with `--workdir`, as all of ours have it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        workdir_option("Where store, metadata, runs, logs and data lie.")(self)
