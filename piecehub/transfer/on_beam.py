"""Runs trials as elements of a Beam pipeline, for runners that have more machines than one.

    from functools import partial
    means = Means(folder, runner=partial(run_trials_on_beam, beam_args=["--runner=FlinkRunner", …]))

Each element is a handful of trials, as many as take about a minute by what two of them took here, which the worker
hands to the same function as here: `pool.run_trials`, one process with one thread. So the numbers are those of the
pool, bit for bit, whatever a worker's own TensorFlow was set to. The piece, its controls, the task and the folder of
trials must be seen at one and the same path by every worker, as on a shared file system; results travel as files, and
only their names as elements. On one machine the pool is faster: Beam's local modes cost some 20 seconds before the
first trial.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from piecehub.transfer import cost
from piecehub.transfer.pool import UNLIMITED, Budget, Progress, missing_trials, run_trials
from piecehub.transfer.spill import rows_folder
from piecehub.transfer.tasks import Task
from piecehub.transfer.trials import Trial, TrialResult, TrialStore

# A fresh interpreter imports TensorFlow for each element, which a minute of trials makes up for.
_SECONDS_PER_ELEMENT = 60.0


@dataclass(frozen=True)
class Places:
    """What every worker must see at the same path."""

    saved_model: Path
    controls: Path
    task: Path
    trials_folder: Path


class RunTrials(beam.DoFn):
    """Runs the trials of an element that are not finished yet; gives the ids of all of them."""

    def __init__(self, places: Places, output: str) -> None:
        self._places, self._output = places, output

    def process(self, element: Sequence[dict[str, Any]], *args: Any, **kwargs: Any) -> Iterator[str]:
        """The ids of the element's trials, each of whose files lies in the folder now."""
        places = self._places
        finished = run_trials(
            [Trial.from_json(value) for value in element],
            saved_model=places.saved_model,
            controls=places.controls,
            task=Task.read(places.task),
            trials_folder=places.trials_folder,
            workers=1,
            output=self._output,
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
    beam_args: Sequence[str] = (),
) -> dict[Trial, TrialResult]:
    """The results of all trials, as `pool.run_trials` gives them, whose arguments it has.

    `workers` is into how many elements the trials are dealt, at least. `on_progress` is called for each trial once the
    whole pipeline has ended, since Beam tells nothing earlier. `budget` limits trials; how long a runner takes is for
    the runner to limit. `beam_args` names the runner and its options; without them it is Beam's in-process one.
    """
    missing = budget.of(missing_trials(trials, trials_folder))
    if missing:
        about = {"saved_model": saved_model, "controls": controls, "task": task, "output": output}
        seconds = cost.measured(missing, partial(run_trials, **about, trials_folder=trials_folder))
        others = missing_trials(missing, trials_folder)
        if others:
            with rows_folder(trials_folder) as folder:
                task.write(folder)
                places = Places(*(p.absolute() for p in (saved_model, controls, folder, trials_folder)))
                _run(others, elements_of(others, seconds, workers), RunTrials(places, output), beam_args)
    store = TrialStore(trials_folder)
    results = {trial: result for trial in trials if (result := store.read(trial)) is not None}
    for done, trial in enumerate(missing if on_progress else (), start=len(trials) - len(missing) + 1):
        assert on_progress
        on_progress(done, len(trials), trial)
    return results


def elements_of(trials: Sequence[Trial], seconds: cost.Seconds, workers: int) -> int:
    """Into how many elements trials are dealt: each takes about a minute, but for that every worker has one."""
    return min(len(trials), max(workers, math.ceil(cost.total(trials, seconds) / _SECONDS_PER_ELEMENT)))


def _run(missing: Sequence[Trial], elements: int, run: RunTrials, beam_args: Sequence[str]) -> None:
    # The runner is named: Beam's default one changes with its releases, and tries to fetch a binary.
    options = PipelineOptions(list(beam_args) or ["--runner=FnApiRunner"])
    dealt = [[asdict(trial) for trial in missing[i::elements]] for i in range(elements)]
    with beam.Pipeline(options=options) as pipeline:
        hands = pipeline | "Deal" >> beam.Create(dealt)
        _ = hands | "Spread" >> beam.Reshuffle() | "RunTrials" >> beam.ParDo(run)
