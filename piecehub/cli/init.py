"""`piecehub init`: a recipe for data that somebody has."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from piecehub.errors import RecipeError
from piecehub.logs import away

if TYPE_CHECKING:
    from pipelines.starting.looked import Looked

_FORMS = ("images", "csv", "text", "tfrecord")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--from", "form", type=click.Choice(_FORMS), required=True, help="What lies at PATH.")
@click.argument("source", metavar="PATH", type=click.Path(exists=True, path_type=Path))
@click.option("--label", default="", help="The column or feature that is the label, of csv and tfrecord.")
@click.option("--name", default="", help="What the piece is published as; by default as DIR is called.")
def init(folder: Path, form: str, source: Path, label: str, name: str) -> None:
    """Look at data at PATH and write a recipe for it into DIR, which runs as it is.

    images is a folder with a folder of pictures for each class; text one with a folder of texts for each class, or a
    file of lines; csv a table with a line of names; tfrecord a file of tf.Examples, or a folder of them.
    """
    from piecehub.facts.handle import check_name

    name = name or folder.resolve().name.lower().replace("_", "-").replace(" ", "-")
    check_name(name)
    if label and form in ("images", "text"):
        raise RecipeError(
            f"Expected --label with csv or tfrecord. Received: {form}, whose labels are the names of folders."
        )
    click.echo("loading TensorFlow …", err=True)
    with away():
        from pipelines.starting.plan import plan_for
        from pipelines.starting.writing import write_recipe

        looked = _looker(form, label)(source.resolve())
        plan = plan_for(looked)
        written = write_recipe(folder, name, looked, plan)
    click.echo(f"Found in {source}:\n")
    for note in (*looked.notes, *plan.notes):
        click.echo(f"  {note}")
    click.echo(f"\nWritten into {folder}: {', '.join(file.name for file in written)}.\n\nNext:\n")
    run = f"piecehub run {shlex.quote(str(folder))}"
    steps = (
        (f"piecehub recipe check {shlex.quote(str(folder))}", "what is wrong with it, in a moment"),
        (f"{run} --dry-run", "what a run costs"),
        (run, "train, cut, export, measure, judge"),
    )
    for command, what in steps:
        click.echo(f"  {command:<{len(run) + 14}}{what}")
    click.echo("\nBefore it is published, fill in [documentation] of recipe.toml: what only you know.")


def _looker(form: str, label: str) -> "Callable[[Path], Looked]":
    """What looks at data of a form."""
    if form == "images":
        from pipelines.starting.pictures import look_at_images as look
    elif form == "text":
        from pipelines.starting.texts import look_at_texts as look
    else:
        return _labelled(form, label)
    return look


def _labelled(form: str, label: str) -> Any:
    from functools import partial

    if form == "csv":
        from pipelines.starting.tables import look_at_table as look
    else:
        from pipelines.starting.records import look_at_records as look
    return partial(look, label=label)
