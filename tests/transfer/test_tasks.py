from typing import Any

import numpy as np
import pytest

from piecehub.errors import DataError
from piecehub.transfer.tasks import Task, check_shots, draw_shots, draw_validation, task_from_features

X = np.zeros((4, 2), np.float32)


def test_shots_are_stratified_and_nested(task):
    small, large = draw_shots(task, 2, seed=3), draw_shots(task, 5, seed=3)
    assert np.bincount(task.pool_y[small]).tolist() == [2, 2, 2]
    assert np.bincount(task.pool_y[large]).tolist() == [5, 5, 5]
    assert set(small) < set(large)
    assert set(draw_shots(task, 5, seed=4)) != set(large)


def test_validation_is_the_pool_without_the_largest_shots(task):
    validation, shots = draw_validation(task, 5, seed=3), draw_shots(task, 5, seed=3)
    assert sorted([*validation, *shots]) == list(range(len(task.pool_y)))


def test_labels_are_numbered_in_the_order_of_the_pools_classes(task):
    made = Task.from_arrays("t", X, [9, 5, 9, 7], X[:2], [7, 9])
    assert made.classes == ("5", "7", "9")
    assert made.pool_y.tolist() == [2, 0, 2, 1]
    assert made.test_y.tolist() == [1, 2]
    assert task.classes == ("ash", "elm", "oak")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((X[:0], [], X, [0, 1, 0, 1]), "pool split"),
        ((X, [0, 1, 0, 1], X[:0], []), "test split"),
        ((X, [0, 1, 0], X, [0, 1, 0, 1]), "one label for each"),
        ((X, [0, 0, 0, 0], X, [0, 0, 0, 0]), "at least 2 classes"),
        ((X, [0, 1, 0, 1], X, [0, 1, 2, 1]), "'2'"),
    ],
)
def test_a_split_that_cannot_be_used_is_refused(arguments, word):
    with pytest.raises(DataError, match=word) as caught:
        Task.from_arrays("t", *arguments)
    assert "Received:" in caught.value.sentence


def test_too_few_examples_of_a_class_are_refused_by_name(task):
    check_shots(task, 19)
    with pytest.raises(DataError, match="20 of class 'ash'"):
        check_shots(task, 20)


def test_the_digest_is_that_of_the_content(task, tmp_path):
    def digest(x: np.ndarray = X, y=(0, 1, 0, 1), name="t"):
        return Task.from_arrays(name, x, y, X, [0, 1, 0, 1]).digest

    assert digest() == digest(name="other")
    assert len({digest(), digest(X + 1), digest(y=(1, 0, 0, 1)), digest(X.astype(np.float64))}) == 4
    task.write(tmp_path / "task.npz")
    again = Task.read(tmp_path / "task.npz")
    assert (again.digest, again.name, again.classes) == (task.digest, task.name, task.classes)


def test_text_becomes_bytes_that_survive_the_file(tmp_path):
    text = np.array(["né", "b", "c", "d"], object)
    made = Task.from_arrays("t", text, [0, 1, 0, 1], text, [0, 1, 0, 1])
    made.write(tmp_path / "task.npz")
    assert Task.read(tmp_path / "task.npz").pool_x.tolist() == ["né".encode(), b"b", b"c", b"d"]


def test_decoded_features_become_a_task():
    features = {"image": X, "label": np.array([[0], [1], [0], [1]])}
    made = task_from_features("t", "label", features, features)
    assert made.pool_x.shape == (4, 2) and made.pool_y.tolist() == [0, 1, 0, 1]
    for broken in ({"image": X}, {**features, "more": X}):
        with pytest.raises(DataError, match="one other feature"):
            task_from_features("t", "label", broken, broken)


def test_a_piece_that_takes_a_dict_gets_rows_with_a_field_for_each_input(tmp_path):
    features = {"ids": np.arange(8).reshape(4, 2), "text": np.array([b"a", b"bb", b"c", b"d"]), "unused": X}
    split = {**features, "label": np.array([0, 1, 0, 1])}
    made = task_from_features("t", "label", split, split, ["text", "ids"])
    assert made.pool_x.dtype.names == ("ids", "text") and len(made.pool_x) == 4
    made.write(tmp_path / "task.npz")
    again = Task.read(tmp_path / "task.npz")
    assert again.digest == made.digest
    rows: Any = again.pool_x[[3, 1]]
    assert rows["ids"].tolist() == [[6, 7], [2, 3]] and rows["text"].tolist() == [b"d", b"bb"]
    renamed = {**split, "words": split["text"]}
    assert task_from_features("t", "label", renamed, renamed, ["words", "ids"]).digest != made.digest


def test_an_input_without_a_feature_is_one_sentence():
    split = {"ids": np.arange(4), "label": np.array([0, 1, 0, 1])}
    with pytest.raises(DataError, match=r"Received: no 'mask' in .*name features like inputs"):
        task_from_features("t", "label", split, split, ["ids", "mask"])
