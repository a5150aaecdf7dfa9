"""Evidence: what was measured on one downstream task. A verdict is made from it by `gate`, cheaply and again and again.

    evidence.json         schema 1: task, parent, protocol, cells, contrasts, cost (drawn in `Evidence.to_json`)
    predictions.parquet   one row for each mode, shots, seed and test example, of the chosen settings only:
                          task, mode, shots, seed, example_id, label, predicted_label, probabilities
    accuracy.svg, .png    accuracy by number of examples for each mode
    preview.json          the same numbers, for pages

Equal inputs give equal bytes, so no time of day and no duration is in it. Reading it needs no TensorFlow.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from piecehub.content import content_digest, list_files
from piecehub.errors import DataError
from piecehub.transfer import predictions, statistics
from piecehub.transfer.pool import Progress, cpu_count, run_trials
from piecehub.transfer.protocol import MAJORITY, MODES, Mode, Protocol
from piecehub.transfer.tasks import Task, check_shots
from piecehub.transfer.trials import Trial, TrialResult, choose, plan
from piecehub.transfer.workers import control_folder

FACTS = "evidence.json"
PREDICTIONS = "predictions.parquet"
CURVE = "curve"
# (candidate, reference): what pages show and the gate asks for.
CONTRASTS = (
    ("fine_tuning", "from_scratch"),
    ("fine_tuning", "feature_extraction"),
    ("feature_extraction", "random_features"),
)
_DIGITS = 6


@dataclass(frozen=True)
class Cell:
    """The accuracy of one mode at one number of shots, a share of 1, with its 95 % interval.

    Attributes:
        setting: the chosen hyperparameter, such as `{"learning_rate": 0.001}`.
        per_seed: in the order of the protocol's seeds.
        diverged: how many of the seeds' trainings ended without finite numbers.
    """

    mode: str
    shots: int
    setting: dict[str, float]
    mean: float
    low: float
    high: float
    per_seed: tuple[float, ...]
    diverged: int


@dataclass(frozen=True)
class Contrast:
    """The paired difference of two modes' accuracies, with its 95 % interval over seeds and examples."""

    candidate: str
    reference: str
    shots: int | Literal["curve"]
    estimate: float
    low: float
    high: float
    p_superior: float
    seeds: int
    examples: int


