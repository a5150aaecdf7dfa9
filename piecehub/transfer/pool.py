"""Runs trials in single-threaded processes of their own, and waits for them.

One fresh interpreter is started, which imports TensorFlow and forks the workers: a forkserver. Python's own
(`multiprocessing` with `forkserver` or `spawn`) imports the caller's `__main__` again in every child, by path. For a
TFX run that is the user's script: without an `if __name__ == "__main__"` it would start the pipeline again. Here the
fresh interpreter's main module is ours (`workers`), whatever the caller is. As the caller may run many threads and
TensorFlow itself, nothing is forked from it.

Threads are no substitute: trials in threads take longer than one after another. A pool of four took 6.7 s where Beam's
multi-processing mode took 30 s.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piecehub import errors
from piecehub.facts.heap import give_back
from piecehub.facts.kept import keeper
from piecehub.facts.progress import Meter
from piecehub.facts.reference import mode_words
from piecehub.logs import last_words
from piecehub.transfer import workers as worker_module
from piecehub.transfer.devices import seen_by_processes
from piecehub.transfer.spill import rows_folder
from piecehub.transfer.tasks import Task
from piecehub.transfer.trials import Trial, TrialResult, TrialStore
from piecehub.transfer.workers import Job

# Called with the number of finished trials, of all trials, and the trial that has just finished.
Progress = Callable[[int, int, Trial], None]

# A bucket takes longer to answer than some trials take.
_KEPT_AT_ONCE = 8
# One thread makes sums bit-identical, and N processes of one thread are faster than one of N. oneDNN changes numbers,
# so it is stated rather than left to the shell. Which GPU a worker sees it says itself, once it is forked.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


@dataclass(frozen=True)
class Budget:
    """What an evaluation may cost; None is no limit.

    Attributes:
        seconds: of wall time; no trial is started later, and those that run come to their end.
        trials: that are run anew; finished ones cost nothing.
    """

    seconds: float | None = None
    trials: int | None = None

    def of(self, missing: Sequence[Trial]) -> list[Trial]:
        """Those of the missing trials that may be run."""
        if self.seconds is not None and self.seconds <= 0:
            return []
        return list(missing[: self.trials])


UNLIMITED = Budget()


def cpu_count() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


def run_trials(
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
) -> dict[Trial, TrialResult]:
    """The results of all trials, or of those that the budget allowed; only those that `trials_folder` lacks are run.

    The same numbers come out whatever the number of workers.

    Args:
        trials: from `trials.plan`.
        saved_model: the exported piece.
        controls: holds `seed-K/` for each seed.
        task: what the trials are about.
        trials_folder: where finished trials are kept.
        workers: processes to start, at most; none is started if nothing is missing.
        output: which output downstream models read, where the piece returns a dict.
        on_progress: called after each trial that was run, in the calling thread.
        budget: what may be run now; the next call goes on from there.
        gpus: which a process each has for itself, from `devices.find_gpus`, where the trials are planned for GPUs.

    Raises:
        PiecehubError: what a trial raised; those that had finished are kept.
    """
    store = TrialStore(trials_folder)
    missing = budget.of(missing_trials(trials, trials_folder))
    if missing:
        with rows_folder(trials_folder) as folder:
            task.write(folder / "task")
            seen = seen_by_processes(gpus, max(1, min(workers, len(missing))))
            job = Job(
                saved_model=str(saved_model.absolute()),
                controls=str(controls.absolute()),
                task=str(folder / "task"),
                trials_folder=str(trials_folder.resolve()),
                gpus=seen,
                output=output,
                deadline=time.monotonic() + budget.seconds if budget.seconds else None,
                trials=tuple(missing),
            )
            job.write(folder / "job.json")
            give_back()  # what leakage left of upstream would lie beside all workers
            _run_job(job, folder, len(trials), on_progress)
    return {trial: result for trial in trials if (result := store.read(trial)) is not None}


def missing_trials(trials: Sequence[Trial], trials_folder: Path) -> list[Trial]:
    """Those of the trials that are not finished yet, here or where somebody keeps them."""
    store = TrialStore(trials_folder)
    keeper().bring([store.path(trial) for trial in trials])
    return [trial for trial in trials if store.read(trial) is None]


def _run_job(job: Job, folder: Path, total: int, on_progress: Progress | None) -> None:
    done, meter = total - len(job.trials), Meter("trial", total)
    store = TrialStore(Path(job.trials_folder))
    reader, writer = os.pipe()
    with (
        (folder / "stderr").open("wb") as stderr,
        os.fdopen(reader, "r", encoding="utf-8") as lines,
        _keeping() as keep,
    ):
        command = [sys.executable, "-P", "-m", worker_module.__name__, str(folder / "job.json"), str(writer)]
        process = subprocess.Popen(
            command,
            pass_fds=[writer],
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            env=_environment(),
            start_new_session=True,
        )
        os.close(writer)
        code = 0
        failure: dict[str, Any] = {}
        try:
            for line in lines:
                message = json.loads(line)
                if "error" in message:
                    failure = message
                    break
                done, trial = done + 1, job.trials[message["trial"]]
                keep(store.path(trial))
                meter.at(done, f"{mode_words(trial.mode)}, {trial.shots} examples")
                if on_progress:
                    on_progress(done, total, trial)
            else:
                code = process.wait()
        finally:
            if process.returncode is None:
                _end(process)
    if failure:
        raise getattr(errors, failure["error"])(failure["sentence"])
    if code:
        raise errors.TrainingError(
            f"Expected every trial to finish. Received: {_why(folder / 'stderr')}; finished trials are kept, "
            "so the next evaluation goes on from there."
        )


@contextlib.contextmanager
def _keeping() -> Generator[Callable[[Path], None]]:
    """Has finished trials kept while others run; raises what went wrong with one at the next, or at the end."""
    keeps, sent = keeper(), deque[Future[None]]()

    def keep(trial: Path) -> None:
        sent.append(threads.submit(keeps.keep, trial))
        while sent and sent[0].done():
            sent.popleft().result()

    with ThreadPoolExecutor(_KEPT_AT_ONCE) as threads:
        yield keep
    for one in sent:
        one.result()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the fresh interpreter and its workers: after a failure, or when a person stops it all.

    They would only notice at the end of a trial, or once TensorFlow was imported. What they had finished lies in files
    that are whole.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment() -> dict[str, str]:
    """The environment of the fresh interpreter: it finds this package where it was found here."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **_ENVIRONMENT, "PYTHONPATH": path}


def _why(path: Path) -> str:
    return (
        last_words(path.read_text(encoding="utf-8", errors="replace"), 1)
        or "a process that was killed (out of memory?)"
    )
