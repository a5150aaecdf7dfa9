"""Runs the product's trials in this process, where one loaded network serves all pieces and tasks.

Everything that gives a number is the product's: its engine, its bench, its store of trials. Trials with a control's
weights do not depend on the piece, so they are kept once for all pieces.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import gate_pieces
from benchmarks.gate_pieces import SwappingEngine
from benchmarks.gate_plan import Network
from piecehub.facts.controls import control_folder
from piecehub.transfer import kinds, workers
from piecehub.transfer.packing import Some
from piecehub.transfer.protocol import MODES, Protocol
from piecehub.transfer.tasks import Task
from piecehub.transfer.trials import Trial, TrialResult, TrialStore, choose_setting, trial

Floats = NDArray[np.float64]


class SharedBench(workers.Bench):
    """The product's bench, on an engine that was loaded before."""

    def __init__(self, engine: SwappingEngine, task: Task, saved_model: Path, controls: Path) -> None:
        self._task, self._controls, self._engine, self._features = task, controls, engine, {}
        self._swapping, self._saved_model = engine, saved_model

    def _made_or_found(self, trial: Trial) -> tuple[Some, Some]:
        self._set_weights(trial)
        return self._engine.features(self._task.pool_x), self._engine.features(self._task.test_x)

    def _set_weights(self, trial: Trial) -> None:
        if trial.control:
            folder = control_folder(self._controls, trial.seed)
            self._swapping.set_weights(gate_pieces.control_weights(folder))
        else:
            self._swapping.set_weights(gate_pieces.piece_weights(self._saved_model))


class Here:
    """Runs trials as `pool.run_trials` does, one after the other in this process."""

    def __init__(self, engine: SwappingEngine, network: Network) -> None:
        self._engine = engine
        self._network: Network = network

    def __call__(
        self,
        trials: Sequence[Trial],
        *,
        saved_model: Path,
        controls: Path,
        task: Task,
        trials_folder: Path,
        **_others: Any,
    ) -> dict[Trial, TrialResult]:
        """The results of all trials; only those that `trials_folder` lacks are run."""
        bench, store = SharedBench(self._engine, task, saved_model, controls), TrialStore(trials_folder)
        return {one: _found(one, bench, store, self._network) for one in trials}


def true_scores(bench: SharedBench, task: Task, protocol: Protocol, mode: str) -> Floats:
    """Mean accuracy over the shots for each seed, with the setting that validation chose at each number of shots."""
    found: list[Floats] = []
    for shots in protocol.shots:
        tries = np.array(
            [
                [_try(bench, task, protocol, mode, shots, seed, rate) for seed in protocol.seeds]
                for rate in protocol.learning_rates
            ]
        )
        best = choose_setting(protocol.learning_rates, tries[:, :, 0].tolist())
        found.append(tries[protocol.learning_rates.index(best), :, 1])
    return np.mean(found, axis=0)


def _found(one: Trial, bench: SharedBench, store: TrialStore, network: Network) -> TrialResult:
    kept = replace(one, piece=gate_pieces.architecture(network)) if one.control else one
    result = store.read(kept)
    if result is None:
        result = bench.run(one)
        store.write(kept, result)
    return result


def _try(
    bench: SharedBench, task: Task, protocol: Protocol, mode: str, shots: int, seed: int, rate: float
) -> tuple[float, float]:
    """The accuracy on validation and on test of one trial, of which nothing else is kept."""
    result = bench.run(trial(task.digest, "piece", {seed: "control"}, protocol, MODES[mode], shots, seed, rate))
    predicted = kinds.predictions(task.kind, result.test_outputs)
    return result.validation_score, float(kinds.scores(task.kind, task.test_y, predicted).mean())
