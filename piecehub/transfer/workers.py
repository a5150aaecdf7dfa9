"""The processes that run trials: `python -m piecehub.transfer.workers JOB PIPE`, started by `pool`.

This process imports TensorFlow once, computes nothing, and forks one process a worker, each with one thread. A line
of JSON goes into the pipe for each finished trial: `{"trial": index}` or, last, `{"error": class, "sentence": …}`.
If the process that reads the pipe dies, the next line cannot be written and the workers end.
"""

import gc
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from piecehub.errors import as_ours
from piecehub.transfer import kinds, probe
from piecehub.transfer.protocol import MODES
from piecehub.transfer.raw_input import raw_features
from piecehub.transfer.tasks import Task, draw_shots, draw_validation
from piecehub.transfer.trials import NO_LOSSES, Trial, TrialResult, TrialStore

Run = Callable[[Trial], TrialResult]


@dataclass(frozen=True)
class Job:
    """What the workers are given; the task lies in `task`, written by `Task.write`.

    `deadline` is a reading of this machine's monotonic clock, after which no trial is started.
    """

    saved_model: str
    controls: str
    task: str
    trials_folder: str
    workers: int
    output: str
    deadline: float | None
    trials: tuple[Trial, ...]

    def write(self, path: Path) -> None:
        """Writes the job as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `write` wrote."""
        value = json.loads(path.read_text(encoding="utf-8"))
        return cls(**value | {"trials": tuple(map(Trial.from_json, value["trials"]))})


def control_folder(controls: Path, seed: int) -> Path:
    """Where the re-initialised weights of a seed lie."""
    return controls / f"seed-{seed}"


class Bench:
    """A loaded piece and a task: what one worker runs trials on."""

    def __init__(self, job: Job) -> None:
        from piecehub.transfer.engine import Engine

        self._task = Task.read(Path(job.task))
        self._controls = Path(job.controls)
        self._engine = Engine(Path(job.saved_model), self._task.outputs, self._task.kind, job.output)
        for rows in (self._task.pool_x, self._task.test_x):
            self._engine.refuse_misfit(self._task.name, rows)
        self._features: dict[str, tuple[probe.Floats, probe.Floats]] = {}

    def run(self, trial: Trial) -> TrialResult:
        """Runs one trial; its numbers depend on nothing that ran before."""
        training = draw_shots(self._task, trial.shots, trial.seed)
        validation = draw_validation(self._task, trial.largest_shots, trial.seed)
        run = self._probe if MODES[trial.mode].training == "probe" else self._tune
        return run(trial, training, validation)

    def _tune(self, trial: Trial, training: Any, validation: Any) -> TrialResult:
        x, y = self._task.pool_x, self._task.pool_y
        # A head that starts at 0 learns values around 0 in few steps, whatever their unit.
        centre, scale = (y[training].mean(), y[training].std() or 1.0) if self._task.kind == "regression" else (0, 1)
        labels = (y[training] - centre) / scale if self._task.kind == "regression" else y[training]
        head = self._probed_head(trial, training, validation) if trial.probe_settings else None
        if head and self._task.kind == "regression":
            head = head[0] / scale, (head[1] - centre) / scale
        self._set_weights(trial)
        losses = self._engine.fine_tune(
            x[training],
            labels,
            seed=trial.seed,
            learning_rate=trial.setting,
            steps=trial.steps,
            batch_size=trial.batch_size,
            head=head,
        )
        held, test = (
            self._engine.logits(rows) * np.float32(scale) + np.float32(centre) for rows in self._scored(validation)
        )
        return self._score(validation, held, test, losses)

    def _probe(self, trial: Trial, training: Any, validation: Any) -> TrialResult:
        x, y = self._task.pool_x, self._task.pool_y
        if MODES[trial.mode].weights == "none":
            shots, held, test = raw_features(x[training], *self._scored(validation))
        else:
            pool, test = self._frozen_features(trial)
            shots, held = pool[training], pool[validation]
        if not all(np.isfinite(features).all() for features in (shots, held, test)):
            nothing = [np.full((len(rows), self._task.outputs), np.nan, np.float32) for rows in (held, test)]
            return self._score(validation, *nothing)
        head = probe.fit(shots, y[training], trial.setting, self._task.kind)
        return self._score(validation, probe.logits(held, head), probe.logits(test, head))

    def _probed_head(self, trial: Trial, training: Any, validation: Any) -> probe.Head | None:
        """The head of the probe that is best on the trial's validation part; none of features that are not finite."""
        pool, _ = self._frozen_features(trial)
        if not np.isfinite(pool).all():
            return None
        y, kind = self._task.pool_y, self._task.kind
        heads = [probe.fit(pool[training], y[training], setting, kind) for setting in trial.probe_settings]
        said = [kinds.predictions(kind, probe.logits(pool[validation], head)) for head in heads]
        best = np.argmax([kinds.scores(kind, y[validation], predicted).mean() for predicted in said])
        return heads[int(best)]

    def _scored(self, validation: Any) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        """The examples that a trained model is asked about: validation and test."""
        return self._task.pool_x[validation], self._task.test_x

    def _score(
        self, validation: Any, held: probe.Floats, test: probe.Floats, losses: probe.Floats = NO_LOSSES
    ) -> TrialResult:
        return TrialResult.score(self._task.kind, held, self._task.pool_y[validation], test, losses)

    def _frozen_features(self, trial: Trial) -> tuple[probe.Floats, probe.Floats]:
        """Features of pool and test, computed once for each set of weights."""
        if trial.control not in self._features:
            self._set_weights(trial)
            x = self._task.pool_x, self._task.test_x
            self._features[trial.control] = self._engine.features(x[0]), self._engine.features(x[1])
        return self._features[trial.control]

    def _set_weights(self, trial: Trial) -> None:
        if trial.control:
            self._engine.use_control(control_folder(self._controls, trial.seed))
        else:
            self._engine.use_piece()