@dataclass(frozen=True)
class Evidence:
    """What was measured on one task.

    Attributes:
        parent: the handle of the piece that this one starts from, whose weights the controls then have (see
            `piecehub/reference.py`); empty where the controls are re-initialised.
        folder: where it lies.
    """

    task: str
    task_digest: str
    piece_digest: str
    metric: str
    classes: tuple[str, ...]
    protocol: Protocol
    cells: tuple[Cell, ...]
    contrasts: tuple[Contrast, ...]
    trials: int
    packages: dict[str, str]
    folder: Path
    parent: str = ""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads `evidence.json`; the predictions are read when they are asked for.

        Raises:
            DataError: if there is none, or it is of another schema.
        """
        try:
            value = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError) as error:
            raise DataError(f"Expected '{FACTS}' in '{folder}'. Received: {error}; evaluate again.") from error
        if value.get("schema") != 1:
            raise DataError(f"Expected evidence of schema 1 in '{folder}'. Received: {value.get('schema')}.")
        return cls(
            task=value["task"],
            task_digest=value["task_digest"],
            piece_digest=value["piece_digest"],
            metric=value["metric"],
            classes=tuple(value["classes"]),
            protocol=Protocol.from_json(json.dumps(value["protocol"])),
            cells=tuple(Cell(**{**c, "per_seed": tuple(c["per_seed"])}) for c in value["cells"]),
            contrasts=tuple(Contrast(**c) for c in value["contrasts"]),
            trials=value["cost"]["trials"],
            packages=value["packages"],
            folder=folder,
            parent=value.get("parent", ""),
        )

    def to_json(self) -> str:
        """The text of `evidence.json`."""
        value = {
            name: getattr(self, name)
            for name in ("task", "task_digest", "piece_digest", "metric", "packages", "parent")
        }
        value |= {
            "schema": 1,
            "classes": list(self.classes),
            "protocol": asdict(self.protocol),
            "cells": [asdict(cell) for cell in self.cells],
            "contrasts": [asdict(contrast) for contrast in self.contrasts],
            "cost": {"trials": self.trials},
        }
        return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @cached_property
    def correct(self) -> dict[str, NDArray[np.int8]]:
        """By mode, 1 where the prediction is right: `[shots, seeds, examples]`.

        Raises:
            DataError: if a row is missing, so the modes cannot be compared.
        """
        return predictions.read_correct(self.folder / PREDICTIONS, self.protocol)

    def curve(self, mode: str) -> NDArray[np.float64]:
        """The share of right answers of a mode over the shot counts up to 25, `[seeds, examples]`."""
        return statistics.curve_average(self.correct[mode], self.protocol.shots)

    def contrast(self, candidate: str, reference: str, shots: int | Literal["curve"] = CURVE) -> Contrast:
        """The contrast of two modes, over the curve unless a number of shots is named."""
        for found in self.contrasts:
            if (found.candidate, found.reference, found.shots) == (candidate, reference, shots):
                return found
        raise DataError(f"Expected a contrast of '{candidate}' and '{reference}' at '{shots}'. Received: none.")


def evaluate(
    saved_model: Path,
    controls: Path,
    task: Task,
    protocol: Protocol,
    trials_folder: Path,
    destination: Path,
    workers: int | None = None,
    on_progress: Progress | None = None,
    *,
    output: str = "",
    parent: str = "",
) -> Evidence:
    """Measures a piece on a task, and writes the evidence into `destination`.

    Args:
        saved_model: the exported piece.
        controls: `seed-K/` for each seed of the protocol, checkpoints in the order of the piece's `variables`.
        task: the downstream task.
        protocol: which trials are made.
        trials_folder: finished trials, which are not run again.
        destination: a folder; it is made if it is missing.
        workers: processes that run trials, by default one a processor; the evidence does not depend on it.
        on_progress: called after each trial that was run.
        output: which output downstream models read, where the piece returns a dict.
        parent: the handle of the piece that this one starts from, if the controls are its parent's weights.

    Raises:
        DataError: if a class has too few examples, or a control is missing.
    """
    check_shots(task, protocol.shots[-1])
    digests = {seed: _control_digest(controls, seed) for seed in protocol.seeds}
    piece_digest = content_digest(list_files(saved_model))
    # Of several outputs, the one that is read is a part of what a trial's numbers depend on.
    trials = plan(task.digest, f"{piece_digest}#{output}" if output else piece_digest, digests, protocol)
    results = run_trials(
        trials,
        saved_model=saved_model,
        controls=controls,
        task=task,
        output=output,
        trials_folder=trials_folder,
        workers=workers or cpu_count(),
        on_progress=on_progress,
    )
    return _write(task, piece_digest, protocol, results, destination, parent)


def _control_digest(controls: Path, seed: int) -> str:
    folder = control_folder(controls, seed)
    if not folder.is_dir():
        raise DataError(
            f"Expected a control for seed {seed}, the piece's weights re-initialised. Received: no '{folder}'; extract "
            "the piece with one control for each seed of the evaluation."
        )
    return content_digest(list_files(folder))


@dataclass(frozen=True)
class _Chosen:
    """The trials of the chosen setting of a mode at a number of shots, in the order of the seeds."""

    setting: dict[str, float]
    results: tuple[TrialResult, ...]


def _write(
    task: Task,
    piece_digest: str,
    protocol: Protocol,
    results: Mapping[Trial, TrialResult],
    destination: Path,
    parent: str,
) -> Evidence:
    from piecehub.transfer import plot

    chosen = {(m.name, k): _choose(m, k, protocol, results) for m in MODES.values() for k in protocol.shots}
    probabilities = {key: predictions.softmax([r.test_logits for r in c.results]) for key, c in chosen.items()}
    probabilities |= {(MAJORITY, k): _majority(task, len(protocol.seeds)) for k in protocol.shots}
    destination.mkdir(parents=True, exist_ok=True)
    predictions.write(destination / PREDICTIONS, task, protocol, probabilities)
    correct = predictions.read_correct(destination / PREDICTIONS, protocol)
    cells = tuple(
        _cell(mode, shots, chosen.get((mode, shots)), values[i])
        for mode, values in correct.items()
        for i, shots in enumerate(protocol.shots)
    )
    contrasts = tuple(c for pair in CONTRASTS for c in _contrasts(*pair, protocol, correct))
    evidence = Evidence(
        task=task.name,
        task_digest=task.digest,
        piece_digest=piece_digest,
        metric=task.metric,
        classes=task.classes,
        protocol=protocol,
        cells=cells,
        contrasts=contrasts,
        trials=len(results),
        packages=dict(next(iter(results)).packages),
        folder=destination,
        parent=parent,
    )
    (destination / FACTS).write_text(evidence.to_json(), encoding="utf-8")
    plot.write(evidence.task, len(task.test_y), cells, destination, parent)
    return evidence


def _choose(mode: Mode, shots: int, protocol: Protocol, results: Mapping[Trial, TrialResult]) -> _Chosen:
    """The setting of a mode at a number of shots that is best on validation, over all seeds."""
    settings = protocol.settings(mode)
    by_key = {(t.setting, t.seed): r for t, r in results.items() if t.mode == mode.name and t.shots == shots}
    rows = [[by_key[setting, seed] for seed in protocol.seeds] for setting in settings]
    best = choose(settings, [[r.validation_accuracy for r in row] for row in rows])
    return _Chosen({mode.setting_name: best}, tuple(rows[settings.index(best)]))


def _majority(task: Task, seeds: int) -> NDArray[np.float32]:
    """The pool's class frequencies for every seed and test example, `[seeds, examples, classes]`."""
    frequencies = np.bincount(task.pool_y, minlength=task.num_classes) / len(task.pool_y)
    return np.broadcast_to(frequencies, (seeds, len(task.test_y), task.num_classes)).astype(np.float32)


