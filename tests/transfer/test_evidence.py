import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from piecehub.errors import DataError
from piecehub.transfer import evidence as evidences
from piecehub.transfer import statistics
from piecehub.transfer.evidence import Evidence, evaluate
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.trials import TrialResult

FILES = ["accuracy.png", "accuracy.svg", "evidence.json", "predictions.parquet", "preview.json"]


def test_evidence_survives_its_folder(measured):
    assert Evidence.read(measured.folder) == measured.evidence
    assert sorted(p.name for p in measured.folder.iterdir()) == FILES


def test_equal_trials_give_equal_bytes(measured, exported, task, protocol, tmp_path):
    evaluate(exported.saved_model, exported.controls, task, protocol, measured.trials, tmp_path / "again", workers=1)
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (measured.folder / name).read_bytes()


def test_the_numbers_are_those_of_the_predictions(measured, task, protocol):
    made = measured.evidence
    table = pq.read_table(measured.folder / "predictions.parquet").to_pandas()
    assert len(table) == 5 * 2 * 3 * 90
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


def test_test_predictions_cannot_change_the_choice(protocol, task, monkeypatch, exported, tmp_path):
    """Two sets of results with equal validation and opposite test outcomes choose the same settings."""
    right = np.eye(3, dtype=np.float32)[task.test_y]

    def chosen(sign: float) -> list[dict[str, float]]:
        def results(trials, **_):
            return {t: TrialResult(1 - t.setting / 10, right * sign * (t.setting - 0.02), False) for t in trials}

        monkeypatch.setattr(evidences, "run_trials", results)
        folder = tmp_path / str(sign)
        made = evaluate(exported.saved_model, exported.controls, task, protocol, tmp_path / "none", folder)
        return [cell.setting for cell in made.cells]

    assert chosen(1.0) == chosen(-1.0)
    assert {"learning_rate": 0.01} in chosen(1.0) and {"learning_rate": 0.03} not in chosen(1.0)


def test_a_missing_control_is_named_before_any_trial(exported, task, protocol, tmp_path):
    controls = tmp_path / "controls"
    shutil.copytree(exported.controls, controls)
    shutil.rmtree(controls / "seed-1")
    with pytest.raises(DataError, match="seed 1"):
        evaluate(exported.saved_model, controls, task, protocol, tmp_path / "trials", tmp_path / "evidence")
    assert not (tmp_path / "trials").exists() and not (tmp_path / "evidence").exists()


def test_too_few_examples_are_refused_before_any_trial(exported, task, tmp_path):
    greedy = Protocol((20,), (0,), (0.01,), 2, 8, (1.0,))
    with pytest.raises(DataError, match="more than 20"):
        evaluate(exported.saved_model, exported.controls, task, greedy, tmp_path / "trials", tmp_path / "evidence")


def test_predictions_with_a_missing_row_are_refused(measured, tmp_path):
    shutil.copytree(measured.folder, tmp_path / "evidence")
    path = tmp_path / "evidence" / "predictions.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(DataError, match="not this grid"):
        _ = Evidence.read(tmp_path / "evidence").correct


@pytest.mark.parametrize("text", [None, "{", '{"schema": 2}'])
def test_what_is_no_evidence_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "evidence.json").write_text(text)
    with pytest.raises(DataError, match="Expected"):
        Evidence.read(tmp_path)


def test_an_interval_of_a_cell_is_the_two_way_one(measured):
    made = measured.evidence
    cell = made.cells[0]
    interval = statistics.two_way_bootstrap(made.correct[cell.mode][0])
    assert (cell.low, cell.high) == pytest.approx((interval.low, interval.high), abs=1e-6)


def test_the_plot_tells_its_modes_apart_without_colour_and_the_preview_has_its_numbers(measured):
    made = measured.evidence
    svg = (measured.folder / "accuracy.svg").read_text()
    assert svg.count("stroke-dasharray") >= 3 and "<dc:date>" not in svg
    preview = json.loads((measured.folder / "preview.json").read_text())
    series = {s["name"]: s for s in preview["data"]["series"]}
    assert series["Fine-tuning"]["y"] == [c.mean for c in made.cells if c.mode == "fine_tuning"]


def test_the_parent_survives_the_file_and_older_evidence_has_none(make_evidence):
    made = replace(make_evidence(), parent="piecehub/trees/1")
    (made.folder / evidences.FACTS).write_text(made.to_json(), encoding="utf-8")
    assert Evidence.read(made.folder).parent == "piecehub/trees/1"
    older = json.loads(made.to_json())
    del older["parent"]
    (made.folder / evidences.FACTS).write_text(json.dumps(older), encoding="utf-8")
    assert Evidence.read(made.folder).parent == ""
