"""What finished trials say: the chosen settings, and cells, contrasts, sensitivity and learning curves made of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from piecehub.transfer import guidance, kinds, predictions, slices, statistics
from piecehub.transfer.devices import Kind
from piecehub.transfer.evidence import (
    CONTRASTS,
    CURVE,
    PREDICTIONS,
    Cell,
    Contrast,
    Evidence,
    LearningCurve,
    Sensitivity,
)
from piecehub.transfer.leakage import Leakage
from piecehub.transfer.protocol import MAJORITY, TUNED, Mode, Protocol
from piecehub.transfer.tasks import Task
from piecehub.transfer.trials import Trial, TrialResult, choose_setting

Scores = Mapping[str, NDArray[np.float64]]
Chosens = Mapping[tuple[str, int], "Chosen"]

_DIGITS = 6
_LARGEST_POINTS = 40


@dataclass(frozen=True)
class Chosen:
    """The trials of a mode's chosen setting at a number of shots, with their results, in the order of the seeds."""

    setting: dict[str, float]
    trials: tuple[Trial, ...]
    results: tuple[TrialResult, ...]


@dataclass(frozen=True)
class About:
    """What the evidence is about; see the fields of `Evidence`."""

    task: Task
    piece_digest: str
    protocol: Protocol
    parent: str
    controls: Literal["exact", "approximate"]
    leakage: Leakage | None
    incomplete_because: str
    overlap: Leakage | None = None
    device: Kind = "cpu"


def choose(mode: Mode, shots: int, protocol: Protocol, results: Mapping[Trial, TrialResult]) -> Chosen:
    """The setting of a mode at a number of shots that is best on validation, over all seeds."""
    settings = protocol.settings(mode)
    by_key = {(t.setting, t.seed): t for t in results if t.mode == mode.name and t.shots == shots}
    rows = [[by_key[setting, seed] for seed in protocol.seeds] for setting in settings]
    best = choose_setting(settings, [[results[trial].validation_score for trial in row] for row in rows])
    trials = tuple(rows[settings.index(best)])
    return Chosen({mode.setting_name: best}, trials, tuple(results[trial] for trial in trials))


def write(about: About, chosen: Chosens, results: Mapping[Trial, TrialResult], destination: Path) -> Evidence:
    """Writes the predictions and the plot into `destination`, and makes the evidence of them.

    Args:
        about: what it is about; if it is incomplete, nothing is computed and there are no predictions.
        chosen: by mode and shots.
        results: of all trials, those with other batch sizes too.
        destination: a folder that exists.
    """
    from piecehub.transfer import plot  # matplotlib takes its time, and only here is it needed

    task, protocol = about.task, about.protocol
    scores: Scores = {}
    if not about.incomplete_because:
        predictions.write(destination / PREDICTIONS, task, protocol, _outputs(task, protocol, chosen))
        scores = predictions.read_scores(destination / PREDICTIONS, protocol, task.kind)
    cells = tuple(
        _cell(mode, shots, chosen.get((mode, shots)), values[i])
        for mode, values in scores.items()
        for i, shots in enumerate(protocol.shots)
    )
    evidence = Evidence(
        task=task.name,
        kind=task.kind,
        metric=task.metric,
        task_digest=task.digest,
        piece_digest=about.piece_digest,
        classes=task.classes,
        protocol=protocol,
        cells=cells,
        contrasts=tuple(c for pair in CONTRASTS if scores for c in _contrasts(*pair, about, scores)),
        sensitivity=_sensitivity(about, chosen, results) if scores else (),
        learning=tuple(c for mode in TUNED if scores for c in _learning(mode, about, chosen)),
        trials=len(results),
        packages=dict(next(iter(results)).packages) if results else {},
        folder=destination,
        parent=about.parent,
        leakage=about.leakage,
        overlap=about.overlap,
        device=about.device,
        controls=about.controls,
        incomplete_because=about.incomplete_because,
        slices=slices.measured(task.slices, scores, protocol, task.kind) if scores else (),
    )
    if evidence.complete:
        advice = guidance.guide(evidence)
        guidance.write(advice, destination)
        plot.write(evidence, advice, len(task.test_y), destination)
    return evidence


