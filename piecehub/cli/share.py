"""`piecehub export` and `piecehub page`: from a saved Keras model to what `piecehub publish` takes.

What was made goes to standard output, talk to standard error.
"""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from piecehub.cli.completion import saved_models
from piecehub.cli.options import FILE, FOLDER, needs, store_option, store_workdir_option
from piecehub.errors import RecipeError
from piecehub.facts.progress import phase

if TYPE_CHECKING:
    from piecehub.exporting.export_facts import ExportFacts


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--out", "folder", required=True, type=FOLDER, help="Where to; a new folder, or an empty one.")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    help="Cut the model after the layer of this name; without it, all of it is the piece. Several give a dict.",
)
@click.option("--code", type=FILE, help="A Python file that defines or registers classes of the model's own.")
@click.option(
    "--trust", is_flag=True, help="Run Python that MODEL itself holds, such as Lambda layers (Keras' safe_mode=False)."
)
@click.option(
    "--inputs",
    metavar="JSON",
    help='Where the model cannot tell them: {"shape": [null, 8], "dtype": "float32"}, or a list or dict of such.',
)
@click.option(
    "--frozen",
    type=click.Choice(["refuse", "unfreeze", "keep"]),
    default="refuse",
    show_default=True,
    help="What to do with frozen layers: a frozen one would be traced for inference for ever.",
)
@click.option("--trainable", multiple=True, metavar="PATTERN", help="Advise to train only these; repeatable.")
@click.option(
    "--hyperparameter",
    "hyperparameters",
    multiple=True,
    type=click.Choice(["dropout_rate", "batch_norm_momentum"]),
    help="Let consumers set it; repeatable.",
)
@click.option("--preprocessor", default="", metavar="HANDLE", help="The published SavedModel that makes its inputs.")
@click.option("--parent", default="", metavar="HANDLE@DIGEST", help="The piece that it was fine-tuned from.")
@click.option("--as-preprocessor", is_flag=True, help="MODEL has no weights: its outputs are another piece's inputs.")
@click.option("--json", "as_json", is_flag=True, help="What was exported, as JSON.")
@needs("tf")
def export(
    model: Path,
    folder: Path,
    layers: tuple[str, ...],
    code: Path | None,
    trust: bool,
    inputs: str | None,
    as_preprocessor: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Export MODEL as a Reusable SavedModel: a .keras or .h5 file, or a SavedModel that Keras 2 saved.

    The folder is there whole or not at all. Its optimizer is left out. A Lambda layer holds Python code, which is run
    with --trust only.
    """
    from piecehub.publishing.exported import export_saved
    from piecehub.ui.shown import form_of, shown

    specs = _json_specs(inputs)
    with shown(form_of()), phase("exporting the model"):
        facts, parameters = export_saved(
            model, folder, layers, options, inputs=specs, code=code, trust=trust, as_preprocessor=as_preprocessor
        )
    if as_json:
        click.echo(json.dumps({**asdict(facts), "parameters": parameters}, indent=2))
    else:
        _print(folder, facts, parameters)
    click.echo("next:", err=True)
    quoted = shlex.quote(str(folder))
    for command in (
        f"piecehub check {quoted}",
        f"piecehub page {quoted} --name PUBLISHER/NAME > page.md",
        f"piecehub publish {quoted} --name PUBLISHER/NAME --documentation page.md",
    ):
        click.echo(f"  {command}", err=True)


def _json_specs(text: str | None) -> Any:
    """Specs of inputs as JSON."""
    if text is None:
        return None
    try:
        specs: Any = json.loads(text)
    except ValueError as error:
        raise RecipeError(f"Expected JSON for --inputs. Received: '{text[:80]}' ({error}).") from error
    leaves = _leaves(specs)
    if not leaves or not all(
        isinstance(leaf, dict) and {"shape", "dtype"} <= cast(Any, leaf).keys() for leaf in leaves
    ):
        raise RecipeError(
            'Expected {"shape": […], "dtype": …} for --inputs, or a list or dict of such. Received: '
            f"'{text[:80]}'; write it so."
        )
    return specs


def _leaves(specs: Any) -> list[Any]:
    if isinstance(specs, list):
        return cast(list[Any], specs)
    if isinstance(specs, dict) and "shape" not in specs:
        return list(cast(dict[str, Any], specs).values())
    return [specs]


def _print(folder: Path, facts: "ExportFacts", parameters: int) -> None:
    from piecehub.documentation.page import spec_words

    trainable = len(facts.trainable_variables)
    rows = {
        "input": spec_words(facts.input).replace("`", ""),
        "output": spec_words(facts.output).replace("`", ""),
        "variables": f"{len(facts.variables)}, of which {trainable} can be trained",
        "parameters": f"{parameters:,}",
        "regularization losses": str(facts.regularization_losses),
        "size": f"{facts.size_bytes / 1e6:,.1f} MB",
    }
    click.echo(f"{folder}  {facts.digest}")
    for key, value in rows.items():
        click.echo(f"  {key:<23}{value}")


@click.command()
@click.argument("saved_model", required=False, shell_complete=saved_models)
@click.option("--name", "--handle", "name", default="", metavar="PUBLISHER/NAME", help="What it will be published as.")
@click.option("--version", type=click.IntRange(min=1), help="The number.  [default: the next one of the store]")
@click.option(
    "--evidence", type=click.Path(path_type=Path), help="What `piecehub evaluate --out` kept: its numbers and verdict."
)
@click.option("--values", metavar="KEY", help="Only list what KEY may be, such as task, and what each task demands.")
@store_option
@store_workdir_option
def page(
    saved_model: str | None,
    name: str,
    version: int | None,
    evidence: Path | None,
    values: str | None,
    place: str | None,
    workdir: Path,
) -> None:
    """Begin the model page of SAVED_MODEL, on standard output: a folder, an archive, a handle or an address.

    What its files tell stands in it. Questions, which begin with TODO, stand where only a person knows: `piecehub
    publish` refuses a page with one left.
    """
    if values is not None:
        _list_values(values)
        return
    if saved_model is None:
        raise RecipeError("Expected a SavedModel, or --values. Received: neither; name the folder.")
    from piecehub.publishing.begun import begin_page
    from piecehub.ui.shown import form_of, shown

    with shown(form_of()):
        text = begin_page(saved_model, name, version=version, evidence=evidence, store=place, workdir=workdir)
    click.echo(text, nl=False)
    questions = text.count("TODO:")
    click.echo(f"{questions} questions, each with TODO, are yours to answer; then `piecehub publish`.", err=True)
    if not name:
        click.echo("--name PUBLISHER/NAME fills the name into its places.", err=True)


def _list_values(key: str) -> None:
    from piecehub.conformance.documentation_terms import METADATA, demand
    from piecehub.facts.nearest import nearest
    from piecehub.ui.table import print_list

    if key not in METADATA:
        meant = nearest(key, METADATA)
        raise RecipeError(
            f"Expected a key of a page's metadata: {', '.join(METADATA)}. Received: '{key}'"
            + (f"; did you mean '{meant}'?" if meant else "; name one of them.")
        )
    known = METADATA[key]
    if not known.values:
        click.echo(f"{known.means}, such as {known.example}")
    width = max(map(len, known.values), default=0)
    if key == "task":
        rows = [(value, demand(value)) for value in sorted(known.values)]
        print_list(("", ""), rows, [f"{value:<{width}}  {told}" for value, told in rows])
        return
    for value in sorted(known.values):
        click.echo(value)
