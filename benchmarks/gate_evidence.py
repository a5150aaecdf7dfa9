"""Evidence of what the gate looks at, and of nothing else; the one place that knows how the product makes it.

The gate reads the predictions of four modes and how many trainings diverged. `evaluate` makes more of a piece: two
more modes, intervals for each number of shots, sensitivity, advice and plots, which would take most of the time. Here
the same functions plan the trials, choose the settings and write the predictions. The simulation repeats some of its
runs through `evaluate`, and their verdicts must be equal (see `bench_gate`).
"""

from collections.abc import Mapping
from pathlib import Path

from piecehub.facts.content import content_digest, list_files
from piecehub.transfer import findings, predictions, statistics
from piecehub.transfer.evaluation import Runner, Subject, planned
from piecehub.transfer.evidence import FACTS, PREDICTIONS, Cell, Evidence
from piecehub.transfer.findings import Chosen
from piecehub.transfer.protocol import MODES, Protocol
from piecehub.transfer.tasks import Task

_CANDIDATE = "fine_tuning"
GATE_MODES = (_CANDIDATE, "from_scratch", "feature_extraction", "random_features")


def make_evidence(
    subject: Subject, task: Task, protocol: Protocol, runner: Runner, trials_folder: Path, destination: Path
) -> Evidence:
    """Measures a piece on a task in the modes that the gate looks at, and writes the evidence into `destination`."""
    trials = [trial for trial in planned(subject, task, protocol) if trial.mode in GATE_MODES]
    places = {"saved_model": subject.saved_model, "controls": subject.controls, "task": task}
    results = runner(trials, **places, trials_folder=trials_folder, workers=1)
    chosen = {(m, k): findings.choose(MODES[m], k, protocol, results) for m in GATE_MODES for k in protocol.shots}
    destination.mkdir(parents=True, exist_ok=True)
    outputs = {key: [result.test_outputs for result in found.results] for key, found in chosen.items()}
    predictions.write(destination / PREDICTIONS, task, protocol, outputs)
    evidence = Evidence(
        task=task.name,
        kind=task.kind,
        metric=task.metric,
        task_digest=task.digest,
        piece_digest=content_digest(list_files(subject.saved_model)),
        classes=task.classes,
        protocol=protocol,
        cells=_cells(task, protocol, chosen, destination),
        contrasts=(),
        sensitivity=(),
        learning=(),
        trials=len(trials),
        packages=dict(trials[0].packages),
        folder=destination,
    )
    (destination / FACTS).write_text(evidence.to_json(), encoding="utf-8")
    return evidence


def _cells(
    task: Task, protocol: Protocol, chosen: Mapping[tuple[str, int], Chosen], destination: Path
) -> tuple[Cell, ...]:
    """The candidate's cells, by which the gate knows how many trainings diverged."""
    scores = predictions.read_scores(destination / PREDICTIONS, protocol, task.kind)[_CANDIDATE]
    cells: list[Cell] = []
    for shots, values in zip(protocol.shots, scores, strict=True):
        found, interval = chosen[_CANDIDATE, shots], statistics.two_way_bootstrap(values)
        diverged, means = sum(result.diverged for result in found.results), tuple(map(float, values.mean(axis=1)))
        limits = interval.estimate, interval.low, interval.high
        cells.append(Cell(_CANDIDATE, shots, found.setting, *limits, per_seed=means, diverged=diverged))
    return tuple(cells)
