"""The command line: results on standard output, talk on standard error, errors as one sentence with an exit code.

How far a command is, `ui/shown.py` shows.

0 ok · 1 a component failed or a check fell short · 2 usage or recipe · 3 environment · 4 finished but not published
· 5 a check of a model went beyond its limits
· 10 a plan has something to run.
Everything heavy is imported inside the command that needs it, so `--help` answers at once.
"""

import sys

import click

from piecehub.cli.check import check
from piecehub.cli.compare import compare
from piecehub.cli.completion import completion
from piecehub.cli.doctor import doctor
from piecehub.cli.evaluate import evaluate
from piecehub.cli.export import expand
from piecehub.cli.export import export as export_store
from piecehub.cli.init import init
from piecehub.cli.kubeflow import kubeflow
from piecehub.cli.models import lineage, models, serve
from piecehub.cli.plan import plan
from piecehub.cli.recipe import recipe_commands
from piecehub.cli.reindex import reindex
from piecehub.cli.run import run
from piecehub.cli.runs import runs
from piecehub.cli.share import export, page
from piecehub.cli.store import store
from piecehub.cli.trust import cache, fetch, keys, publish, verify
from piecehub.cli.workdir import workdir_commands
from piecehub.errors import as_ours
from piecehub.extras import missing_extra
from piecehub.facts.heap import about_to_end
from piecehub.shadows import claim


def _tell_versions(context: click.Context, parameter: click.Parameter, is_asked: bool) -> None:
    del parameter
    if is_asked and not context.resilient_parsing:
        from piecehub.cli import stack

        click.echo(stack.text())
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_versions,
    help="Show the version, and those of Python and of the packages that results depend on.",
)
def cli() -> None:
    """Train a model, cut out the reusable piece, prove that it fine-tunes, publish it."""


for _command in (
    *(init, plan, run, runs, models, lineage, serve, export, check, page, evaluate, compare),
    *(publish, verify, fetch, keys, cache, store, workdir_commands, kubeflow, doctor, completion),
):
    cli.add_command(_command)
cli.add_command(recipe_commands, "recipe")
for _command in (export_store, expand, reindex):
    store.add_command(_command)


def main() -> None:
    """Runs the command line and exits with its code; an error is one line on standard error, one a fault."""
    claim()
    try:
        _main()
    finally:
        about_to_end()


def _main() -> None:
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        code, lines = error.exit_code, ()
    except click.Abort as stopped:
        code, lines = 1, (str(stopped.__cause__ or "") or "Stopped.",)
    except ModuleNotFoundError as error:
        missing = missing_extra(error, "this command")
        if missing is None:
            raise
        code, lines = missing.exit_code, missing.lines
    except Exception as error:
        ours = as_ours(error)
        if ours is None:
            raise
        code, lines = ours.exit_code, ours.lines
    for line in lines:
        click.echo(f"piecehub: {line}", err=True)
    sys.exit(code)
