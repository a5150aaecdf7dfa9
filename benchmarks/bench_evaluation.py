"""How fast the evaluator is, on the digits recipe's network, against plain loops over Keras `fit`.

evaluation.frozen    the grid of the frozen piece: features once, scikit-learn, against `fit` of a head on the frozen
                     piece, trained for as long as it takes to reach the same accuracy on validation
evaluation.grid      4 modes x 4 shots x 5 seeds, cold, through the product's pool, against `fit` one by one
evaluation.scaling   the same grid by one worker and by two

    python -m benchmarks.bench_evaluation [--rounds 3] [--only frozen]
"""

import argparse
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import evaluation_peer
from benchmarks.evaluation_setting import Scale, Setting, make_setting
from benchmarks.record import RESULTS, Contender, Fact, Result, measure, write
from piecehub.transfer import findings, kinds, workers
from piecehub.transfer.evaluation import planned
from piecehub.transfer.pool import run_trials
from piecehub.transfer.protocol import MODES, Protocol
from piecehub.transfer.trials import Trial, TrialResult
from piecehub.transfer.workers import Job

_SETTINGS = (0.03, 0.3, 3.0)
_LEARNING_RATE, _HEAD_RATE = 0.003, 0.03
_GRID = ("fine_tuning", "from_scratch", "feature_extraction", "random_features")
# How much worse the naive loop may be and still count as equally good.
_TOLERANCE = 0.002
TINY = Scale(epochs=1, seeds=1, shots=(2, 5), steps=5, rounds=1, naive_steps=(5, 10))


def _main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=Scale.rounds)
    parser.add_argument("--to", type=Path, default=RESULTS, help="The folder for the results.")
    parser.add_argument("--only", choices=list(_MEASURES))
    parser.add_argument("--tiny", action="store_true", help="As small as can be, to see that it works; means nothing.")
    given = parser.parse_args(arguments)
    scale = TINY if given.tiny else Scale(rounds=given.rounds)
    with tempfile.TemporaryDirectory() as scratch:
        setting = make_setting(Path(scratch), scale)
        for name, measured in _MEASURES.items():
            if given.only in (None, name):
                write(measured(setting), given.to)


def _measure_frozen(setting: Setting) -> Result:
    protocol = setting.scale.protocol((_LEARNING_RATE,), _SETTINGS)
    ours = _accuracy(_probe_all(setting, protocol), setting, protocol)
    peer = _tuned_peer(setting, ours.validation)
    run = functools.partial(evaluation_peer.frozen_grid, setting, setting.scale.naive_rates, peer.steps, protocol.seeds)
    facts: dict[str, Fact] = {
        "fits of each": len(setting.scale.shots) * setting.scale.seeds * len(_SETTINGS),
        "steps of `fit`": f"{peer.steps}, the least of {setting.scale.naive_steps} that reach our validation accuracy, "
        f"or the most: {peer.reached}",
        "accuracy on validation, ours and the peer's": f"{ours.validation:.4f}, {peer.accuracy.validation:.4f}",
        "accuracy on test, ours and the peer's": f"{ours.test:.4f}, {peer.accuracy.test:.4f}",
        "in ours": "loading the piece, features of pool and test, all fits, predictions; in one process",
    }
    question = "the grid of a frozen piece: settings x shots x seeds"
    features_once = Contender("piecehub", lambda: _probe_all(setting, protocol))
    naive = Contender("a loop over Keras `fit`", run, takes_minutes=True)
    return measure("evaluation.frozen", question, features_once, [naive], setting.scale.rounds, facts)


def _measure_grid(setting: Setting) -> Result:
    trials = _grid(setting)
    evaluation_peer.write_job(setting, _LEARNING_RATE, _HEAD_RATE)
    command = [sys.executable, "-m", evaluation_peer.__name__, str(setting.folder)]
    cores = len(os.sched_getaffinity(0))
    ours = Contender("piecehub", lambda: _run_afresh(setting, trials, cores), takes_minutes=True)
    peer = Contender(
        "a loop over Keras `fit`",
        lambda: subprocess.run(command, check=True, capture_output=True),
        takes_minutes=True,
    )
    facts: dict[str, Fact] = {
        "trainings": len(trials),
        "workers of ours": cores,
        "in both": "the start of their processes and the import of TensorFlow",
    }
    question = f"{len(_GRID)} modes x {len(setting.scale.shots)} shots x {setting.scale.seeds} seeds, cold"
    return measure("evaluation.grid", question, ours, [peer], setting.scale.rounds, facts)


