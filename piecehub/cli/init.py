"""`piecehub init`: a recipe for data that somebody has."""

import shlex
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from piecehub.cli.options import needs
from piecehub.errors import RecipeError
from piecehub.facts.progress import phase
from piecehub.logs import away

if TYPE_CHECKING:
    from pipelines.starting.looked import Looked

_FORMS = ("images", "csv", "text", "tfrecord")
_MODELS = ("keras", "savedmodel")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--from", "form", type=click.Choice((*_FORMS, *_MODELS)), required=True, help="What lies at PATH.")
@click.argument("source", metavar="PATH")
@click.option("--label", default="", help="The column or feature that is the label, of csv and tfrecord.")
@click.option("--name", default="", help="What the piece is published as; by default as DIR is called.")
@click.option(
    "--task",
    nargs=2,
    metavar="FORM PATH",
    help="Of a model: the examples that show how well it fine-tunes, such as --task images pictures/.",
)
@click.option(
    "--layer", default="", help="Of keras: up to which layer it is shared; by default the one before its head."
)
@click.option(
    "--code", type=click.Path(exists=True, path_type=Path), help="Of keras: the Python file of the model's own classes."
)
@click.option("--trust", is_flag=True, help="Of keras: run Python that the model itself holds, such as Lambda layers.")
@needs("pipeline")
def init(
    folder: Path,
    form: str,
    source: str,
    label: str,
    name: str,
    task: tuple[str, str] | None,
    layer: str,
    code: Path | None,
    trust: bool,
) -> None:
    """Look at data or a model at PATH and write a recipe into DIR, which runs as it is.

    images is a folder with a folder of pictures for each class; text one with a folder of texts for each class, or a
    file of lines; csv a table with a line of names; tfrecord a file of tf.Examples, or a folder of them. keras is a
    trained model, a .keras or .h5 file; savedmodel a Reusable SavedModel, a folder, archive or handle. Of these nothing
    is trained, and the recipe asks only for a --task.
    """
    from piecehub.facts.handle import check_name
    from piecehub.ui.shown import form_of, shown

    name = name or folder.resolve().name.lower().replace("_", "-").replace(" ", "-")
    check_name(name)
    _refuse_words(form, label, task, layer, code, trust)
    if form != "savedmodel" and not Path(source).exists():
        raise RecipeError(f"Expected what there is at PATH. Received: '{source}', which is not there.")
    for path in (folder, Path(source)):
        try:
            str(path.resolve()).encode()
        except UnicodeEncodeError as error:
            raise RecipeError(f"Expected a path in UTF-8. Received: {str(path)!a}; rename it.") from error
    with shown(form_of()), phase("looking at what is there"), away():
        from pipelines.starting.plan import plan_for
        from pipelines.starting.writing import write_recipe

        examples = Path(task[1] if task else source)
        found = _looker(task[0] if task else form, label)(examples.resolve())
        with _looked_at(form, source, found, layer, code, trust) as looked:
            plan = plan_for(looked)
            written = write_recipe(folder, name, looked, plan)
    click.echo(f"Found in {source}{f' and {task[1]}' if task else ''}:\n")
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


def _refuse_words(
    form: str, label: str, task: tuple[str, str] | None, layer: str, code: Path | None, trust: bool
) -> None:
    """Words that do not go together."""
    if form in _MODELS:
        if not task or task[0] not in _FORMS:
            raise RecipeError(
                f"Expected --task FORM PATH with --from {form}: examples on which it shows how well it fine-tunes, "
                f"FORM one of {', '.join(_FORMS)}. Received: {task[0] if task else 'none'}."
            )
        if not Path(task[1]).exists():
            raise RecipeError(f"Expected the task's examples. Received: '{task[1]}', which is not there.")
    elif task:
        raise RecipeError(f"Expected --task with --from keras or savedmodel. Received: --from {form}.")
    if form != "keras" and (layer or code or trust):
        raise RecipeError(f"Expected --layer, --code and --trust with --from keras. Received: --from {form}.")
    if label and (task[0] if task else form) in ("images", "text"):
        raise RecipeError("Expected --label with csv or tfrecord. Received: it where labels are the names of folders.")


@contextmanager
def _looked_at(
    form: str, source: str, found: "Looked", layer: str, code: Path | None, trust: bool
) -> "Generator[Looked]":
    """What was found, with the model that is there already, if one is."""
    if form == "keras":
        from piecehub.exporting.saved_keras import load_keras
        from pipelines.starting.trained import look_at_trained

        yield look_at_trained(load_keras(Path(source), code=code, trust=trust), found, layer, code, trust=trust)
    elif form == "savedmodel":
        from piecehub.conformance.glance import glance
        from piecehub.conformance.sandbox import strongest
        from piecehub.facts.workdir import DEFAULT_NAME, Workdir
        from piecehub.store.source import find_saved_model
        from pipelines.starting.trained import look_at_saved_model

        with find_saved_model(source, Workdir(Path(DEFAULT_NAME)).store) as model:
            seen = glance(model.folder, strongest(trusted=model.trusted))
            yield look_at_saved_model(model.folder, seen, found)
    else:
        yield found


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
