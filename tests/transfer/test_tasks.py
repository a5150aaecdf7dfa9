from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piecehub.errors import DataError
from piecehub.transfer import texts
from piecehub.transfer.ragged import flattened, leaves, objects, unflattened
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
    task.write(tmp_path / "task")
    again = Task.read(tmp_path / "task")
    assert (again.digest, again.name, again.classes) == (task.digest, task.name, task.classes)


def test_text_becomes_bytes_that_survive_the_file(tmp_path):
    text = np.array(["né", "b", "c", "d"], object)
    made = Task.from_arrays("t", text, [0, 1, 0, 1], text, [0, 1, 0, 1])
    made.write(tmp_path / "task")
    assert Task.read(tmp_path / "task").pool_x[:].tolist() == ["né".encode(), b"b", b"c", b"d"]


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
    made.write(tmp_path / "task")
    again = Task.read(tmp_path / "task")
    assert again.digest == made.digest
    rows: Any = again.pool_x[[3, 1]]
    assert rows["ids"].tolist() == [[6, 7], [2, 3]] and rows["text"].tolist() == [b"d", b"bb"]
    renamed = {**split, "words": split["text"]}
    assert task_from_features("t", "label", renamed, renamed, ["words", "ids"]).digest != made.digest


def test_an_input_without_a_feature_is_one_sentence():
    split = {"ids": np.arange(4), "label": np.array([0, 1, 0, 1])}
    with pytest.raises(DataError, match=r"Received: no 'mask' in .*name features like inputs"):
        task_from_features("t", "label", split, split, ["ids", "mask"])


WORDS = np.array([b"a", "né".encode(), b"", b"dd"], object)
ZEROS = np.array([b"a\0", b"b", b"", b"c\0\0"], object)
# Trials and published evidence refer to tasks by these digests.
DIGESTS = {
    "numbers": (
        np.arange(8, dtype=np.float32).reshape(4, 2),
        "0d20471baaf8a64b2b71f8a5191107ced6c5723242ac83b74815150b7b9f4527",
    ),
    "fixed": (WORDS.astype("S"), "f5d504ef7523a563d22d9f9d442a125bba396e9c5c817d76f58b3bdf7de22aca"),
    "texts": (WORDS, "f5d504ef7523a563d22d9f9d442a125bba396e9c5c817d76f58b3bdf7de22aca"),
    "zeros": (ZEROS, "9fd84e7bd84edd0ed430d3e78cc5af7209c89669a0fc5a1355e3543fe82008a3"),
    "empty": (np.array([b""] * 4, object), "a10054722600bf76cd0655a96ad1b6efe2d2ada9fa033f446d3c53997997270f"),
    "several": (np.stack([WORDS, WORDS[::-1]], 1), "bf7aa8cfd0e76aef248194da435f17eab0b2f3bb80ce14b29c6253002025928d"),
    "wide": (
        np.array([b"x" * 3000, b"", b"y", b"z"], object),
        "82c4988db785c692224db3d39b0173e6a1b787eed7af3828774cb23e62f4152c",
    ),
    "wide zeros": (
        np.array([b"x" * 3000 + b"\0", b"", b"y", b"z"], object),
        "6ee33cec915e6fc16d2330b4f2875030375ed1c8abf53d5aaed6e77956ec3c6e",
    ),
}  # fmt: skip
OF_DICTS = {
    ("numbers", "texts"): "a08340290741d28b31ccbe382e042ec80d71d5cd568e6d680ceeb9ec5c52cf69",
    ("numbers", "zeros", "several"): "ca6f705577a350b843cbf02498afca37c2af22ebf78535e29d66f6ea29d4b2f6",
    ("several", "wide"): "4c59e70981dd15a3327a35208853d3e1f6eb1f6cc459a31853b25f3cf051711f",
}


@pytest.mark.parametrize("large", [64 * 2**20, 0])
def test_digests_are_those_of_earlier_releases_however_texts_are_held(tmp_path, monkeypatch, large):
    monkeypatch.setattr(texts, "_LARGE", large)
    monkeypatch.setattr(texts, "_WASTE", 2)
    monkeypatch.setattr("piecehub.transfer.packing._CHUNK_BYTES", 7000 if large else 1)
    y = [0, 1, 0, 1]
    made = [(Task.from_arrays("t", rows, y, rows[::-1], y), digest) for rows, digest in DIGESTS.values()]
    for names, digest in OF_DICTS.items():
        split = {name: DIGESTS[name][0] for name in names} | {"label": np.array(y)}
        made.append((task_from_features("t", "label", split, split, names), digest))
    for task, digest in made:
        task.write(tmp_path / "task")
        assert task.digest == Task.read(tmp_path / "task").digest == f"sha256:{digest}"
    wide = made[list(DIGESTS).index("wide")][0]
    assert wide.pool_x.dtype == (np.dtype("S3000") if large else object)


