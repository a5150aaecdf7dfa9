"""The processes that run trials: `python -m piecehub.transfer.workers JOB PIPE`, started by `pool`.

This process imports TensorFlow once, computes nothing, and forks one process a worker, each with one thread. A line
of JSON goes into the pipe for each finished trial: `{"trial": index}` or, last, `{"error": class, "sentence": …}`.
If the process that reads the pipe dies, the next line cannot be written and the workers end. A worker that is killed is
replaced, and its trial is run again; if a second one is killed at it, the job fails once all other trials were run.
"""

import contextlib
import functools
import gc
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from piecehub.errors import as_ours
from piecehub.facts import heap
from piecehub.facts.controls import control_folder
from piecehub.transfer import kinds, packing, probe
from piecehub.transfer.packing import Picked, Some
from piecehub.transfer.protocol import MODES
from piecehub.transfer.raw_input import RawInput
from piecehub.transfer.spill import spilled
from piecehub.transfer.tasks import Task, draw_shots, draw_validation
from piecehub.transfer.trials import NO_LOSSES, Trial, TrialResult, TrialStore

Run = Callable[[Trial], TrialResult]
# Of features in double precision, at a time.
_BLOCK_BYTES = 16 * 2**20
_NONE = -1  # at no trial


@dataclass(frozen=True)
class Job:
    """What the workers are given; the task lies in the folder `task`, written by `Task.write`.

    `gpus` has for each worker the GPU that it sees (devices.py). `deadline` is a reading of this machine's monotonic
    clock, after which no trial is started.
    """

    saved_model: str
    controls: str
    task: str
    trials_folder: str
    gpus: tuple[str, ...]
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
        return cls(**value | {"gpus": tuple(value["gpus"]), "trials": tuple(map(Trial.from_json, value["trials"]))})


class Bench:
    """A loaded piece and a task: what one worker runs trials on."""

    def __init__(self, job: Job) -> None:
        from piecehub.transfer.engine import Engine

        self._task, self._shared = Task.read(Path(job.task)), Path(job.task)
        self._controls = Path(job.controls)
        self._engine = Engine(Path(job.saved_model), self._task.outputs, self._task.kind, job.output)
        for rows in (self._task.pool_x, self._task.test_x):
            self._engine.refuse_misfit(self._task.name, rows)
        self._features: dict[str, tuple[Some, Some]] = {}

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
        x, y, of_rows = self._task.pool_x, self._task.pool_y, _as_they_are
        if MODES[trial.mode].weights == "none":
            of_rows = RawInput(x[training]).features
            scored = self._scored(validation)
        else:
            x, test = self._frozen_features(trial)
            scored = Picked(x, validation), test
        shots = of_rows(x[training])
        if not np.isfinite(shots).all():
            nothing = [np.full((len(rows), self._task.outputs), np.nan, np.float32) for rows in scored]
            return self._score(validation, *nothing)
        head = probe.fit(shots, y[training], trial.setting, self._task.kind)
        # Of a row whose features are not finite no logit is.
        return self._score(validation, *(_said(rows, of_rows, shots.shape[1], head) for rows in scored))

    def _probed_head(self, trial: Trial, training: Any, validation: Any) -> probe.Head | None:
        """The head of the probe that is best on the trial's validation part; none of features that are not finite."""
        pool, _ = self._frozen_features(trial)
        if not np.isfinite(pool[:]).all():
            return None
        y, kind = self._task.pool_y, self._task.kind
        heads = [probe.fit(pool[training], y[training], setting, kind) for setting in trial.probe_settings]
        held, width = Picked(pool, validation), pool.shape[1]
        said = [kinds.predictions(kind, _said(held, _as_they_are, width, head)) for head in heads]
        best = np.argmax([kinds.scores(kind, y[validation], predicted).mean() for predicted in said])
        return heads[int(best)]

    def _scored(self, validation: Any) -> tuple[Some, Some]:
        """The examples that a trained model is asked about: validation and test."""
        return Picked(self._task.pool_x, validation), self._task.test_x

    def _score(
        self, validation: Any, held: probe.Floats, test: probe.Floats, losses: probe.Floats = NO_LOSSES
    ) -> TrialResult:
        return TrialResult.score(self._task.kind, held, self._task.pool_y[validation], test, losses)

    def _frozen_features(self, trial: Trial) -> tuple[Some, Some]:
        """Features of pool and test, computed once for each set of weights, by whichever worker needs them first."""
        if trial.control not in self._features:
            self._features[trial.control] = self._made_or_found(trial)
        return self._features[trial.control]

    def _made_or_found(self, trial: Trial) -> tuple[Some, Some]:
        place = self._shared / f"features.{trial.control.rpartition(':')[2] or 'piece'}"
        names = ("pool.0", "test.0")
        if not place.is_dir():
            self._set_weights(trial)
            beside = Path(tempfile.mkdtemp(dir=self._shared))
            for name, rows in zip(names, (self._task.pool_x, self._task.test_x), strict=True):
                parts = ({"": part} for part in self._engine.parts(rows))
                spilled(parts, len(rows), beside, name.partition(".")[0])
            with contextlib.suppress(OSError):  # another worker was faster: its numbers are the same
                beside.rename(place)
        one, other = (packing.mapped({"plain": str(place / name)}) for name in names)
        return one, other

    def _set_weights(self, trial: Trial) -> None:
        if trial.control:
            self._engine.use_control(control_folder(self._controls, trial.seed))
        else:
            self._engine.use_piece()


