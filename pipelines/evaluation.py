"""Evaluates any Reusable SavedModel on a recipe's downstream tasks, outside of a pipeline: `piecehub evaluate`."""

import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from piecehub.conformance.check import check_saved_model
from piecehub.conformance.sandbox import strongest
from piecehub.errors import CheckUnfinished, PiecehubError, RecipeError, telling_no_space
from piecehub.examples.features import Features
from piecehub.examples.ingest import ingest
from piecehub.examples.stream import Stream
from piecehub.facts import piece_manifest
from piecehub.facts.conformance_report import ConformanceReport
from piecehub.facts.progress import phase
from piecehub.facts.workdir import DEFAULT_NAME, Workdir, mark, relied_on
from piecehub.store.source import find_saved_model
from piecehub.tensors.approximate_controls import write_controls
from piecehub.tensors.literal_path import linked
from piecehub.training.decoding import decode_of
from piecehub.transfer import cost, evaluation, gate
from piecehub.transfer.devices import find_gpus, kind_of
from piecehub.transfer.evaluation import Means, Subject
from piecehub.transfer.evidence import Evidence
from piecehub.transfer.kinds import check_kind
from piecehub.transfer.leakage import Leakage, find_overlap, refuse_overlap
from piecehub.transfer.pool import Budget, missing_trials, run_trials
from piecehub.transfer.protocol import MODES
from piecehub.transfer.spill import rows_folder, spilled
from piecehub.transfer.tasks import Task, task_from_features
from piecehub.transfer.verdict import Verdict
from pipelines.data import examples_folder
from pipelines.protocols import protocol_of, rule_of
from pipelines.recipe.loader import load_tasks
from pipelines.recipe.tables import DownstreamTask, LoadedRecipe


def evaluate(
    saved_model: str | PathLike[str],
    recipe: str | PathLike[str],
    *,
    settings: Mapping[str, Any] | None = None,
    tasks: Sequence[str] = (),
    output: str = "",
    controls: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    workers: int | None = None,
    devices: str = "",
    trust: bool = False,
    workdir: str | PathLike[str] = DEFAULT_NAME,
) -> tuple[Evidence, ...]:
    """How well a Reusable SavedModel fine-tunes on a recipe's tasks: evidence of each task.

    Finished trials are kept in the working folder, and not run again. Trials run the model outside of any sandbox: a
    folder is taken at your word, what comes from an archive or an address needs `trust`.

    Args:
        saved_model: a folder, an archive, `publisher/name/version` of the local store, or an address.
        recipe: a folder, or the name of a shipped recipe, whose tasks are asked.
        settings: values laid over the recipe's own, by their keys.
        tasks: the names of those to ask; all if empty.
        output: which output downstream models read, of a piece that returns a dict.
        controls: a folder with `seed-K/` for each seed; without it the piece's weights are drawn anew for the
            from-scratch control, which is approximate.
        out: where to keep the evidence, in a folder a task, and what the recipe's rule says of it (`verdict.json`), as
            `publish(evidence=…)` takes it.
        workers: processes; one a processor or GPU if None.
        devices: on what trials run: all GPUs, or processors, if empty; `cpu`, or `gpu:2`.
        trust: whether to run a model that came from elsewhere.
        workdir: where trials, data and the local store lie.

    Raises:
        RecipeError: if the recipe, a setting or a task is wrong.
        CheckUnfinished: if its call did not end within the validator's limits.
        PiecehubError: if the model may not run here, or cannot be evaluated.

    Example:
        >>> [evidence] = piecehub.evaluate("my_piece", recipe="my_recipe", out="evidence")
        >>> evidence.task, evidence.complete
        ('my-task', True)
    """
    loaded, places = load_tasks(recipe, settings or {}), Workdir(Path(workdir))
    mark(places.root)
    with (
        telling_no_space(),
        relied_on(places),
        find_saved_model(saved_model, places.store) as source,
        tempfile.TemporaryDirectory(prefix="piecehub-") as scratch,
    ):
        if source.archive and not (trust or source.trusted):
            raise PiecehubError(
                f"Expected a folder, a model of the local store, or trust=True. Received: '{saved_model}'; trials run "
                "the model outside of any sandbox, so look at it with `piecehub check` first."
            )
        evaluator = make_evaluator(
            loaded, source.folder, output, Path(controls) if controls else None, Path(scratch), places.data.resolve()
        )
        asked = chosen_tasks(loaded, tasks)
        report = checked(evaluator.saved_model)
        target = Path(scratch, "evidence") if out is None else Path(out)
        means = Means(places.trials.resolve(), workers, gpus=find_gpus(devices))
        found = tuple(evaluator.evaluate(task, means, target / task.name) for task in asked)
        if out is not None:
            evaluator.judged(found, report).write(target)
        return found


@dataclass(frozen=True)
class Planned:
    """What an evaluation would run on one task.

    Attributes:
        trials: by mode, how many there are; `sensitivity` are those with other batch sizes.
        missing: how many of them are not finished yet.
        seconds: how long these would take here, measured on one trial of each kind of training.
    """

    task: str
    trials: dict[str, int]
    missing: int
    seconds: float


