"""The processes that run trials: `python -m piecehub.transfer.workers JOB PIPE`, started by `pool`.

This process imports TensorFlow once, computes nothing, and forks one process a worker, each with one thread. A line
of JSON goes into the pipe for each finished trial: `{"trial": index}` or, last, `{"error": class, "sentence": …}`.
If the process that reads the pipe dies, the next line cannot be written and the workers end.
"""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from piecehub.errors import PiecehubError
from piecehub.transfer import probe
from piecehub.transfer.protocol import MODES
from piecehub.transfer.tasks import Task, draw_shots, draw_validation
from piecehub.transfer.trials import Trial, TrialResult, TrialStore

Run = Callable[[Trial], TrialResult]


@dataclass(frozen=True)
class Job:
    """What the workers are given; the task lies in `task`, written by `Task.write`."""

    saved_model: str
    controls: str
    task: str
    trials_folder: str
    workers: int
    output: str
    trials: tuple[Trial, ...]

    def write(self, path: Path) -> None:
        """Writes the job as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `write` wrote."""
        value = json.loads(path.read_text(encoding="utf-8"))
        packages = [tuple((name, number) for name, number in t.pop("packages")) for t in value["trials"]]
        trials = [Trial(**t, packages=p) for t, p in zip(value.pop("trials"), packages, strict=True)]
        return cls(**value, trials=tuple(trials))


def control_folder(controls: Path, seed: int) -> Path:
    """Where the re-initialised weights of a seed lie."""
    return controls / f"seed-{seed}"


class Bench:
    """A loaded piece and a task: what one worker runs trials on."""

    def __init__(self, job: Job) -> None:
        from piecehub.transfer.engine import Engine

        self._task = Task.read(Path(job.task))
        self._controls = Path(job.controls)
        self._engine = Engine(Path(job.saved_model), self._task.num_classes, job.output)
        self._features: dict[str, tuple[probe.Floats, probe.Floats]] = {}

    def run(self, trial: Trial) -> TrialResult:
        """Runs one trial; its numbers depend on nothing that ran before."""
        training = draw_shots(self._task, trial.shots, trial.seed)
        validation = draw_validation(self._task, trial.largest_shots, trial.seed)
        run = self._probe if MODES[trial.mode].training == "probe" else self._tune
        return run(trial, training, validation)

    def _tune(self, trial: Trial, training: Any, validation: Any) -> TrialResult:
        self._set_weights(trial)
        x, y = self._task.pool_x, self._task.pool_y
        self._engine.fine_tune(
            x[training],
            y[training],
            seed=trial.seed,
            learning_rate=trial.setting,
            steps=trial.steps,
            batch_size=trial.batch_size,
        )
        logits = self._engine.logits(x[validation]), self._engine.logits(self._task.test_x)
        return TrialResult.score(logits[0], y[validation], logits[1])

    def _probe(self, trial: Trial, training: Any, validation: Any) -> TrialResult:
        pool, test = self._frozen_features(trial)
        y = self._task.pool_y
        if not (np.isfinite(pool).all() and np.isfinite(test).all()):
            return TrialResult.score(pool, y, np.full((len(test), self._task.num_classes), np.nan, np.float32))
        head = probe.fit(pool[training], y[training], trial.setting)
        return TrialResult.score(probe.logits(pool[validation], head), y[validation], probe.logits(test, head))

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
    return max(1 if worker.exitcode else 0 for worker in workers)


def _work(job: Job, taken: Any, out: int) -> None:
    """Takes trials, one at a time, until there are none left."""
    from piecehub.transfer import engine

    engine.use_one_thread()
    try:
        bench, store = Bench(job), TrialStore(Path(job.trials_folder))
        while (index := _take(taken)) < len(job.trials):
            store.write(job.trials[index], bench.run(job.trials[index]))
            _tell(out, {"trial": index})
    except PiecehubError as error:
        _tell(out, {"error": type(error).__name__, "sentence": error.sentence})
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


def _take(taken: Any) -> int:
    with taken.get_lock():
        taken.value += 1
        return taken.value - 1


def _tell(out: int, message: dict[str, Any]) -> None:
    """One write: lines shorter than PIPE_BUF (4096 bytes) of several processes do not mix."""
    os.write(out, (json.dumps(message)[:4000] + "\n").encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
