"""Runs trials as elements of a Beam pipeline, for runners that have more machines than one.

    from functools import partial
    means = Means(folder, runner=partial(run_trials_on_beam, beam_args=["--runner=FlinkRunner", …]))

Each element is a handful of trials, as many as take about a minute by what two of them took here, which the worker
hands to the same function as here: `pool.run_trials`, one process with one thread. So the numbers are those of the
pool, bit for bit, whatever a worker's own TensorFlow was set to. Piece, controls and task go to workers, and results
come back, by a uri that all of them reach (staging.py): Beam's `--temp_location`. Without it they are read and written
where they lie, so that every worker must see them at the same path, as on a shared file system. A result is handed in
when its trial ends, and taken from there by whatever asks again: an element that is run twice, after a worker was
killed, or a run that is started again. On one machine the pool is faster: Beam's local modes cost some 20 seconds
before the first trial.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from piecehub import errors
from piecehub.errors import EnvironmentProblem, PiecehubError, TrainingError, as_ours, first_line
from piecehub.facts.kept import keeper
from piecehub.facts.progress import phase
from piecehub.transfer import cost, staging
from piecehub.transfer.devices import find_gpus
from piecehub.transfer.pool import UNLIMITED, Budget, Progress, missing_trials, run_trials
from piecehub.transfer.spill import rows_folder
from piecehub.transfer.staging import Staged
from piecehub.transfer.tasks import Task, portable
from piecehub.transfer.trials import Trial, TrialResult, TrialStore

# A fresh interpreter imports TensorFlow for each element, which a minute of trials makes up for.
_SECONDS_PER_ELEMENT = 60.0
# One of our errors in the text that a runner makes of what its workers raise.
_RAISED = re.compile(r"piecehub\.errors\.(?P<kind>\w+): (?P<sentence>.+?)(?: \[while running [^\n]*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Places:
    """Where workers find what trials need, and the uri at which finished trials lie."""

    saved_model: Staged
    controls: Staged
    task: Staged
    trials: str


class RunTrials(beam.DoFn):
    """Runs the trials of an element that are not finished yet; gives the ids of all of them."""

    def __init__(self, places: Places, output: str, beam_args: Sequence[str]) -> None:
        self._places, self._output, self._beam_args = places, output, list(beam_args)

    def setup(self) -> None:
        """Tells this process how places are reached: Beam's own pool of workers does not."""
        FileSystems.set_options(PipelineOptions(self._beam_args))

    def process(self, element: Sequence[dict[str, Any]], *args: Any, **kwargs: Any) -> Iterator[str]:
        """The ids of the element's trials, each of whose files has been handed in now."""
        places, trials = self._places, [Trial.from_json(value) for value in element]
        with (
            staging.here(places.saved_model) as saved_model,
            staging.here(places.controls) as controls,
            staging.here(places.task) as task,
            staging.folder_for(places.trials) as folder,
        ):
            staging.bring(trials, places.trials, folder)
            finished = run_trials(
                trials,
                saved_model=saved_model,
                controls=controls,
                task=Task.read(task),
                trials_folder=folder,
                workers=1,
                output=self._output,
                gpus=find_gpus("gpu") if trials[0].device == "gpu" else (),
                on_progress=lambda _done, _total, trial: staging.hand_in(trial, folder, places.trials),
            )
        yield from (trial.id for trial in finished)