def _measure_scaling(setting: Setting) -> Result:
    trials = _grid(setting)
    ours, peer = (
        Contender(f"{n} worker{'s'[: n - 1]}", _runner(setting, trials, n), takes_minutes=True) for n in (2, 1)
    )
    question = "the same grid by two workers and by one, cold"
    return measure("evaluation.scaling", question, ours, [peer], setting.scale.rounds, {"trainings": len(trials)})


_MEASURES: dict[str, Callable[[Setting], Result]] = {
    "frozen": _measure_frozen,
    "grid": _measure_grid,
    "scaling": _measure_scaling,
}


@dataclass(frozen=True)
class _Accuracy:
    validation: float
    test: float


@dataclass(frozen=True)
class _Peer:
    """The naive loop as it is timed: its steps, and whether it is as accurate as ours."""

    steps: int
    accuracy: _Accuracy
    reached: bool


def _tuned_peer(setting: Setting, wanted: float) -> _Peer:
    """The least steps with which the naive loop is as accurate on validation as we are."""
    scale = setting.scale
    peer = None
    for steps in scale.naive_steps:
        seeds = range(1, 1 + scale.seeds)
        accuracy = _Accuracy(*evaluation_peer.frozen_grid(setting, scale.naive_rates, steps, seeds))
        peer = _Peer(steps, accuracy, accuracy.validation >= wanted - _TOLERANCE)
        if peer.reached:
            break
    assert peer
    return peer


def _probe_all(setting: Setting, protocol: Protocol) -> dict[Trial, TrialResult]:
    """Every trial of feature extraction, on a bench that is loaded for it."""
    trials = tuple(t for t in planned(setting.subject, setting.task, protocol) if t.mode == "feature_extraction")
    with tempfile.TemporaryDirectory() as folder:
        setting.task.write(Path(folder) / "task")
        places = str(setting.subject.saved_model), str(setting.subject.controls), str(Path(folder) / "task")
        bench = workers.Bench(Job(*places, folder, ("-1",), "", None, trials))
    return {trial: bench.run(trial) for trial in trials}


def _accuracy(results: Mapping[Trial, TrialResult], setting: Setting, protocol: Protocol) -> _Accuracy:
    """Mean accuracy over shots and seeds, with the setting that validation chose at each number of shots."""
    mode, task = MODES["feature_extraction"], setting.task
    chosen = [r for k in protocol.shots for r in findings.choose(mode, k, protocol, results).results]
    said = [kinds.predictions(task.kind, result.test_outputs) for result in chosen]
    test = np.mean([kinds.scores(task.kind, task.test_y, predicted).mean() for predicted in said])
    return _Accuracy(float(np.mean([result.validation_score for result in chosen])), float(test))


def _grid(setting: Setting) -> list[Trial]:
    protocol = setting.scale.protocol((_LEARNING_RATE,), (_SETTINGS[1],))
    return [trial for trial in planned(setting.subject, setting.task, protocol) if trial.mode in _GRID]


def _runner(setting: Setting, trials: Sequence[Trial], count: int) -> Callable[[], None]:
    return lambda: _run_afresh(setting, trials, count)


def _run_afresh(setting: Setting, trials: Sequence[Trial], count: int) -> None:
    """Runs all trials in fresh processes, with nothing kept from before."""
    subject = setting.subject
    places = {"saved_model": subject.saved_model, "controls": subject.controls, "task": setting.task}
    with tempfile.TemporaryDirectory() as folder:
        found = run_trials(trials, **places, trials_folder=Path(folder), workers=count)
    assert len(found) == len(trials)


if __name__ == "__main__":
    _main()
