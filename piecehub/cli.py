"""The command line: results on standard output, talk on standard error, errors as one sentence with an exit code.

0 ok · 1 a component failed or a check fell short · 2 usage or recipe · 3 environment · 4 finished but not published.
Everything heavy is imported inside the command that needs it, so `--help` answers at once.
"""

import json
import sys
from pathlib import Path
from typing import Any

import click

from piecehub import logs
from piecehub.compare_cli import compare
from piecehub.errors import EnvironmentProblem, PiecehubError
from piecehub.evaluate_cli import evaluate
from piecehub.export_cli import expand, export
from piecehub.options import store_option, workdir_option
from piecehub.store_cli import store
from piecehub.trust_cli import cache, fetch, keys, publish, verify
from piecehub.workdir import Workdir

STORE_URL = "http://127.0.0.1:8470"
VERSION = "0.1.0"  # as in pyproject.toml; asking importlib.metadata for it would cost every start 50 ms
_NOT_PUBLISHED = 4
_EXTRAS = {
    **dict.fromkeys(("cryptography", "in_toto_attestation", "model_signing", "OpenSSL", "securesystemslib"), "sign"),
    **dict.fromkeys(("tensorflow", "tensorflow_hub"), "tf"),
    **dict.fromkeys(("tfx", "kfp", "pydantic"), "pipeline"),
}


class _Command(click.Command):
    """A command with `--workdir`, as all of ours have it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        workdir_option("Where store, metadata, runs, logs and data lie.")(self)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION)
def cli() -> None:
    """Train a model, cut out the reusable piece, prove that it fine-tunes, publish it."""


for _command in (store, evaluate, compare, publish, verify, fetch, keys, cache):
    cli.add_command(_command)
for _command in (export, expand):
    store.add_command(_command)


@cli.command(cls=_Command)
@click.argument("recipe")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Lays a value over the recipe's own.")
@click.option(
    "--signing-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Sign what is published; see `piecehub keys new`. No record holds the path.",
)
def run(recipe: str, settings: tuple[str, ...], signing_key: Path | None, workdir: Path) -> None:
    """Run RECIPE (a folder, or the name of a shipped one) on the local Beam runner.

    Exits 0 if the piece is published, 4 if the run finished but nothing may be published.
    """
    from pipelines.config import load_recipe

    loaded = load_recipe(recipe, settings)
    click.echo("loading TensorFlow and TFX …", err=True)
    with logs.away():
        from pipelines import local_runner, summary

    outcome = local_runner.run(loaded, Workdir(workdir), signing_key)
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
@click.option(
    "--hub-only/--with-pages",
    "hub_only",
    default=None,
    help="Leave out runs, lineage and logs; the default on another host than loopback, and with --tokens.",
)
@click.option(
    "--tokens",
    "tokens_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML: private publishers, each with the sha256 of its tokens.",
)
@store_option
def serve(
    host: str, port: int, hub_only: bool | None, tokens_file: Path | None, place: str | None, workdir: Path
) -> None:
    """Serve the local store by the hosting protocol, and the pages for review."""
    from piecehub.store.tokens import Tokens
    from piecehub.ui.serve import serve as serve_pages

    tokens = Tokens.read(tokens_file) if tokens_file else None
    serve_pages(Workdir(workdir), host, port, hub_only=hub_only, tokens=tokens, store=place)


@cli.command(cls=_Command)
@click.argument("saved_model")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.option("--trust", is_flag=True, help="Run the model even where there is no sandbox.")
@click.option(
    "--documentation",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The model page to check with it; a published version brings its own.",
)
def check(saved_model: str, as_json: bool, trust: bool, documentation: Path | None, workdir: Path) -> None:
    """Check SAVED_MODEL against the interface.

    It is a folder, an archive, the handle of a published version, or the address of a model on any server that
    speaks TensorFlow Hub's protocol. A model that is not from the local store runs in bubblewrap, or not at all. Exits
    1 if a check of level fail falls short or could not be made.
    """
    from piecehub.source import find_saved_model

    with find_saved_model(saved_model, Workdir(workdir).store) as source:
        from piecehub.modeling.conformance.check import check_saved_model
        from piecehub.modeling.conformance.sandbox import strongest
        from piecehub.ui.check_table import print_report

        page = documentation.read_text(encoding="utf-8") if documentation else source.documentation
        sandbox = strongest(trusted=trust or source.trusted)
        if sys.stderr.isatty():
            click.echo(f"checking in a fresh process (sandbox: {sandbox}) …", err=True)
        report = check_saved_model(source.folder, sandbox, documentation=page, archive=source.archive)
    if as_json:
        click.echo(report.to_json(), nl=False)
    else:
        print_report(report)
    if not report.conforms:
        raise PiecehubError(report.first_failure)


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
    with logs.away():
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