@dataclass(frozen=True)
class Evaluator:
    """A SavedModel that lies ready to be evaluated.

    Attributes:
        controls: the folder of its controls; where it has none of a seed, approximate ones are drawn into it.
        drawn: whether controls are drawn.
        examples: the recipe's examples, as they were written.
        scratch: where they are put in order.
    """

    loaded: LoadedRecipe
    saved_model: Path
    output: str
    controls: Path
    drawn: bool
    examples: Path
    scratch: Path

    @contextmanager
    def task(self, stated: DownstreamTask, trials_folder: Path) -> Generator[tuple[Task, Leakage]]:
        """The examples of a task, as the piece takes them, and what pool and test have in common.

        Its rows are decoded once, and lie in files beside the trials until this ends.

        Raises:
            DataError: if pool and test have more in common than the recipe allows.
        """
        with rows_folder(trials_folder) as rows:
            pool, test = (
                spilled(stream.finite_arrays(), len(stream), rows, stream.split) for stream in self._streams(stated)
            )
            overlap = find_overlap(pool, test, {stated.label})
            refuse_overlap(overlap, stated.name, self.loaded.config.evaluation.max_leakage)
            inputs, kind = _input_names(self.saved_model), check_kind(stated.kind)
            yield task_from_features(stated.name, stated.label, pool, test, inputs, kind, stated.slices), overlap

    def _streams(self, stated: DownstreamTask) -> list[Stream]:
        config, place = self.loaded.config, self.scratch / "examples" / stated.name
        if not place.is_dir():
            ingest(str(self.examples / stated.name), ("pool", "test"), place)
        features = Features.of_schema(str(self.loaded.folder / stated.schema))
        decode = decode_of(self.loaded.folder, config.model.read_by(stated.decode))
        return [Stream.open(str(place), split, features, decode) for split in ("pool", "test")]

    def subject(self, stated: DownstreamTask) -> Subject:
        """The piece with its controls, which are drawn now if it came without."""
        seeds = protocol_of(self.loaded.config, stated).seeds
        if self.drawn:
            write_controls(self.saved_model, seeds, self.controls)
        kind = "approximate" if self.drawn else "exact"
        return Subject(self.saved_model, self.controls, self.output, control_kind=kind)

    def evaluate(self, stated: DownstreamTask, means: Means, destination: Path) -> Evidence:
        """The evidence of one task, written into `destination`; upstream is not known, so it tells of no leakage."""
        protocol = protocol_of(self.loaded.config, stated)
        with phase(f"evaluating {stated.name}"), self.task(stated, means.trials_folder) as (task, overlap):
            return evaluation.evaluate(self.subject(stated), task, protocol, means, destination, overlap=overlap)

    def judged(self, found: Sequence[Evidence], report: ConformanceReport) -> Verdict:
        """What the recipe's rule says of the evidence, without a published version to compare with."""
        return gate.judge(found, report, None, rule_of(self.loaded.config))

    def plan(self, stated: DownstreamTask, means: Means) -> Planned:
        """What `evaluate` would run; it runs one missing trial of each kind of training, which are kept."""
        protocol, subject = protocol_of(self.loaded.config, stated), self.subject(stated)
        with phase(f"trying {stated.name}"), self.task(stated, means.trials_folder) as (task, _):
            trials = evaluation.planned(subject, task, protocol, kind_of(means.gpus))
            more = evaluation.sensitivity_count(task, protocol)
            missing = missing_trials(trials, means.trials_folder)
            about = {"saved_model": subject.saved_model, "controls": subject.controls, "output": subject.output}
            about |= {"gpus": means.gpus}
            seconds = cost.measured(missing, partial(run_trials, **about, task=task, trials_folder=means.trials_folder))
        counts = {name: sum(t.mode == name for t in trials) for name in MODES}
        total = cost.total(missing, seconds) + more * seconds["tuning"]
        workers = means.workers or len(means.gpus) or evaluation.cpu_count()
        return Planned(stated.name, counts | {"sensitivity": more}, len(missing) + more, total / workers)


def make_evaluator(
    loaded: LoadedRecipe, saved_model: Path, output: str, controls: Path | None, scratch: Path, data: Path
) -> Evaluator:
    """An evaluator of a SavedModel; the recipe's examples are written first if no run did before.

    Args:
        loaded: the recipe whose tasks are asked.
        saved_model: a folder.
        output: which output downstream models read, where the piece returns a dict.
        controls: `seed-K/` for each seed; None draws approximate ones.
        scratch: where those are drawn, and examples are put in order.
        data: where recipes' examples lie.
    """
    examples = examples_folder(loaded, data)
    folder = linked(saved_model, scratch / "linked-model")
    own = linked(controls, scratch / "linked-controls") if controls else scratch / "controls"
    return Evaluator(loaded, folder, output, own, controls is None, examples, scratch)


def checked(saved_model: Path) -> ConformanceReport:
    """The validator's report, before any trial: nothing would end trials of a model whose call never returns.

    Raises:
        CheckUnfinished: if it could not be called within the validator's limits.
    """
    report = check_saved_model(saved_model, strongest(trusted=True))
    if report.unfinished == "D1":
        raise CheckUnfinished(report.first_failure)
    return report


def chosen_tasks(loaded: LoadedRecipe, names: Sequence[str]) -> list[DownstreamTask]:
    """The recipe's tasks of those names, or all; raises RecipeError if there is none of a name."""
    known = {task.name: task for task in loaded.config.task}
    for name in names:
        if name not in known:
            raise RecipeError(f"Expected a task of the recipe ({', '.join(known)}). Received: '{name}'.")
    return [task for task in loaded.config.task if not names or task.name in names]


def with_budget(means: Means, seconds: float | None, trials: int | None) -> Means:
    """The same means with a budget."""
    return replace(means, budget=Budget(seconds, trials))


def _input_names(saved_model: Path) -> list[str]:
    """The keys of the piece's inputs, where its manifest says that it takes a dict."""
    manifest = piece_manifest.read(saved_model)
    specs = manifest.input if manifest else {}
    return sorted(specs) if isinstance(specs, dict) and specs and "shape" not in specs else []