def run_trials_on_beam(
    trials: Sequence[Trial],
    *,
    saved_model: Path,
    controls: Path,
    task: Task,
    trials_folder: Path,
    workers: int,
    output: str = "",
    on_progress: Progress | None = None,
    budget: Budget = UNLIMITED,
    gpus: Sequence[str] = (),
    beam_args: Sequence[str] = (),
) -> dict[Trial, TrialResult]:
    """The results of all trials, as `pool.run_trials` gives them, whose arguments it has.

    `workers` is into how many elements the trials are dealt, at least. `on_progress` is called for each trial once the
    whole pipeline has ended, since Beam tells nothing earlier. `budget` limits trials; how long a runner takes is for
    the runner to limit. Trials that are planned for GPUs need one on every worker. `beam_args` names the runner and
    its options; without them it is Beam's in-process one.

    Raises:
        PiecehubError: what a trial raised, or if the pipeline failed; those that had finished are kept.
    """
    # The runner is named: Beam's default one changes with its releases, and tries to fetch a binary.
    beam_args = list(beam_args) or ["--runner=FnApiRunner"]
    options = PipelineOptions(beam_args)
    FileSystems.set_options(options)
    place = _place(options)
    at = staging.trials_at(place) if place else str(trials_folder.absolute())
    staging.bring(missing_trials(trials, trials_folder), at, trials_folder)
    missing = budget.of(missing_trials(trials, trials_folder))
    if missing:
        about = {"saved_model": saved_model, "controls": controls, "task": task, "output": output, "gpus": gpus}
        seconds = cost.measured(missing, partial(run_trials, **about, trials_folder=trials_folder))
        others = missing_trials(missing, trials_folder)
        if others:
            with rows_folder(trials_folder) as folder:
                task.write(folder)
                places = _places(saved_model, controls, folder, place, at)
                with phase("running trials on Beam"):
                    _run(others, elements_of(others, seconds, workers), RunTrials(places, output, beam_args), options)
            staging.bring(others, at, trials_folder)
            _keep(others, trials_folder)
            _refuse_lost(missing_trials(others, trials_folder), at)
    store = TrialStore(trials_folder)
    results = {trial: result for trial in trials if (result := store.read(trial)) is not None}
    for done, trial in enumerate(missing if on_progress else (), start=len(trials) - len(missing) + 1):
        assert on_progress
        on_progress(done, len(trials), trial)
    return results


def elements_of(trials: Sequence[Trial], seconds: cost.Seconds, workers: int) -> int:
    """Into how many elements trials are dealt: each takes about a minute, but for that every worker has one."""
    return min(len(trials), max(workers, math.ceil(cost.total(trials, seconds) / _SECONDS_PER_ELEMENT)))


def _place(options: PipelineOptions) -> str:
    """The uri that all workers reach; empty if none was given."""
    told = options.view_as(GoogleCloudOptions).temp_location
    if not told:
        return ""
    uri = str(Path(told).absolute()) if staging.is_path(told) else told.rstrip("/")
    return f"{uri}/piecehub"


def _places(saved_model: Path, controls: Path, task: Path, place: str, trials: str) -> Places:
    """What workers are told: folders of this machine as they are, or what was brought to the place for them."""
    if not place:
        saved, drawn, about = (Staged(str(folder.absolute())) for folder in (saved_model, controls, task))
    else:
        brought = staging.of_folder(saved_model), staging.of_folder(controls), portable(task)
        saved, drawn, about = (staging.stage(files, place) for files in brought)
    return Places(saved, drawn, about, trials)


def _run(missing: Sequence[Trial], elements: int, run: RunTrials, options: PipelineOptions) -> None:
    dealt = [[asdict(trial) for trial in missing[i::elements]] for i in range(elements)]
    try:
        with beam.Pipeline(options=options) as pipeline:
            hands = pipeline | "Deal" >> beam.Create(dealt)
            _ = hands | "Spread" >> beam.Reshuffle() | "RunTrials" >> beam.ParDo(run)
    except Exception as error:
        raise _of_worker(error) from error


def _keep(trials: Sequence[Trial], folder: Path) -> None:
    paths = map(TrialStore(folder).path, trials)
    for path in filter(Path.exists, paths):
        keeper().keep(path)


def _refuse_lost(lost: Sequence[Trial], at: str) -> None:
    if lost:
        raise EnvironmentProblem(
            f"Expected the results of all trials at '{at}'. Received: none of {len(lost)}, though the Beam pipeline "
            f"ended well; give --beam-arg={staging.OPTION}=URI, a place that all workers read and write."
        )


def _of_worker(error: Exception) -> PiecehubError:
    """What a worker raised, or else what the runner says; Beam adds words to the former, or hands it on as text."""
    said = _RAISED.search(f"{type(error).__module__}.{type(error).__name__}: {error}")
    kind = getattr(errors, said["kind"], None) if said else None
    if said and isinstance(kind, type) and issubclass(kind, PiecehubError):
        return kind(said["sentence"])
    return as_ours(error) or TrainingError(
        f"Expected the Beam pipeline to run every trial. Received: {type(error).__name__}: {first_line(error)}; "
        "finished trials are kept, so the next evaluation goes on from there."
    )
