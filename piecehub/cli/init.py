"""`piecehub init`: a recipe for data that somebody has."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from piecehub.cli.options import needs
from piecehub.errors import RecipeError
from piecehub.logs import away

if TYPE_CHECKING:
    from pipelines.starting.looked import Looked

_FORMS = ("images", "csv", "text", "tfrecord")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--from", "form", type=click.Choice((*_FORMS, "keras")), required=True, help="What lies at PATH.")
@click.argument("source", metavar="PATH", type=click.Path(exists=True, path_type=Path))
@click.option("--label", default="", help="The column or feature that is the label, of csv and tfrecord.")
@click.option("--name", default="", help="What the piece is published as; by default as DIR is called.")
@click.option(
    "--task",
    nargs=2,
    metavar="FORM PATH",
    help="Of keras: the examples that show how well it fine-tunes, such as --task images pictures/.",
)
@click.option(
    "--layer", default="", help="Of keras: up to which layer it is shared; by default the one before its head."
)
@click.option(
    "--code", type=click.Path(exists=True, path_type=Path), help="Of keras: the Python file of the model's own classes."
)
@needs("pipeline")
def init(
    folder: Path,
    form: str,
    source: Path,
    label: str,
    name: str,
    task: tuple[str, str] | None,
    layer: str,
    code: Path | None,
) -> None:
    """Look at data or a model at PATH and write a recipe into DIR, which runs as it is.

    images is a folder with a folder of pictures for each class; text one with a folder of texts for each class, or a
    file of lines; csv a table with a line of names; tfrecord a file of tf.Examples, or a folder of them. keras is a
    trained model, a .keras or .h5 file: nothing is trained, and the recipe asks only for a --task.
    """
    from piecehub.facts.handle import check_name

    name = name or folder.resolve().name.lower().replace("_", "-").replace(" ", "-")
    check_name(name)
    _refuse_words(form, label, task, layer, code)
    for path in (folder, source):
        try:
            str(path.resolve()).encode()
        except UnicodeEncodeError as error:
            raise RecipeError(f"Expected a path in UTF-8. Received: {str(path)!a}; rename it.") from error
    click.echo("loading TensorFlow …", err=True)
    with away():
        from pipelines.starting.plan import plan_for
        from pipelines.starting.writing import write_recipe

        if task:
            looked = _trained(source, _looker(task[0], label)(Path(task[1]).resolve()), layer, code)
        else:
            looked = _looker(form, label)(source.resolve())
        plan = plan_for(looked)
        written = write_recipe(folder, name, looked, plan)
    click.echo(f"Found in {source}:\n")
    for note in (*looked.notes, *looked.network, *plan.notes):
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


def _refuse_words(form: str, label: str, task: tuple[str, str] | None, layer: str, code: Path | None) -> None:
    """Words that do not go together."""
    if form == "keras":
        if not task or task[0] not in _FORMS:
            raise RecipeError(
                "Expected --task FORM PATH with --from keras: examples on which it shows how well it fine-tunes, "
                f"FORM one of {', '.join(_FORMS)}. Received: {task[0] if task else 'none'}."
            )
        if not Path(task[1]).exists():
            raise RecipeError(f"Expected the task's examples. Received: '{task[1]}', which is not there.")
    elif task or layer or code:
        raise RecipeError(f"Expected --task, --layer and --code with --from keras. Received: --from {form}.")
    if label and (task[0] if task else form) in ("images", "text"):
        raise RecipeError("Expected --label with csv or tfrecord. Received: it where labels are the names of folders.")


def _trained(source: Path, task: "Looked", layer: str, code: Path | None) -> "Looked":
    """A model that is there already, with what was found in the examples of its task."""
    from piecehub.exporting.saved_keras import load_keras
    from pipelines.starting.trained import look_at_trained

    return look_at_trained(load_keras(source, code=code), task, layer, code)


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
