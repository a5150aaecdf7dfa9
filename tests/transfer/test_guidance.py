"""What evidence says to a consumer, on evidence whose truth is known: modes that are right with given probabilities."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piecehub.documentation.advice import advice
from piecehub.transfer import guidance, plot, plot_gains
from piecehub.transfer.evaluation import Means, Subject, evaluate
from piecehub.transfer.evidence import Evidence
from piecehub.transfer.guidance import Guidance, guide
from piecehub.transfer.protocol import Protocol, mode_title
from piecehub.transfer.rule import Rule
from piecehub.transfer.tasks import Task
from piecehub.transfer.trials import Trial, TrialResult

SHOTS = (5, 10, 20, 40)
SEEDS = tuple(range(10))
EXAMPLES = 600
# How often a mode is right, by the number of shots.
FLAT = {
    "fine_tuning": (0.8, 0.85, 0.9, 0.92),
    "lp_ft": (0.8, 0.85, 0.9, 0.92),
    "from_scratch": (0.6, 0.7, 0.8, 0.9),
    "feature_extraction": (0.82, 0.85, 0.85, 0.85),
    "random_features": (0.5, 0.5, 0.5, 0.5),
    "raw_input": (0.5, 0.5, 0.5, 0.5),
}
Told = Callable[..., Evidence]


@pytest.fixture(scope="module")
def told(exported: Any, write_control: Any, build_piece: Any, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Makes evidence through `evaluate`, of trials that need no training: `told(fine_tuning=(…), …)`.

    What was told before is not made again, unless `anew`; nobody writes into it.
    """
    root = tmp_path_factory.mktemp("told")
    before: dict[Any, Evidence] = {}
    y = np.arange(EXAMPLES) % 3
    x = np.zeros((EXAMPLES, 8), np.float32)
    task = Task.from_arrays("trees", x, y, x, y)
    protocol = Protocol(SHOTS, SEEDS, (0.01, 0.03), 5, 8, (1.0,), sensitivity_batch_sizes=(4, 8))
    for seed in SEEDS:
        write_control(build_piece(seed=seed), root / "controls" / f"seed-{seed}")

    def make(batch_4: float = 0.0, anew: bool = False, **rates: Sequence[float]) -> Evidence:
        key = batch_4, *rates.items()
        if key in before and not anew:
            return before[key]
        truth: Mapping[str, Sequence[float]] = FLAT | rates

        def one(trial: Trial) -> TrialResult:
            rate = truth[trial.mode][SHOTS.index(trial.shots)] + (batch_4 if trial.batch_size == 4 else 0.0)
            # An example has one level of difficulty in all modes, as real ones do.
            right = np.random.default_rng([trial.seed, trial.shots]).random(EXAMPLES) < rate
            outputs = np.eye(3, dtype=np.float32)[np.where(right, y, (y + 1) % 3)]
            return TrialResult(1.0 - trial.setting, outputs, False, np.ones(5, np.float32))

        means = Means(root / "none", runner=lambda trials, **_: {trial: one(trial) for trial in trials})
        subject = Subject(exported.saved_model, root / "controls")
        before[key] = evaluate(subject, task, protocol, means, root / f"evidence-{len(before)}-{anew}")
        return before[key]

    return make


def _guided(evidence: Evidence) -> Guidance:
    """The guidance, which lies beside the evidence too."""
    found = guide(evidence)
    text = (evidence.folder / guidance.FILE_NAME).read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps({"schema": 2, **asdict(found)}))
    return found


def test_fine_tuning_is_recommended_where_it_gains_and_from_where_it_beats_frozen_features(told: Told) -> None:
    found = _guided(told())
    assert found.recommended == "fine_tuning"
    assert found.because.startswith("fine-tuning gains +") and found.because.endswith(" over from scratch")
    assert found.wins_over_frozen_from == 20  # 0.85 against 0.85 at 10
    assert found.gain_over_frozen.shots == 20 and found.gain_over_frozen.low > 0
    assert found.gain_over_frozen.estimate == pytest.approx(0.05, abs=0.02)
    assert found.wins_over_scratch_up_to == 40
    assert [(s.shots, s.learning_rate, s.diverged, s.seeds) for s in found.settings] == [
        (shots, 0.01, 0, 10) for shots in SHOTS
    ]


