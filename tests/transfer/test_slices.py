"""Slices of the test examples: what is gained on each, by two ways of counting, and which of them warn."""

import json
from dataclasses import replace

import numpy as np
import pytest

from piecehub.errors import DataError
from piecehub.facts.conformance_report import Finding, report
from piecehub.facts.tables import TaskTable
from piecehub.transfer import predictions, slices
from piecehub.transfer.evidence import FACTS, PREDICTIONS, Evidence
from piecehub.transfer.gate import judge
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.rule import Rule
from piecehub.transfer.tasks import Task, task_from_features

GOOD = report("sha256:candidate", [Finding("S1", "can be loaded", "fail", True, "It loads.")])
SITES = np.array(["north"] * 200 + ["south"] * 95 + ["far"] * 5)


def _with_slices(evidence: Evidence) -> Evidence:
    found = slices.measured({"site": SITES}, evidence.scores, evidence.protocol, evidence.kind)
    return replace(evidence, slices=found)


def _losing_in_the_south(make_evidence) -> Evidence:
    """Fine-tuning gains in the north, and loses in the south."""
    evidence = make_evidence(fine_tuning=0.95, from_scratch=0.7)
    scores = {mode: table.copy() for mode, table in evidence.scores.items()}
    scores["fine_tuning"][:, :, SITES == "south"] = 0.0
    evidence.__dict__["scores"] = scores
    return evidence


def test_a_slice_has_the_means_of_its_examples_and_their_paired_gain(make_evidence):
    evidence = _with_slices(make_evidence())
    assert {(part.value, part.examples) for part in evidence.slices} == {("north", 200), ("south", 95), ("far", 5)}
    for part in evidence.slices:
        tuned, control = (
            evidence.scores[mode][:, :, part.value == SITES].mean()
            for mode in (part.mode, {"fine_tuning": "from_scratch"}.get(part.mode, "random_features"))
        )
        assert (part.mean, part.control_mean) == pytest.approx((tuned, control), abs=1e-6)
        assert part.gain == pytest.approx(tuned - control, abs=1e-6) and part.low <= part.gain <= part.high


def test_tfma_slices_by_the_same_features_and_counts_the_same(make_evidence, tmp_path):
    from piecehub.transfer.metrics import write_metrics

    import tensorflow_model_analysis as tfma  # isort: skip

    evidence = make_evidence()
    write_metrics(evidence.folder / PREDICTIONS, tmp_path / "evaluation", "classification", {"site": SITES})
    for mode in ("fine_tuning", "random_features"):
        result = tfma.load_eval_result(str(tmp_path / "evaluation"), model_name=mode)
        found = {key: values[""][""] for key, values in result.slicing_metrics}
        for value in ("north", "south", "far"):
            table = evidence.scores[mode][:, :, value == SITES]
            sliced = found[(("slice:site", value),)]
            assert sliced["sparse_categorical_accuracy"]["doubleValue"] == pytest.approx(table.mean(), abs=1e-6)
            assert sliced["example_count"]["doubleValue"] == table.size
            at_five = next(v for key, v in found.items() if dict(key) == {"slice:site": value, "shots": 5})
            assert at_five["sparse_categorical_accuracy"]["doubleValue"] == pytest.approx(table[0].mean(), abs=1e-6)


def test_of_several_labels_each_row_stands_in_the_slice_of_its_example(tmp_path):
    from piecehub.transfer.metrics import write_metrics

    import tensorflow_model_analysis as tfma  # isort: skip

    generator = np.random.default_rng(0)
    x, y = np.zeros((40, 1), np.float32), generator.integers(0, 2, (40, 3))
    task = Task.from_arrays("made", x, y, x, y, "multi_label")
    protocol = Protocol((5,), (0, 1), (0.01,), 10, 8, (1.0,))
    modes = ("fine_tuning", "from_scratch")
    said = {(mode, 5): [generator.normal(size=(40, 3)).astype(np.float32)] * 2 for mode in modes}
    predictions.write(tmp_path / "predictions.parquet", task, protocol, said)
    sites = np.array(["a"] * 30 + ["b"] * 10)
    write_metrics(tmp_path / "predictions.parquet", tmp_path / "evaluation", "multi_label", {"site": sites})
    result = tfma.load_eval_result(str(tmp_path / "evaluation"), model_name="fine_tuning")
    found = {key: values[""][""] for key, values in result.slicing_metrics}[(("slice:site", "b"),)]
    right = (said["fine_tuning", 5][0][30:] > 0) == y[30:]
    assert found["binary_accuracy"]["doubleValue"] == pytest.approx(right.mean(), abs=1e-6)
    assert found["example_count"]["doubleValue"] == 2 * 10 * 3