def _as_they_are(rows: Any) -> probe.Floats:
    return rows


def _said(rows: Some, of_rows: Callable[[Any], probe.Floats], width: int, head: probe.Head) -> probe.Floats:
    """What a linear model says of rows, by their features, of which some are in memory at a time."""
    count = max(1, _BLOCK_BYTES // (8 * max(1, width)))
    starts = range(0, len(rows), count)
    return np.concatenate([probe.logits(of_rows(rows[start : start + count]), head) for start in starts])


def main(job_path: str, pipe: str) -> int:
    """Runs the job's trials; returns the exit code."""
    with heap.loading():
        import piecehub.transfer.engine  # noqa: F401 - imported before the fork, so that workers share it
    gc.freeze()  # the collector writes to what it looks through, and what is written to is shared no longer

    # A terminal sends Ctrl-C to every process; the one that reads the pipe answers for all.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    job, out = Job.read(Path(job_path)), int(pipe)
    code = _Team(job, out).run()
    heap.about_to_end()
    return code


class _Team:
    """The workers of a job. One that is killed has another in its place, which runs its trial again, once."""

    def __init__(self, job: Job, out: int) -> None:
        self._job, self._out = job, out
        self._context = multiprocessing.get_context("fork")
        self._taken = self._context.Value("q", 0)
        self._at = self._context.Array("q", [_NONE] * len(job.gpus), lock=False)
        self._killed_at: set[int] = set()

    def run(self) -> int:
        """Has all trials run; returns the exit code."""
        workers = {place: self._start(place, _NONE) for place in range(len(self._job.gpus))}
        code = 0
        while workers:
            multiprocessing.connection.wait([worker.sentinel for worker in workers.values()])
            for place, worker in list(workers.items()):
                if worker.exitcode is None:
                    continue
                del workers[place]
                if self._was_killed(worker.exitcode, self._at[place]):
                    workers[place] = self._start(place, self._at[place])
                elif worker.exitcode:
                    code = 1
        return code

    def _start(self, place: int, first: int) -> Any:
        worker = self._context.Process(target=self._work, args=(place, first))
        worker.start()
        return worker

    def _was_killed(self, code: int, trial: int) -> bool:
        """Whether a worker ended by a signal, and not as the second one at a trial, which may need too much memory."""
        if code >= 0:
            return False
        if trial in self._killed_at:
            print("two processes that were killed at one trial (out of memory?)", file=sys.stderr, flush=True)
            return False
        self._killed_at.add(trial)
        return True

    def _work(self, place: int, first: int) -> None:
        os.environ["CUDA_VISIBLE_DEVICES"] = self._job.gpus[place]  # TensorFlow looks when it computes first
        _work(self._job, functools.partial(self._take, place), self._out, first)

    def _take(self, place: int) -> int:
        self._at[place] = _NONE
        with self._taken.get_lock():
            self._at[place] = self._taken.value
            self._taken.value += 1
        return self._at[place]


def _work(job: Job, take: Callable[[], int], out: int, first: int = _NONE) -> None:
    """Runs trials, one at a time, until `take` gives none that there is; that at `first` before them."""
    from piecehub.transfer import engine

    engine.use_one_thread()
    try:
        bench, store = Bench(job), TrialStore(Path(job.trials_folder))
        index = take() if first == _NONE else first
        while index < len(job.trials) and not _too_late(job):
            store.write(job.trials[index], bench.run(job.trials[index]))
            _tell(out, {"trial": index})
            index = take()
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


def _tell(out: int, message: dict[str, Any]) -> None:
    """One write: lines shorter than PIPE_BUF (4096 bytes) of several processes do not mix."""
    os.write(out, (json.dumps(message)[:4000] + "\n").encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