def test_the_probes_head_is_recommended_where_it_is_better_still(told: Told) -> None:
    found = _guided(told(lp_ft=(0.9, 0.92, 0.95, 0.96)))
    assert found.recommended == "lp_ft"
    assert found.because.startswith("starting from the head of a linear probe, fine-tuning gains +")


def test_frozen_features_are_recommended_where_fine_tuning_loses_to_them(told: Told) -> None:
    found = _guided(told(feature_extraction=(0.95, 0.95, 0.96, 0.97)))
    assert found.recommended == "feature_extraction"
    assert found.because.startswith("frozen features gain +")
    assert found.wins_over_frozen_from is None
    assert found.gain_over_frozen.shots == 40 and found.gain_over_frozen.high < 0


def test_frozen_features_are_recommended_where_fine_tuning_is_no_better(told: Told) -> None:
    found = _guided(told(feature_extraction=(0.76, 0.98, 0.87, 0.87)))
    assert found.recommended == "feature_extraction"  # better on the whole, worse at many examples
    # Fine-tuning beats them at 5 too, and loses at 10: "from 20 on" is what holds from there on.
    assert found.wins_over_frozen_from == 20 and found.gain_over_scratch.low > 0


def test_n2_frozen_features_are_held_against_those_of_the_parent(told: Told) -> None:
    frozen, parents = (0.87, 0.87, 0.87, 0.87), (0.865, 0.865, 0.865, 0.865)
    alone = told(feature_extraction=frozen, random_features=parents)
    found = guide(replace(alone, parent="acme/leaves/1"))
    assert found.recommended == "feature_extraction"
    like_for_like = alone.contrast("feature_extraction", "random_features").estimate
    assert found.because.startswith(f"frozen features gain {100 * like_for_like:+.1f} [")
    assert "points over the frozen features of its parent acme/leaves/1, and" in found.because
    assert found.because.endswith("points over fine-tuning it")
    assert _guided(alone).because.endswith("points over training from scratch")


def test_from_scratch_is_recommended_where_nothing_gains(told: Told) -> None:
    level = FLAT["from_scratch"]
    found = _guided(told(fine_tuning=level, lp_ft=level, feature_extraction=level))
    assert found.recommended == "from_scratch"
    assert found.because.endswith("which may be nothing")
    assert found.wins_over_scratch_up_to is None and found.gain_over_scratch.shots == 5


def test_labels_saved_are_where_the_curve_of_from_scratch_reaches_the_piece(told: Told) -> None:
    five, ten, twenty, forty = _guided(told()).savings
    # From scratch is right as often, 0.8, with 20 examples; 0.85 lies half-way to 40 on a scale of logarithms.
    assert five.equals == pytest.approx(20, rel=0.15)
    assert ten.equals == pytest.approx(20 * 2**0.5, rel=0.15)
    assert not isinstance(five.low, str) and not isinstance(five.high, str) and five.low <= 20 <= five.high
    assert twenty.high == forty.high == forty.equals == "more"


def test_what_is_worth_fewer_examples_than_were_tried_is_said_so(told: Told) -> None:
    five, *_ = _guided(told(fine_tuning=(0.4, 0.5, 0.6, 0.7))).savings
    assert (five.low, five.equals, five.high) == ("fewer", "fewer", "fewer")


def test_a_batch_size_that_changes_the_metric_is_not_among_the_safe_ones(told: Told) -> None:
    assert _guided(told()).batch_sizes == (4, 8)
    assert _guided(told(batch_4=-0.1)).batch_sizes == (8,)


def test_a_person_reads_it_in_sentences(told: Told) -> None:
    evidence = told()
    lines = advice(asdict(guide(evidence)), json.loads(evidence.to_json()))
    assert lines[0].startswith("Recommended: fine-tuning, for fine-tuning gains +")
    assert lines[1] == "Learning rate of Adam, by number of examples: 0.01 (5), 0.01 (10), 0.01 (20), 0.01 (40)."
    assert lines[2].startswith("Fine-tuning beats frozen features from 20 examples on: +")
    assert lines[3].endswith("; 40 examples are worth more than were tried from scratch.")
    assert lines[4].startswith("Batch size: 4 changes it by +0.0 points [")


