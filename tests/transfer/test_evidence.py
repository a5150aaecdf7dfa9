import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from piecehub.errors import DataError
from piecehub.transfer import evidence as evidences
from piecehub.transfer import statistics
from piecehub.transfer.evaluation import Means, Subject, evaluate, planned, sensitivity_count
from piecehub.transfer.evidence import Evidence
from piecehub.transfer.leakage import Leakage
from piecehub.transfer.pool import Budget, run_trials
from piecehub.transfer.protocol import MODES, TUNED, Protocol
from piecehub.transfer.trials import TrialResult, TrialStore

FILES = [
    *("accuracy.png", "accuracy.svg", "evidence.json", "guidance.json", "learning.png", "learning.svg"),
    *("predictions.parquet", "preview.json", "saving.png", "saving.svg"),
]


def test_equal_trials_give_equal_bytes_and_evidence_survives_its_folder(measured, subject, task, protocol, tmp_path):
    again = evaluate(subject, task, protocol, Means(measured.trials, workers=1), tmp_path / "again")
    assert Evidence.read(tmp_path / "again") == again
    assert sorted(p.name for p in measured.folder.iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (measured.folder / name).read_bytes()


def test_one_worker_changes_no_byte(measured, measured_by_one):
    """Nothing is taken over: `measured` is of two workers."""
    for name in FILES:
        assert (measured_by_one.folder / name).read_bytes() == (measured.folder / name).read_bytes()


@pytest.mark.long
def test_four_workers_change_no_byte_of_a_trial(measured, subject, task, protocol, tmp_path):
    trials = planned(subject, task, protocol)[::4]
    assert {t.mode for t in trials} == set(MODES)
    places = {"saved_model": subject.saved_model, "controls": subject.controls, "task": task}
    run_trials(trials, **places, trials_folder=tmp_path, workers=4)
    for trial in trials:
        assert TrialStore(tmp_path).path(trial).read_bytes() == TrialStore(measured.trials).path(trial).read_bytes()


def test_the_numbers_are_those_of_the_predictions(measured, task, protocol):
    made = measured.evidence
    table = pq.read_table(measured.folder / "predictions.parquet").to_pandas()
    assert len(table) == 7 * 2 * 3 * 90
    assert table["label"].to_numpy().reshape(-1, 90)[7].tolist() == task.test_y.tolist()
    assert (np.stack(table["probabilities"]).argmax(axis=1) == table["predicted_label"]).all()
    table["correct"] = table["label"] == table["predicted_label"]
    means = table.groupby(["mode", "shots"], observed=True)["correct"].mean()
    for cell in made.cells:
        assert cell.mean == pytest.approx(means[cell.mode, cell.shots], abs=1e-6)
        assert cell.low <= cell.mean <= cell.high
        assert np.mean(cell.per_seed) == pytest.approx(cell.mean, abs=1e-6)
    gain = made.contrast("fine_tuning", "from_scratch")
    assert gain.estimate == pytest.approx((means["fine_tuning"] - means["from_scratch"]).mean(), abs=1e-6)
    assert (gain.seeds, gain.examples) == (3, 90)
    assert made.curve("majority").mean() == pytest.approx(1 / 3)


def test_test_predictions_cannot_change_the_choice(protocol, task, subject, tmp_path):
    """Two sets of results with equal validation and opposite test outcomes choose the same settings."""
    right = np.eye(3, dtype=np.float32)[task.test_y]

    def chosen(sign: float) -> list[dict[str, float]]:
        def results(trials, **_):
            said = {t: right * sign * (t.setting - 0.02) for t in trials}
            return {
                t: TrialResult(1 - t.setting / 10, outputs, False, np.ones(20, np.float32))
                for t, outputs in said.items()
            }

        means = Means(tmp_path / "none", runner=results)
        # The batch sizes of a second round and losses are not of interest here.
        small = replace(protocol, sensitivity_batch_sizes=())
        return [cell.setting for cell in evaluate(subject, task, small, means, tmp_path / str(sign)).cells]

    assert chosen(1.0) == chosen(-1.0)
    assert {"learning_rate": 0.01} in chosen(1.0) and {"learning_rate": 0.03} not in chosen(1.0)


def test_a_missing_control_is_named_before_any_trial(exported, task, protocol, tmp_path):
    controls = tmp_path / "controls"
    shutil.copytree(exported.controls, controls)
    shutil.rmtree(controls / "seed-1")
    with pytest.raises(DataError, match="seed 1"):
        incomplete = Subject(exported.saved_model, controls)
        evaluate(incomplete, task, protocol, Means(tmp_path / "trials"), tmp_path / "evidence")
    assert not (tmp_path / "trials").exists() and not (tmp_path / "evidence").exists()


def test_too_few_examples_are_refused_before_any_trial(subject, task, tmp_path):
    greedy = Protocol((20,), (0,), (0.01,), 2, 8, (1.0,))
    with pytest.raises(DataError, match="more than 20"):
        evaluate(subject, task, greedy, Means(tmp_path / "trials"), tmp_path / "evidence")


def test_predictions_with_a_missing_row_are_refused(measured, tmp_path):
    shutil.copytree(measured.folder, tmp_path / "evidence")
    path = tmp_path / "evidence" / "predictions.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(DataError, match="not this grid"):
        _ = Evidence.read(tmp_path / "evidence").scores


@pytest.mark.parametrize("text", [None, "{", '{"schema": 1}'])
def test_what_is_no_evidence_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "evidence.json").write_text(text)
    with pytest.raises(DataError, match="Expected"):
        Evidence.read(tmp_path)