def test_the_gate_warns_of_a_slice_that_surely_loses_and_blesses_all_the_same(make_evidence):
    evidence = _with_slices(_losing_in_the_south(make_evidence))
    verdict = judge([evidence], GOOD, None, Rule())
    assert verdict.blessed, verdict.reasons
    [warning] = verdict.warnings
    assert "by fine-tuning where site is 'south' (95 test examples)" in warning and "Received: -" in warning
    report_only = Rule(tasks={"trees": {"role": "report"}})
    assert judge([evidence], GOOD, None, report_only).warnings == ()


def test_slices_that_only_seem_to_lose_warn_of_nothing(make_evidence):
    by_chance = {"site": np.array([f"site-{number % 30}" for number in range(300)])}
    evidence = make_evidence(fine_tuning=0.8, from_scratch=0.8)
    found = slices.measured(by_chance, evidence.scores, evidence.protocol, evidence.kind)
    assert min(part.gain for part in found) < -0.05
    assert slices.lost(found, "fine_tuning", 0.025) == []
    few = replace(found[0], p_worse=0.0, examples=9)
    assert slices.lost([few], few.mode, 0.025) == [] and slices.lost([replace(few, examples=10)], few.mode, 0.025)


def test_evidence_with_slices_is_read_again_and_without_them_says_nothing_of_any(make_evidence):
    plain = make_evidence()
    assert "slices" not in json.loads(plain.to_json())
    evidence = _with_slices(plain)
    (evidence.folder / FACTS).write_text(evidence.to_json(), encoding="utf-8")
    assert Evidence.read(evidence.folder).slices == evidence.slices
    assert TaskTable("a").to_json() == '{"kind":"classification","label":"","name":"a"}'
    assert TaskTable.from_json(TaskTable("a", slices=("site",)).to_json()).slices == ["site"]


def test_a_task_keeps_its_digest_whatever_it_is_sliced_by():
    split = {
        "x": np.arange(8.0, dtype=np.float32)[:, None],
        "label": np.tile([0, 1], 4),
        "site": np.array(list("ababcacb")),
    }
    plain = {key: split[key] for key in ("x", "label")}
    made = task_from_features("t", "label", split, split, slices=["site"])
    assert made.slices["site"].tolist() == list("ababcacb")
    assert made.digest == task_from_features("t", "label", plain, plain).digest
    by_label = task_from_features("t", "label", plain, plain, slices=["label"])
    assert by_label.slices["label"].tolist() == list("01010101")
    with pytest.raises(DataError, match="one other feature"):
        task_from_features("t", "label", split, split)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.arange(60), "at most 50 values"),
        (np.linspace(0, 1, 60), "a text or a whole number in each example"),
        (np.zeros((60, 2), np.int64), "a text or a whole number in each example"),
        (None, "the feature 'site' of 'task.slices'"),
    ],
)
def test_what_makes_no_slices_is_refused(values, words):
    test = {"label": np.zeros(60)} if values is None else {"site": values}
    with pytest.raises(DataError, match=words):
        slices.slice_values("trees", test, ["site"])


def test_texts_and_numbers_of_any_form_make_slices():
    test = {"a": np.array([b"x", "é".encode()]), "b": np.array([[1], [2]]), "c": np.array([True, False])}
    found = slices.slice_values("trees", test, ["a", "b", "c"])
    assert {name: column.tolist() for name, column in found.items()} == {
        "a": ["x", "é"],
        "b": ["1", "2"],
        "c": ["True", "False"],
    }