def _cell(mode: str, shots: int, chosen: _Chosen | None, correct: NDArray[np.int8]) -> Cell:
    interval = statistics.two_way_bootstrap(correct)
    return Cell(
        mode=mode,
        shots=shots,
        setting=chosen.setting if chosen else {},
        mean=_rounded(interval.estimate),
        low=_rounded(interval.low),
        high=_rounded(interval.high),
        per_seed=tuple(_rounded(mean) for mean in correct.mean(axis=1)),
        diverged=sum(result.diverged for result in chosen.results) if chosen else 0,
    )


def _contrasts(
    candidate: str, reference: str, protocol: Protocol, correct: Mapping[str, NDArray[np.int8]]
) -> list[Contrast]:
    """The contrast at each number of shots, and over the curve."""
    differences = correct[candidate].astype(np.float64) - correct[reference]
    tables: list[tuple[int | Literal["curve"], NDArray[np.float64]]] = [
        *zip(protocol.shots, differences, strict=True),
        (CURVE, statistics.curve_average(differences, protocol.shots)),
    ]
    return [_contrast(candidate, reference, shots, table) for shots, table in tables]


def _contrast(candidate: str, reference: str, shots: int | Literal["curve"], table: NDArray[np.float64]) -> Contrast:
    interval = asdict(statistics.two_way_bootstrap(table))
    rounded = {name: _rounded(value) for name, value in interval.items()}
    return Contrast(candidate, reference, shots, **rounded, seeds=table.shape[0], examples=table.shape[1])


def _rounded(value: float) -> float:
    """Without the last digits, in which two machines' sums may differ."""
    return round(float(value), _DIGITS)
