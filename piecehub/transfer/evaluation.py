"""Evaluates a piece on a downstream task: plans the trials, has them run, and writes what was found as evidence.

A first round tries every mode, setting, number of shots and seed. The settings are chosen from it, on validation
examples alone. A second round asks how much fine-tuning with the chosen setting depends on the batch size.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from piecehub.errors import DataError
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.controls import control_folder
from piecehub.transfer import findings
from piecehub.transfer.devices import Kind, kind_of
from piecehub.transfer.evidence import FACTS, Evidence
from piecehub.transfer.findings import Chosen
from piecehub.transfer.leakage import Leakage
from piecehub.transfer.pool import UNLIMITED, Budget, Progress, cpu_count, missing_trials, run_trials
from piecehub.transfer.protocol import MODES, Protocol
from piecehub.transfer.statistics import curve_shots
from piecehub.transfer.tasks import Task, check_shots
from piecehub.transfer.trials import Trial, TrialResult, plan, with_batch_sizes

# Runs trials as `pool.run_trials` does, here or elsewhere.
Runner = Callable[..., dict[Trial, TrialResult]]


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Attributes:
        saved_model: the exported piece.
        controls: `seed-K/` for each seed of the protocol, checkpoints in the order of the piece's `variables`.
        output: which output downstream models read, where the piece returns a dict.
        parent: the handle of the piece that this one starts from, if the controls are its parent's weights.
        control_kind: `approximate` if the controls were drawn without the code that initialises the piece.
    """

    saved_model: Path
    controls: Path
    output: str = ""
    parent: str = ""
    control_kind: Literal["exact", "approximate"] = "exact"


@dataclass(frozen=True)
class Means:
    """How trials are run, which changes no number, but for one.

    Attributes:
        trials_folder: finished trials, which are not run again.
        workers: processes, by default one a processor or GPU.
        budget: what may be spent; an evaluation that needs more is incomplete.
        on_progress: called after each trial that was run.
        runner: runs them: the pool of processes here, or Beam.
        gpus: on which they run, from `devices.find_gpus`; on processors if there are none. It is the one that changes
            numbers.
    """

    trials_folder: Path
    workers: int | None = None
    budget: Budget = UNLIMITED
    on_progress: Progress | None = None
    runner: Runner = run_trials
    gpus: tuple[str, ...] = ()


def planned(subject: Subject, task: Task, protocol: Protocol, device: Kind = "cpu") -> list[Trial]:
    """The trials of the first round.

    Raises:
        DataError: if a class has too few examples, or a control is missing.
    """
    check_shots(task, protocol.shots[-1])
    digests = {seed: _control_digest(subject.controls, seed) for seed in protocol.seeds}
    piece = content_digest(list_files(subject.saved_model))
    # Of several outputs, the one that is read is a part of what a trial's numbers depend on.
    return plan(task.digest, f"{piece}#{subject.output}" if subject.output else piece, digests, protocol, device)


def sensitivity_count(task: Task, protocol: Protocol) -> int:
    """How many trials the second round has."""
    others = [size for size in protocol.sensitivity_batch_sizes if size != protocol.batch_size]
    return len(others) * len(protocol.seeds)


def evaluate(
    subject: Subject,
    task: Task,
    protocol: Protocol,
    means: Means,
    destination: Path,
    leakage: Leakage | None = None,
    overlap: Leakage | None = None,
) -> Evidence:
    """Measures a piece on a task, and writes the evidence into the folder `destination`.

    The same numbers come out whatever the means, on devices of one kind. Of an evaluation that its budget ended, the
    evidence says so and holds no numbers; finished trials are kept, and the next evaluation goes on from there.

    Raises:
        DataError: if a class has too few examples, or a control is missing.
    """
    device = kind_of(means.gpus)
    trials = planned(subject, task, protocol, device)
    purse = _Purse(subject, task, means)
    results = purse.run(trials)
    done = len(results)
    chosen: dict[tuple[str, int], Chosen] = {}
    others: list[Trial] = []
    if done == len(trials):
        chosen = {(m.name, k): findings.choose(m, k, protocol, results) for m in MODES.values() for k in protocol.shots}
        others = _with_other_batch_sizes(chosen, task, protocol)
        results |= (more := purse.run(others))
        done += len(more)
    wanted = len(trials) + (len(others) if chosen else sensitivity_count(task, protocol))
    because = "" if done == wanted else f"the budget was spent after {done} of {wanted} trials"
    piece = content_digest(list_files(subject.saved_model))
    about = findings.About(
        task, piece, protocol, subject.parent, subject.control_kind, leakage, because, overlap, device
    )
    destination.mkdir(parents=True, exist_ok=True)
    evidence = findings.write(about, {} if because else chosen, results, destination)
    beside = destination / f".{FACTS}"
    try:
        beside.write_text(evidence.to_json(), encoding="utf-8")
        beside.replace(destination / FACTS)
    finally:
        beside.unlink(missing_ok=True)
    return evidence


class _Purse:
    """Runs trials until the budget is spent."""

    def __init__(self, subject: Subject, task: Task, means: Means) -> None:
        self._subject, self._task, self._means = subject, task, means
        self._started, self._ran = time.monotonic(), 0

    def run(self, trials: Sequence[Trial]) -> dict[Trial, TrialResult]:
        """The results that there are once the trials were run, or the budget was spent."""
        means, missing = self._means, missing_trials(trials, self._means.trials_folder)
        results = means.runner(
            trials,
            saved_model=self._subject.saved_model,
            controls=self._subject.controls,
            task=self._task,
            output=self._subject.output,
            trials_folder=means.trials_folder,
            workers=means.workers or max(cpu_count(), len(means.gpus)),
            gpus=means.gpus,
            on_progress=means.on_progress,
            budget=self._left(),
        )
        self._ran += sum(trial in results for trial in missing)
        return results

    def _left(self) -> Budget:
        whole = self._means.budget
        seconds = None if whole.seconds is None else whole.seconds - (time.monotonic() - self._started)
        return Budget(seconds, None if whole.trials is None else whole.trials - self._ran)


def _with_other_batch_sizes(chosen: Mapping[tuple[str, int], Chosen], task: Task, protocol: Protocol) -> list[Trial]:
    largest = curve_shots(protocol.shots, task.kind)[-1]
    return with_batch_sizes(chosen["fine_tuning", largest].trials, protocol.sensitivity_batch_sizes)


def _control_digest(controls: Path, seed: int) -> str:
    folder = control_folder(controls, seed)
    if not folder.is_dir():
        raise DataError(
            f"Expected a control for seed {seed}, the piece's weights re-initialised. Received: no '{folder}'; extract "
            "the piece with one control for each seed of the evaluation."
        )
    return content_digest(list_files(folder))
