import numpy as np
import pytest
from sklearn import metrics

from piecehub.errors import DataError
from piecehub.transfer import kinds, predictions, probe
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.tasks import Task, check_shots, draw_shots, draw_validation

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("kind", list(kinds.METRICS))
def test_the_mean_score_is_scikit_learns_metric(kind):
    labels = {
        "classification": RANDOM.integers(0, 4, 50),
        "multi_label": RANDOM.integers(0, 2, (50, 4)),
        "regression": RANDOM.normal(size=50),
    }[kind]
    outputs = RANDOM.normal(size=(50, 1 if kind == "regression" else 4)).astype(np.float32)
    predicted = kinds.predictions(kind, outputs)
    expected = {
        "classification": lambda: metrics.accuracy_score(labels, predicted),
        "multi_label": lambda: metrics.f1_score(labels, predicted, average="samples", zero_division=1.0),
        "regression": lambda: metrics.r2_score(labels, predicted),
    }[kind]()
    assert kinds.scores(kind, labels, predicted).mean() == pytest.approx(expected, abs=1e-6)


def test_the_floor_says_the_most_frequent_class_the_usual_labels_or_the_mean():
    y = np.array([0, 1, 1, 2])
    assert kinds.predictions("classification", kinds.floor_outputs("classification", y, 3, 5)).tolist() == [1] * 5
    rows = np.array([[1, 0], [1, 0], [1, 1]])
    assert kinds.predictions("multi_label", kinds.floor_outputs("multi_label", rows, 2, 2)).tolist() == [[1, 0]] * 2
    assert kinds.floor_outputs("regression", np.array([1.0, 4.0]), 1, 2).tolist() == [[2.5]] * 2


@pytest.mark.parametrize("kind", ["multi_label", "regression"])
def test_shots_of_other_kinds_are_examples_in_all_and_nested(kind):
    x = RANDOM.normal(size=(30, 2)).astype(np.float32)
    y = RANDOM.normal(size=30) if kind == "regression" else RANDOM.integers(0, 2, (30, 3))
    task = Task.from_arrays("t", x, y, x, y, kind)
    small, large = draw_shots(task, 5, 1), draw_shots(task, 12, 1)
    assert len(small) == 5 and set(small) < set(large)
    assert sorted([*large, *draw_validation(task, 12, 1)]) == list(range(30))
    check_shots(task, 29)
    with pytest.raises(DataError, match="more than 30 pool examples of 't'"):
        check_shots(task, 30)


@pytest.mark.parametrize("kind", list(kinds.METRICS))
def test_a_task_of_any_kind_survives_its_file_and_predictions_give_its_scores(kind, tmp_path):
    x = RANDOM.normal(size=(20, 2)).astype(np.float32)
    labels = {
        "classification": np.arange(20) % 3,
        "multi_label": RANDOM.integers(0, 2, (20, 3)),
        "regression": RANDOM.normal(size=20),
    }[kind]
    task = Task.from_arrays("t", x, labels, x, labels, kind)
    task.write(tmp_path / "task")
    again = Task.read(tmp_path / "task")
    assert again.digest == task.digest and again.kind == kind and np.array_equal(again.test_y, task.test_y)
    protocol = Protocol((2, 4), (0, 1), (0.01,), 10, 8, (1.0,))
    said = {("raw_input", k): list(RANDOM.normal(size=(2, 20, task.outputs)).astype(np.float32)) for k in (2, 4)}
    predictions.write(tmp_path / "p.parquet", task, protocol, said)
    found = predictions.read_scores(tmp_path / "p.parquet", protocol, kind)["raw_input"]
    expected = kinds.scores(
        kind, task.test_y, kinds.predictions(kind, np.stack([said["raw_input", k] for k in (2, 4)]))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "labels", "words"),
    [
        ("multi_label", [[0, 2], [1, 1]], "rows of 0 and 1"),
        ("multi_label", [0, 1], "one row of labels"),
        ("regression", ["a", "b"], "finite numbers"),
        ("regression", [1.0, float("nan")], "finite numbers"),
        ("regression", [1.0, 1.0], "different values"),
        ("classification", [[0], [1]], "one label"),
    ],
)
def test_labels_that_are_not_of_the_kind_are_refused(kind, labels, words):
    x = np.zeros((2, 1), np.float32)
    with pytest.raises(DataError, match=words):
        Task.from_arrays("t", x, labels, x, labels, kind)


def test_there_are_no_other_kinds():
    assert kinds.check_kind("regression") == "regression"
    with pytest.raises(DataError, match="Received: 'ranking'"):
        kinds.check_kind("ranking")


def test_probes_of_values_and_several_labels_find_linear_truths():
    x = RANDOM.normal(5, 3, size=(200, 4)).astype(np.float32)
    weights = np.array([[1.0, -1], [2, 0], [0, 1], [-1, 1]])
    values = x @ weights
    y = values[:, 0] + 7
    head = probe.fit(x, y, 10.0, "regression")
    assert kinds.scores("regression", y, probe.logits(x, head)[:, 0]).mean() > 0.99
    labels = (values > values.mean(axis=0)).astype(np.int64)
    labels = np.column_stack([labels, np.ones(200, np.int64)])  # a label that every shot has
    said = kinds.predictions("multi_label", probe.logits(x, probe.fit(x, labels, 10.0, "multi_label")))
    assert kinds.scores("multi_label", labels, said).mean() > 0.95 and said[:, 2].all()
