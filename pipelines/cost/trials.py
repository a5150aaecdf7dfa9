"""A few trials of a task by the run's own workers, timed one by one, and the evidence of as many as a run has."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from piecehub.facts.controls import control_folder
from piecehub.transfer import evaluation
from piecehub.transfer.evaluation import Means, Subject
from piecehub.transfer.evidence import PREDICTIONS
from piecehub.transfer.metrics import write_metrics
from piecehub.transfer.pool import run_trials
from piecehub.transfer.protocol import MODES, Protocol
from piecehub.transfer.tasks import Task
from piecehub.transfer.trials import Trial, TrialResult, TrialStore
from pipelines.cost.arithmetic import ProbeTimes, TrialTimes
from pipelines.cost.processes import processor_s
from pipelines.cost.stopwatch import Stopwatch

_FEW, _MORE = 4, 32  # steps of the trainings that are compared
_NOISE = 0.01  # of made-up outputs
_PROBES = tuple(name for name, mode in MODES.items() if mode.training == "probe")


@dataclass(frozen=True)
class Tried:
    """What a few trials told, and their results, of which those of all are made."""

    times: TrialTimes
    count: int
    results: dict[Trial, TrialResult]


def rehearse(subject: Subject, task: Task, protocol: Protocol, stopwatch: Stopwatch, folder: Path) -> Tried:
    """Runs a few short trials, in one worker and in a known order.

    Of two alike, the first waits for what is done once. Two of another number of steps tell what a step takes.
    """
    planned = evaluation.planned(subject, task, protocol)
    fine, with_head = (_first(planned, mode, protocol.shots[-1]) for mode in ("fine_tuning", "lp_ft"))
    tunings = [_other(fine, number, steps) for number, steps in enumerate((_FEW, _FEW, _MORE, _MORE))]
    tunings.append(_other(with_head, 0, _FEW))
    probes = [trial for mode in _PROBES for trial in _three(planned, mode, protocol)]
    clock = _Clock()
    with stopwatch.during("trials"):
        results = run_trials(
            [*tunings, *probes],
            saved_model=subject.saved_model,
            controls=subject.controls,
            task=task,
            trials_folder=folder,
            workers=1,
            output=subject.output,
            on_progress=clock.note,
        )
    return Tried(_times(clock, stopwatch.last.children_s), len(results), results)


def _first(planned: Sequence[Trial], mode: str, shots: int) -> Trial:
    return next(trial for trial in planned if trial.mode == mode and trial.shots == shots)


def _other(trial: Trial, number: int, steps: int) -> Trial:
    """The trial with so many steps, and a setting next to its own, so that no two are one."""
    return replace(trial, setting=trial.setting * (1 + number / 1000), steps=steps)


def _three(planned: Sequence[Trial], mode: str, protocol: Protocol) -> list[Trial]:
    """Two with the most examples, and one with the fewest."""
    shots = (protocol.shots[-1], protocol.shots[-1], protocol.shots[0])
    return [_other(_first(planned, mode, count), number, 0) for number, count in enumerate(shots)]


class _Clock:
    """What the worker had taken of the processor at the end of each trial, and all of its job's processes."""

    def __init__(self) -> None:
        self._own = psutil.Process(os.getpid())
        self.moments: list[float] = []

    def note(self, done: int, total: int, trial: Trial) -> None:
        """A trial has ended."""
        del done, total, trial
        workers = [child for first in self._own.children() for child in first.children()]
        self.moments.append(sum(map(processor_s, workers)))


def _times(clock: _Clock, job_s: float) -> TrialTimes:
    """What each of the trials of `rehearse` took, in their order."""
    first, *ends = clock.moments
    each = [end - before for before, end in zip([first, *ends], ends, strict=False)]
    few, traced, more, head, *probes = each
    step_s = max(0.0, more - few) / (_MORE - _FEW)
    fits = [probes[place : place + 3] for place in range(0, len(probes), 3)]
    return TrialTimes(
        start_s=max(0.0, job_s - clock.moments[-1]),
        worker_s=max(0.0, first - few),
        trace_s=max(0.0, traced - more),
        tuning_s=max(0.0, few - _FEW * step_s),
        step_s=step_s,
        head_s=max(0.0, head - few),
        probes={
            mode: ProbeTimes(max(0.0, cold - most), least, most)
            for mode, (cold, most, least) in zip(_PROBES, fits, strict=True)
        },
    )


def write_evidence(
    subject: Subject, task: Task, protocol: Protocol, tried: Tried, trials: Path, folder: Path
) -> evaluation.Evidence:
    """The evidence of as many trials as a run has, whose results are those of the few, nearly."""
    means = Means(trials, runner=_Actor(protocol, tried.results).run)
    found = evaluation.evaluate(subject, task, protocol, means, folder / "evidence")
    write_metrics(folder / "evidence" / PREDICTIONS, folder / "evaluation", found.kind, task.slices)
    return found


@dataclass(frozen=True)
class _Actor:
    """Stands in for the pool of workers: it writes results without training anything."""

    protocol: Protocol
    results: dict[Trial, TrialResult]

    def run(self, trials: Sequence[Trial], *, trials_folder: Path, **others: Any) -> dict[Trial, TrialResult]:
        """A result for each trial."""
        del others
        store, found = TrialStore(trials_folder), {trial: self._made(trial) for trial in trials}
        for trial, result in found.items():
            store.write(trial, result)
        return found

    def _made(self, trial: Trial) -> TrialResult:
        """That of a trial of the same mode with noise, since equal numbers would take less room in a file."""
        mode = trial.mode if trial.mode in {known.mode for known in self.results} else "fine_tuning"
        like = next(result for known, result in self.results.items() if known.mode == mode)
        noise = np.random.default_rng(int(trial.id[:16], 16)).normal(0, _NOISE, like.test_outputs.shape)
        losses = np.resize(like.losses, trial.steps) if trial.steps else like.losses
        return replace(like, test_outputs=like.test_outputs + noise.astype(np.float32), losses=losses)


def link_controls(controls: Path, seeds: Sequence[int]) -> None:
    """Every seed gets the control of the first, so that a rehearsal need not draw them all."""
    first = control_folder(controls, seeds[0])
    for seed in seeds[1:]:
        if not (place := control_folder(controls, seed)).exists():
            place.symlink_to(first.resolve(), target_is_directory=True)