def main(job_path: str, pipe: str) -> int:
    """Runs the job's trials; returns the exit code."""
    import piecehub.transfer.engine  # noqa: F401 - imported before the fork, so that workers share it

    # A terminal sends Ctrl-C to every process; the one that reads the pipe answers for all.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    job, out = Job.read(Path(job_path)), int(pipe)
    context = multiprocessing.get_context("fork")
    taken = context.Value("q", 0)
    workers = [context.Process(target=_work, args=(job, taken, out)) for _ in range(job.workers)]
    for worker in workers:
        worker.start()
    os.close(out)
    for worker in workers:
        worker.join()
    gc.freeze()  # else Python looks for garbage among all that TensorFlow made, which takes seconds, before it ends
    return max(1 if worker.exitcode else 0 for worker in workers)


def _work(job: Job, taken: Any, out: int) -> None:
    """Takes trials, one at a time, until there are none left."""
    from piecehub.transfer import engine

    engine.use_one_thread()
    try:
        bench, store = Bench(job), TrialStore(Path(job.trials_folder))
        while (index := _take(taken)) < len(job.trials) and not _too_late(job):
            store.write(job.trials[index], bench.run(job.trials[index]))
            _tell(out, {"trial": index})
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        ours = as_ours(error)
        if ours is None:
            raise
        _tell(out, {"error": type(ours).__name__, "sentence": ours.sentence})
        sys.exit(1)


def _too_late(job: Job) -> bool:
    return job.deadline is not None and time.monotonic() > job.deadline


def _take(taken: Any) -> int:
    with taken.get_lock():
        taken.value += 1
        return taken.value - 1


def _tell(out: int, message: dict[str, Any]) -> None:
    """One write: lines shorter than PIPE_BUF (4096 bytes) of several processes do not mix."""
    os.write(out, (json.dumps(message)[:4000] + "\n").encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