def _outputs(task: Task, protocol: Protocol, chosen: Chosens) -> dict[tuple[str, int], list[NDArray[np.float32]]]:
    """What the chosen models and the floor say of the test part, for each seed `[examples, width]`."""
    floor = kinds.floor_outputs(task.kind, task.pool_y, task.outputs, len(task.test_y))
    outputs = {key: [result.test_outputs for result in found.results] for key, found in chosen.items()}
    return outputs | {(MAJORITY, shots): [floor] * len(protocol.seeds) for shots in protocol.shots}


def _cell(mode: str, shots: int, chosen: Chosen | None, scores: NDArray[np.float64]) -> Cell:
    interval = statistics.two_way_bootstrap(scores)
    return Cell(
        mode=mode,
        shots=shots,
        setting=chosen.setting if chosen else {},
        mean=_rounded(interval.estimate),
        low=_rounded(interval.low),
        high=_rounded(interval.high),
        per_seed=tuple(_rounded(mean) for mean in scores.mean(axis=1)),
        diverged=sum(result.diverged for result in chosen.results) if chosen else 0,
    )


def _contrasts(candidate: str, reference: str, about: About, scores: Scores) -> list[Contrast]:
    """The contrast at each number of shots, and over the curve."""
    differences, shots = scores[candidate] - scores[reference], about.protocol.shots
    tables: list[tuple[int | Literal["curve"], NDArray[np.float64]]] = [
        *zip(shots, differences, strict=True),
        (CURVE, statistics.curve_average(differences, shots, about.task.kind)),
    ]
    return [_contrast(candidate, reference, count, table) for count, table in tables]


def _contrast(candidate: str, reference: str, shots: int | Literal["curve"], table: NDArray[np.float64]) -> Contrast:
    interval = asdict(statistics.two_way_bootstrap(table))
    rounded = {name: _rounded(value) for name, value in interval.items()}
    return Contrast(candidate, reference, shots, **rounded, seeds=table.shape[0], examples=table.shape[1])


def _sensitivity(about: About, chosen: Chosens, results: Mapping[Trial, TrialResult]) -> tuple[Sensitivity, ...]:
    """Fine-tuning's chosen setting at each batch size, the protocol's own among them."""
    task, protocol = about.task, about.protocol
    shots = statistics.curve_shots(protocol.shots, task.kind)[-1]
    own = chosen["fine_tuning", shots]
    base = _scored(task, own.results)
    found: list[Sensitivity] = []
    for size in protocol.sensitivity_batch_sizes:
        others = [t for t in results if t.mode == "fine_tuning" and t.shots == shots and t.batch_size == size]
        wanted = own.setting["learning_rate"]
        by_seed = {t.seed: results[t] for t in others if t.setting == wanted}
        scores = _scored(task, [by_seed[seed] for seed in protocol.seeds])
        level, change = statistics.two_way_bootstrap(scores), statistics.two_way_bootstrap(scores - base)
        numbers = (level.estimate, level.low, level.high, change.estimate, change.low, change.high)
        found.append(Sensitivity(size, own.setting, shots, *map(_rounded, numbers)))
    return tuple(found)


def _scored(task: Task, results: "list[TrialResult] | tuple[TrialResult, ...]") -> NDArray[np.float64]:
    """How right each prediction is, `[seeds, examples]`."""
    said = [kinds.predictions(task.kind, result.test_outputs) for result in results]
    return np.stack([kinds.scores(task.kind, task.test_y, predicted) for predicted in said])


def _learning(mode: str, about: About, chosen: Chosens) -> list[LearningCurve]:
    """The learning curve of a mode at the largest shots that the gate looks at; none if every seed diverged."""
    shots = statistics.curve_shots(about.protocol.shots, about.task.kind)[-1]
    finite = [r.losses for r in chosen[mode, shots].results if not r.diverged and np.isfinite(r.losses).all()]
    if not finite:
        return []
    bins = np.array_split(np.arange(len(finite[0])), min(_LARGEST_POINTS, len(finite[0])))
    points = np.stack([[losses[part].mean() for part in bins] for losses in finite])
    lines = (tuple(_rounded(value) for value in line(points, axis=0)) for line in (np.mean, np.min, np.max))
    return [LearningCurve(mode, shots, tuple(int(part[-1]) + 1 for part in bins), *lines)]


def _rounded(value: float) -> float:
    """Without the last digits, in which two machines' sums may differ."""
    return round(float(value), _DIGITS)