def test_equal_evidence_gives_equal_guidance_and_plots(told: Told) -> None:
    first = {path.name: path.read_bytes() for path in told().folder.iterdir()}
    assert {"guidance.json", "accuracy.svg", "learning.svg", "saving.svg"} <= set(first)
    assert {path.name: path.read_bytes() for path in told(anew=True).folder.iterdir()} == first


def test_the_plots_say_what_they_show(told: Told) -> None:
    evidence = told()
    texts = {name: (evidence.folder / f"{name}.svg").read_text() for name in ("accuracy", "learning", "saving")}
    assert "<!-- Accuracy on trees -->" in texts["accuracy"]
    assert (
        "<!-- 600 test examples; majority: 33 %; bands: 95 % intervals over seeds and test examples -->"
        in (texts["accuracy"])
    )
    best = next(c for c in evidence.cells if (c.mode, c.shots) == ("fine_tuning", 40))
    assert f"<!-- Fine-tuning {100 * best.mean:.1f} % -->" in texts["accuracy"]
    assert "<!-- Training loss on trees -->" in texts["learning"]
    assert "<!-- as good as from scratch with -->" in texts["saving"]


def test_one_number_of_examples_is_drawn_with_its_intervals(told: Told) -> None:
    """Bands and lines would have no width, and no length."""
    evidence = told()
    few = [cell for cell in evidence.cells if cell.shots == SHOTS[0]]
    alone = replace(evidence, protocol=replace(evidence.protocol, shots=SHOTS[:1]), cells=tuple(few))
    [axes] = plot._accuracy(alone, EXAMPLES).axes
    spans = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert spans == [(cell.low, cell.high) for cell in few]
    assert [label.get_text() for label in axes.get_yticklabels()] == [mode_title(cell.mode) for cell in few]
    assert axes.get_xlabel() == "accuracy with 5 labelled examples per class"


def test_the_gains_of_all_tasks_are_drawn_with_the_gates_line(told: Told, tmp_path: Path) -> None:
    evidence = told()
    unfinished = replace(evidence, task="stones", incomplete_because="the budget was spent")
    rule = Rule(min_gain=0.005, tasks={"leaves": {"role": "report"}})
    plot_gains.write([evidence, replace(evidence, task="leaves"), unfinished], rule, tmp_path)
    text = (tmp_path / "gains.svg").read_text()
    for label in ("trees: average", "leaves (reported): average", "40 examples", "the gate"):
        assert f"<!-- {label} -->" in text
    assert text.count("<!-- the gate -->") == 1 and "stones" not in text
    plot_gains.write([unfinished], rule, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_savings_of_all_draws_are_those_of_each_alone() -> None:
    """A second way: one draw after the other, through `np.interp`; the numbers are the same to the last bit."""

    def alone(log_shots: np.ndarray, curve: np.ndarray, value: float) -> float:
        rising = np.maximum.accumulate(curve)
        if value < rising[0]:
            return 0.0
        return np.inf if value > rising[-1] else float(np.exp(np.interp(value, rising, log_shots)))

    generator = np.random.default_rng(0)
    for shots in ((1, 2, 5, 10, 25), SHOTS, (3, 7), (5,)):
        curves = 0.7 + 0.1 * generator.normal(size=(len(shots), 4000))
        values = 0.7 + 0.1 * generator.normal(size=4000)
        curves[:, :2000] = np.sort(curves[:, :2000], axis=0)
        curves[:, 1000:3000], values[1000:3000] = curves[:, 1000:3000].round(1), values[1000:3000].round(1)  # ties
        values[3000:3500] = curves[generator.integers(len(shots), size=500), np.arange(3000, 3500)]
        log_shots = np.log(np.array(shots, np.float64))
        expected = [alone(log_shots, curves[:, b], values[b]) for b in range(4000)]
        found = guidance._equivalents(log_shots, curves, values)
        assert found.tolist() == expected
        assert 0.0 in expected and np.inf in expected and any(0 < one < np.inf for one in expected)
