"""One set of examples, dealt into upstream and a downstream task."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import DataError
from piecehub.examples.layout import record_files
from piecehub.examples.splits import write_splits
from piecehub.examples.tfrecord_files import records_in

PLACES = ("upstream/train", "upstream/eval", "task/pool", "task/test")


def _rows(count: int, classes: str = "abcd") -> Iterator[dict[str, Any]]:
    return ({"x": np.float32(n), "label": classes[n % len(classes)]} for n in range(count))


def _read(folder: Path, place: str) -> list[tuple[float, Any]]:
    found: list[tuple[float, Any]] = []
    for file in record_files(str(folder / place)):
        for _, record in records_in(file):
            features = tf.train.Example.FromString(record).features.feature
            label = features["label"]
            (value,) = getattr(label, label.WhichOneof("kind")).value
            found.append((features["x"].float_list.value[0], value))
    return found


def test_held_out_classes_are_in_no_upstream_split_and_numbered_anew(tmp_path: Path) -> None:
    counts = write_splits(tmp_path, _rows(80), task="task", held_out=["d", "b"])
    assert counts == {"upstream/train": 36, "upstream/eval": 4, "task/pool": 24, "task/test": 16}
    found = {place: _read(tmp_path, place) for place in PLACES}
    assert {place: len(rows) for place, rows in found.items()} == counts
    letters = {0: ("a", "b"), 1: ("c", "d")}
    for place, rows in found.items():
        for x, label in rows:
            assert "abcd"[int(x) % 4] == letters[label][place.startswith("task")]
        assert len(set(Counter(label for _, label in rows).values())) == 1  # as many of each class
    assert len({x for rows in found.values() for x, _ in rows}) == 80


def test_without_held_out_classes_no_example_is_in_two_splits(tmp_path: Path) -> None:
    write_splits(tmp_path, _rows(80, "ab"), task="task")
    found = [x for place in PLACES for x, _ in _read(tmp_path, place)]
    assert len(found) == len(set(found)) == 80
    assert {label for _, label in _read(tmp_path, "task/test")} == {0, 1}


def test_equal_examples_are_one_even_of_two_labels(tmp_path: Path) -> None:
    twice = [*_rows(40, "ab"), *({"x": np.float32(n), "label": "b"} for n in range(40))]
    assert sum(write_splits(tmp_path, twice, task="task").values()) == 40


def test_more_examples_leave_most_of_the_others_where_they_were(tmp_path: Path) -> None:
    for count in (400, 480):
        write_splits(tmp_path / str(count), _rows(count), task="task", held_out=["c", "d"])
    before, after = ({x: p for p in PLACES for x, _ in _read(tmp_path / str(n), p)} for n in (400, 480))
    assert sum(before[x] == after[x] for x in before) > 0.95 * len(before)


def test_equal_examples_in_equal_order_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_splits(tmp_path / name, _rows(40), task="task", held_out=["a", "b"], shards=2)
    one, other = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.tfrecord")}
        for name in ("one", "other")
    )
    assert len(one) == 8
    assert one == other


def test_a_value_stays_what_it_is(tmp_path: Path) -> None:
    rows = ({"x": np.float32(n), "label": n / 4} for n in range(100))
    counts = write_splits(tmp_path, rows, task="task", classes=False)
    assert counts == {"upstream/train": 50, "upstream/eval": 10, "task/pool": 25, "task/test": 15}
    assert all(label == x / 4 for place in PLACES for x, label in _read(tmp_path, place))


def test_whole_numbers_are_classes_in_their_own_order(tmp_path: Path) -> None:
    rows = ({"x": np.float32(n), "label": (2, 10)[n % 2]} for n in range(40))
    write_splits(tmp_path, rows, task="task")
    assert all(label == int(x) % 2 for x, label in _read(tmp_path, "upstream/train"))


@pytest.mark.parametrize(
    ("rows", "words", "sentence"),
    [
        ([{"x": 1.0}], {}, "Expected the feature 'label' in each example. Received: none in example 0."),
        (list(_rows(20)), {"held_out": ["e"]}, r"Expected held-out classes that have examples\. Received: 'e'"),
        (list(_rows(20)), {"held_out": ["a"]}, r"Expected two classes or more upstream.* Received: a;"),
        (list(_rows(20)), {"held_out": ["a", "b", "c"]}, r"Expected two classes or more upstream.* Received: d;"),
        (list(_rows(20)), {"held_out": [*"abcd"]}, r"Expected two classes or more upstream.* Received: none;"),
        (list(_rows(20, "a")), {}, r"Expected two classes or more upstream.* Received: a;"),
        (list(_rows(4)), {}, r"Expected examples for each split\. Received: too few for 'train'; add some\."),
    ],
)
def test_what_cannot_be_dealt_is_refused(
    tmp_path: Path, rows: list[dict[str, Any]], words: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        write_splits(tmp_path, rows, task="task", **words)
    assert not list(tmp_path.iterdir())


def test_with_nothing_to_train_on_all_examples_are_the_tasks(tmp_path: Path) -> None:
    assert write_splits(tmp_path, _rows(80), task="task", upstream=False) == {"task/pool": 48, "task/test": 32}
    assert {label for _, label in _read(tmp_path, "task/test")} == {0, 1, 2, 3}
    assert not (tmp_path / "upstream").exists()
    values = ({"x": np.float32(n), "label": n / 4} for n in range(50))
    counts = write_splits(tmp_path / "values", values, task="task", classes=False, upstream=False)
    assert counts == {"task/pool": 30, "task/test": 20}
