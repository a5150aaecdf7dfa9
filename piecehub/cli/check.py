"""`piecehub check`: the validator on anybody's SavedModel."""

from pathlib import Path

import click

from piecehub.cli.completion import saved_models
from piecehub.cli.options import QUIET, Command, needs
from piecehub.errors import CheckUnfinished, PiecehubError
from piecehub.facts.progress import phase


@click.command(cls=Command)
@click.argument("saved_model", shell_complete=saved_models)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON, with what each check took.")
@click.option("--trust", is_flag=True, help="Run the model even where there is no sandbox.")
@click.option(
    "--documentation",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The model page to check with it; a published version brings its own.",
)
@QUIET
@needs("tf")
def check(saved_model: str, as_json: bool, trust: bool, documentation: Path | None, quiet: bool, workdir: Path) -> None:
    """Check SAVED_MODEL against the interface.

    It is a folder, an archive, the handle of a published version, or the address of a model on any server that
    speaks TensorFlow Hub's protocol. A model that is not from the local store runs in bubblewrap, or not at all. Exits
    1 if a check of level fail falls short or could not be made, and 5 if time or memory did not suffice, which says
    nothing of the model.
    """
    from piecehub.ui.check_table import print_report
    from piecehub.ui.shown import form_of, shown

    with shown(form_of(quiet=quiet)), phase("reading the model"):
        from piecehub.conformance.check import check as check_model

        report = check_model(saved_model, documentation=documentation, trust=trust, workdir=workdir)
    if as_json:
        click.echo(report.to_json_with_timings(), nl=False)
    else:
        print_report(report)
    if report.verdict == "unfinished":
        raise CheckUnfinished(report.first_failure)
    if not report.conforms:
        raise PiecehubError(report.first_failure)