def test_one_huge_value_among_small_ones_takes_little_more_than_its_own_room(tmp_path):
    values = np.array([b"\xff\xd8" + bytes(5000) + b"."] * 400 + [b"\xff\xd8" + bytes(5_000_000) + b"."], object)
    y = np.arange(401) % 2
    task = Task.from_arrays("t", values, y, values[:2], y[:2])
    assert task.pool_x.dtype == object and task.pool_x.tolist() == values.tolist()
    task.write(tmp_path / "task")
    assert sum(path.stat().st_size for path in (tmp_path / "task").iterdir()) < 8_000_000
    assert Task.read(tmp_path / "task").pool_x[:].tolist() == values.tolist()


def _nested(draw: Any, depth: int, leaf: Any) -> Any:
    if depth == 0:
        return draw(leaf)
    return [_nested(draw, depth - 1, leaf) for _ in range(draw(st.integers(0, 3)))]


def _as_numpy(value: Any, dtype: Any) -> np.ndarray:
    """Rows as a ragged tensor gives them: plain arrays where lengths agree, else arrays of arrays."""
    parts = [_as_numpy(part, dtype) if isinstance(part, list) else part for part in value]
    if parts and isinstance(parts[0], np.ndarray):
        return np.stack(parts) if len({(p.shape, p.dtype) for p in parts}) == 1 else objects(parts)
    return np.array(parts, dtype)


def _as_lists(value: Any) -> Any:
    return [_as_lists(part) for part in value] if isinstance(value, np.ndarray) else value


@settings(max_examples=150, deadline=None)
@given(data=st.data(), depth=st.integers(1, 3), text=st.booleans())
def test_ragged_rows_survive_their_flat_form_and_the_file(data, depth, text, tmp_path_factory):
    leaf = st.binary(max_size=3) if text else st.integers(-5, 5)
    lists = [_nested(data.draw, depth, leaf) for _ in range(4)]
    rows = objects([_as_numpy(row, object if text else np.int64) for row in lists])
    values, splits = flattened(rows)
    assert [leaf for row in rows for leaf in leaves(row)] == values.ravel().tolist()
    again = unflattened(values, splits)
    assert _as_lists(again) == _as_lists(rows) or not values.size
    task = Task.from_arrays("t", rows, [0, 1, 0, 1], rows[::-1], [0, 1, 0, 1])
    path = tmp_path_factory.mktemp("task") / "task"
    task.write(path)
    read = Task.read(path)
    assert read.digest == task.digest and [_as_lists(row) for row in read.pool_x[:]] == [
        _as_lists(row) for row in task.pool_x
    ]
    assert [leaves(row) for row in read.pool_x[[2, 0]]] == [leaves(row) for row in rows[[2, 0]]]


def test_ragged_tasks_that_differ_have_other_digests():
    def digest(*rows: Any) -> str:
        made = objects([np.asarray(row) for row in rows])
        return Task.from_arrays("t", made, [0, 1, 0], made, [0, 1, 0]).digest

    one = digest([1, 2], [3], [4])
    assert one == digest([1, 2], [3], [4])
    assert len({one, digest([1], [2, 3], [4]), digest([1, 2], [3], [5]), digest([1.0, 2.0], [3.0], [4.0])}) == 4


def test_a_dict_of_ragged_and_plain_features_stays_rows(tmp_path):
    split = {
        "tokens": objects([np.array([b"a", b"b\0"], object), np.array([], object), np.array([b"c"], object)]),
        "ids": objects([np.array([1]), np.array([2, 3]), np.array([], np.int64)]),
        "age": np.array([1.0, np.nan, 2.0], np.float32),
        "label": objects([np.array([0]), np.array([1]), np.array([0])]),
    }
    task = task_from_features("t", "label", split, split, ["tokens", "ids", "age"])
    task.write(tmp_path / "task")
    read = Task.read(tmp_path / "task")
    assert read.digest == task.digest and read.pool_y.tolist() == [0, 1, 0]
    rows: Any = read.pool_x[[2, 0]]
    assert [row.tolist() for row in rows["tokens"]] == [[b"c"], [b"a", b"b\0"]]
    assert [row.tolist() for row in rows["ids"]] == [[], [1]] and rows["age"].tolist() == [2.0, 1.0]


def test_labels_of_different_counts_are_refused():
    split = {"x": np.zeros((2, 3)), "label": objects([np.array([0]), np.array([1, 2])])}
    with pytest.raises(DataError, match="as many labels in each example"):
        task_from_features("t", "label", split, split)
