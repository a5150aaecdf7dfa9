"""The command line: results on standard output, talk on standard error, errors as one sentence with an exit code.

0 ok · 1 a component failed or a check fell short · 2 usage or recipe · 3 environment · 4 finished but not published.
Everything heavy is imported inside the command that needs it, so `--help` answers at once.
"""

import json
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from piecehub import logs
from piecehub.conformance import ConformanceReport
from piecehub.errors import EnvironmentProblem, PiecehubError
from piecehub.workdir import DEFAULT_NAME, Workdir

STORE_URL = "http://127.0.0.1:8470"
VERSION = "0.1.0"  # as in pyproject.toml; asking importlib.metadata for it would cost every start 50 ms
_NOT_PUBLISHED = 4
_EXTRAS = {"tensorflow": "tf", "tensorflow_hub": "tf", "tfx": "pipeline", "kfp": "pipeline", "pydantic": "pipeline"}


def _workdir_option() -> click.Option:
    return click.Option(
        ["--workdir"],
        type=click.Path(file_okay=False, path_type=Path),
        default=DEFAULT_NAME,
        show_default=True,
        help="Where store, metadata, runs, logs and data lie.",
    )


class _Command(click.Command):
    """A command with `--workdir`, as all of ours have it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params.append(_workdir_option())


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION)
def cli() -> None:
    """Train a model, cut out the reusable piece, prove that it fine-tunes, publish it."""


@cli.command(cls=_Command)
@click.argument("recipe")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Lays a value over the recipe's own.")
def run(recipe: str, settings: tuple[str, ...], workdir: Path) -> None:
    """Run RECIPE (a folder, or the name of a shipped one) on the local Beam runner.

    Exits 0 if the piece is published, 4 if the run finished but nothing may be published.
    """
    from pipelines.config import load_recipe

    loaded = load_recipe(recipe, settings)
    click.echo("loading TensorFlow and TFX …", err=True)
    with _quietly():
        from pipelines import local_runner, summary

    outcome = local_runner.run(loaded, Workdir(workdir))
    click.echo(summary.text(outcome, Workdir(workdir), STORE_URL))
    if not outcome.pushed:
        sys.exit(_NOT_PUBLISHED)


@cli.command(cls=_Command)
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def models(as_json: bool, workdir: Path) -> None:
    """List the published versions, newest first."""
    from piecehub.store.catalog import Store

    rows = [
        {
            "name": str(manifest.handle),
            "handle": manifest.handle.url(STORE_URL),
            "digest": manifest.digest,
            "published_at": manifest.published_at,
        }
        for manifest in Store.open(Workdir(workdir).store).models()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']}  {row['digest']}  {row['published_at']}")
    if not rows:
        click.echo(f"No published models in '{workdir}'; `piecehub run digits` makes one.", err=True)


@cli.command(cls=_Command)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8470, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
def serve(host: str, port: int, workdir: Path) -> None:
    """Serve the local store by the hosting protocol, and the pages for review."""
    from piecehub.ui.serve import serve as serve_pages

    serve_pages(Workdir(workdir), host, port)


@cli.command(cls=_Command)
@click.argument("saved_model")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def check(saved_model: str, as_json: bool, workdir: Path) -> None:
    """Check SAVED_MODEL (a folder, an archive, or the handle of a published version) against the interface.

    Loads the model and runs it: check only what you trust. Exits 1 if a check of level fail falls short.
    """
    from piecehub.source import saved_model_folder

    with saved_model_folder(saved_model, Workdir(workdir).store) as folder:
        from piecehub.modeling.conformance.check import check_saved_model

        report = check_saved_model(folder)
    click.echo(report.to_json() if as_json else _table(report), nl=not as_json)
    if not report.conforms:
        first = report.failures[0]
        raise PiecehubError(f"{first.check} fell short: {first.sentence}")


def _quietly() -> AbstractContextManager[None]:
    """What TensorFlow and TFX print while they load tells a person nothing; errors are raised all the same."""
    return logs.to_file(Path(os.devnull))


def _table(report: ConformanceReport) -> str:
    words = {True: "ok", False: "FELL SHORT", None: "not made"}
    return "\n".join(
        f"{f.check:<5} {words[f.passed]:<11} {f.level:<5} {f.title}\n      {f.sentence}" for f in report.findings
    )


@cli.command(cls=_Command)
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
def lineage(name: str, as_json: bool, workdir: Path) -> None:
    """Tell what the published NAME (publisher/name/version, or publisher/name for the newest) was made from."""
    from piecehub import lineage as lineages
    from piecehub.store.catalog import Store

    found = lineages.of_published(Store.open(Workdir(workdir).store), name)
    click.echo(json.dumps(found.to_json(), indent=2, sort_keys=True) if as_json else lineages.text(found))


@cli.group()
def kubeflow() -> None:
    """Kubeflow Pipelines: compile a recipe into a package."""


@kubeflow.command(cls=_Command)
@click.argument("recipe")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="package.yaml")
@click.option(
    "--image",
    default=f"piecehub:{VERSION}",
    show_default=True,
    help="The image that holds piecehub; its tag is never moved.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Lays a value over the recipe's own.")
def compile(recipe: str, output: Path, image: str, settings: tuple[str, ...], workdir: Path) -> None:
    """Compile RECIPE into a package that Kubeflow Pipelines runs."""
    from pipelines.config import load_recipe

    loaded = load_recipe(recipe, settings)
    with _quietly():
        from pipelines.kubeflow_runner import compile_recipe

        compile_recipe(loaded, Workdir(workdir), output, image)
    click.echo(f"wrote {output}", err=True)


def main() -> None:
    """Runs the command line and exits with its code; an error is one line on standard error."""
    try:
        sys.exit(cli.main(standalone_mode=False))
    except PiecehubError as error:
        code, sentence = error.exit_code, error.sentence
    except click.ClickException as error:
        error.show()
        code, sentence = error.exit_code, ""
    except click.Abort:
        code, sentence = 1, "Stopped; finished components come from the cache in the next run."
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if not extra:
            raise
        missing = EnvironmentProblem(
            f"Expected the package '{error.name}' for this command. Received: none; install 'piecehub[{extra}]'."
        )
        code, sentence = missing.exit_code, missing.sentence
    if sentence:
        click.echo(f"piecehub: {sentence}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
