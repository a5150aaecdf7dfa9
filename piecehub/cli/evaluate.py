"""`piecehub evaluate`: a recipe's downstream tasks on any Reusable SavedModel of anybody.

The table and the verdict go to standard output, talk to standard error. Exit code 1 if the rule does not bless it.
"""

import json
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from piecehub.cli.completion import recipes, saved_models
from piecehub.cli.options import FOLDER, QUIET, SETTINGS, needs, workdir_option
from piecehub.errors import PiecehubError
from piecehub.facts.loading import loading
from piecehub.facts.progress import phase
from piecehub.facts.workdir import Workdir, mark, relied_on

if TYPE_CHECKING:
    from piecehub.transfer.evidence import Evidence
    from piecehub.transfer.verdict import Verdict
    from pipelines.evaluation import Planned


@click.command()
@click.argument("saved_model", shell_complete=saved_models)
@click.option(
    "--recipe",
    required=True,
    help="A folder, or the name of a shipped recipe, whose tasks are asked.",
    shell_complete=recipes,
)
@SETTINGS
@click.option("--task", "names", multiple=True, help="Only this task; repeatable.")
@click.option("--output", default="", help="Which output downstream models read, of a piece that returns a dict.")
@click.option(
    "--controls", type=click.Path(exists=True, file_okay=False, path_type=Path), help="seed-K/ for each seed."
)
@click.option("--dry-run", is_flag=True, help="Say how many trials there are and how long they take; two of each run.")
@click.option("--max-seconds", type=click.FloatRange(min=0), help="Of each task; what needs more is inconclusive.")
@click.option("--max-trials", type=click.IntRange(min=0), help="That are run anew, of each task.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; by default one a processor or GPU.")
@click.option("--devices", default="", help="What trials run on: all GPUs or the processors; cpu, or gpu:2 for two.")
@click.option(
    "--beam-arg", "beam_args", multiple=True, help="Run trials on Beam, such as --beam-arg=--runner=FlinkRunner."
)
@click.option("--out", type=FOLDER, help="Keep the evidence here, for `piecehub publish --evidence`.")
@click.option("--json", "as_json", is_flag=True, help="Evidence, guidance and verdict as one JSON document.")
@click.option("--trust", is_flag=True, help="Run a model that is not from the local store.")
@QUIET
@workdir_option("Where trials and data lie.")
@needs("pipeline")
def evaluate(
    saved_model: str,
    recipe: str,
    settings: tuple[str, ...],
    names: tuple[str, ...],
    output: str,
    controls: Path | None,
    dry_run: bool,
    max_seconds: float | None,
    max_trials: int | None,
    workers: int | None,
    devices: str,
    beam_args: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    trust: bool,
    quiet: bool,
    workdir: Path,
) -> None:
    """Measure how well SAVED_MODEL fine-tunes on a recipe's tasks.

    It is a folder, an archive, the handle of a published version, or an address. Finished trials are kept in the
    working folder: stopped and called again, the command goes on from there. Without --controls, the piece's weights
    are drawn anew for the from-scratch control, which is approximate.
    """
    from piecehub.ui.shown import form_of, shown
    from pipelines.recipe.loader import load_tasks

    loaded, places = load_tasks(recipe, settings), Workdir(workdir)
    mark(places.root)
    with (
        _keeping_trials(),
        shown(form_of(quiet=quiet)),
        relied_on(places),
        _trusted(saved_model, places, trust) as folder,
        tempfile.TemporaryDirectory(prefix="piecehub-") as scratch,
    ):
        with loading("TensorFlow"):
            from piecehub.transfer.devices import find_gpus
            from piecehub.transfer.evaluation import Means
            from pipelines import evaluation

            gpus = find_gpus(devices)
        tasks = evaluation.chosen_tasks(loaded, names)
        with phase("looking for the examples"):
            data = places.data.resolve()
            evaluator = evaluation.make_evaluator(loaded, folder, output, controls, Path(scratch), data)
        means = Means(places.trials.resolve(), workers, runner=_runner(beam_args), gpus=gpus)
        if dry_run:
            plans = [evaluator.plan(task, means) for task in tasks]
            show = partial(_print_plan, plans, as_json)
        else:
            means = evaluation.with_budget(means, max_seconds, max_trials)
            report = evaluation.checked(evaluator.saved_model)
            target = out or Path(scratch) / "evidence"
            found = [evaluator.evaluate(task, means, target / task.name) for task in tasks]
            verdict = evaluator.judged(found, report)
            if out:
                verdict.write(out)  # with the recipe's rule, for `piecehub publish --evidence`
            show = partial(_print, found, verdict, as_json)
    show()


@contextmanager
def _keeping_trials() -> Generator[None]:
    """Says to a person who stops it what need not be waited for again."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        raise KeyboardInterrupt("Stopped. Finished trials are kept: run the same command again to go on.") from stopped


@contextmanager
def _trusted(saved_model: str, places: Workdir, trust: bool) -> Generator[Path]:
    """The folder of the SavedModel, if it may be run outside of a sandbox, as trials do."""
    from piecehub.store.source import find_saved_model

    with find_saved_model(saved_model, places.store) as source:
        if not (trust or source.trusted):
            raise PiecehubError(
                f"Expected a model of the local store, or --trust. Received: '{saved_model}'; trials run the model "
                "outside of any sandbox, so look at it with `piecehub check` first."
            )
        yield source.folder


def _runner(beam_args: Sequence[str]) -> Any:
    from piecehub.transfer.pool import run_trials

    if not beam_args:
        return run_trials
    from piecehub.transfer.on_beam import run_trials_on_beam

    return partial(run_trials_on_beam, beam_args=list(beam_args))


def _print_plan(plans: "list[Planned]", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(plan) for plan in plans], indent=2))
        return
    for plan in plans:
        click.echo(
            f"{plan.task}: {sum(plan.trials.values())} trials, {plan.missing} missing, about {plan.seconds:.0f} s"
        )
        for mode, count in plan.trials.items():
            click.echo(f"  {mode:<20}{count:>6}")


def _print(found: "list[Evidence]", verdict: "Verdict", as_json: bool) -> None:
    from piecehub.documentation.evidence_table import evidence_table
    from piecehub.transfer.guidance import guide
    from piecehub.ui.table import print_text

    texts = {e.task: json.loads(e.to_json()) for e in found}
    guidance = {e.task: asdict(guide(e)) for e in found if e.complete}
    if as_json:
        value = {"evidence": texts, "guidance": guidance, "verdict": json.loads(verdict.to_json())}
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        for task, evidence in texts.items():
            print_text(evidence_table(evidence, guidance.get(task)))
        print_text(f"\n{verdict.status}")
        for sentence in (*verdict.reasons, *(f"Warning: {warning}" for warning in verdict.warnings)):
            print_text(f"  {sentence}")
    if not verdict.blessed:
        raise PiecehubError(f"The recipe's rule does not bless it ({verdict.status}): {verdict.reasons[0]}")