def test_an_interval_of_a_cell_is_the_two_way_one(measured):
    made = measured.evidence
    cell = made.cells[0]
    interval = statistics.two_way_bootstrap(made.scores[cell.mode][0])
    assert (cell.low, cell.high) == pytest.approx((interval.low, interval.high), abs=1e-6)


def test_the_plot_tells_its_modes_apart_without_colour_and_the_preview_has_its_numbers(measured):
    made = measured.evidence
    svg = (measured.folder / "accuracy.svg").read_text()
    assert svg.count("stroke-dasharray") >= 3 and "<dc:date>" not in svg
    preview = json.loads((measured.folder / "preview.json").read_text())
    series = {s["name"]: s for s in preview["data"]["series"]}
    assert series["Fine-tuning"]["y"] == [c.mean for c in made.cells if c.mode == "fine_tuning"]


def test_parent_and_leakage_survive_the_file(make_evidence):
    found = Leakage(examples=9, exact=1, near=0, upstream_examples=9, rule="equal", samples=("test 1 ~ upstream 2",))
    made = replace(make_evidence(), parent="piecehub/trees/1", leakage=found)
    (made.folder / evidences.FACTS).write_text(made.to_json(), encoding="utf-8")
    assert Evidence.read(made.folder) == made


def test_the_batch_size_is_varied_with_the_chosen_setting_alone(measured, task, protocol):
    made = measured.evidence
    assert [s.batch_size for s in made.sensitivity] == [4, 8] and {s.shots for s in made.sensitivity} == {5}
    cell = next(c for c in made.cells if (c.mode, c.shots) == ("fine_tuning", 5))
    other, own = made.sensitivity
    assert other.setting == own.setting == cell.setting
    assert (own.mean, own.change, own.change_low, own.change_high) == (cell.mean, 0, 0, 0)
    assert other.mean - own.mean == pytest.approx(other.change, abs=2e-6)
    assert made.trials == 2 * 3 * 2 * len(protocol.learning_rates) * 3 + sensitivity_count(task, protocol)


def test_the_learning_curves_fall_and_are_those_of_what_was_trained(measured, protocol):
    curves = {curve.mode: curve for curve in measured.evidence.learning}
    assert set(curves) == set(TUNED)
    for curve in curves.values():
        assert curve.step[-1] == protocol.steps and len(curve.step) == len(curve.mean) == 20
        assert all(low <= mean <= high for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True))
        assert curve.mean[-1] < curve.mean[0]
    # A head that starts from the probe's knows the shots already.
    assert curves["lp_ft"].mean[0] < curves["fine_tuning"].mean[0]


def test_a_budget_ends_an_evaluation_and_the_next_one_goes_on(subject, task, protocol, measured, tmp_path):
    trials = shutil.copytree(measured.trials, tmp_path / "trials")
    missing = planned(subject, task, protocol)[::6]
    for trial in missing:
        TrialStore(trials).path(trial).unlink()
    before = len(planned(subject, task, protocol)) - len(missing)
    ended = evaluate(subject, task, protocol, Means(trials, budget=Budget(trials=5)), tmp_path / "a")
    total = len(planned(subject, task, protocol)) + sensitivity_count(task, protocol)
    assert not ended.complete and ended.cells == () and Evidence.read(tmp_path / "a") == ended
    assert ended.incomplete_because == f"the budget was spent after {before + 5} of {total} trials"
    assert not (tmp_path / "a" / "predictions.parquet").exists()
    late = evaluate(subject, task, protocol, Means(trials, budget=Budget(seconds=0)), tmp_path / "b")
    assert late.incomplete_because == ended.incomplete_because
    ran: list[int] = []
    means = Means(trials, on_progress=lambda done, total, trial: ran.append(done))
    whole = evaluate(subject, task, protocol, means, tmp_path / "c")
    assert len(ran) == len(missing) - 5 > 0
    assert whole.to_json() == measured.evidence.to_json()
