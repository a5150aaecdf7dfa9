"""What is written is what was given, or is refused."""

import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import DataError
from piecehub.examples.features import Features
from piecehub.examples.records import serialize, write_records
from piecehub.examples.tfrecord_files import count_records
from piecehub.transfer.raw_input import raw_features
from piecehub.transfer.tasks import Task, task_from_features
from tests.in_memory import read_split

JPEG = b"\xff\xd8ab\x00"
STRINGS = np.dtypes.StringDType()


def _written(value: Any) -> tuple[str | None, list[Any]]:
    feature = tf.train.Example.FromString(serialize({"x": value})).features.feature["x"]
    kind = feature.WhichOneof("kind")
    return kind, list(getattr(feature, kind).value) if kind else []


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (JPEG, [JPEG]),
        (bytearray(JPEG), [JPEG]),
        (memoryview(JPEG), [JPEG]),
        (np.bytes_(JPEG), [JPEG]),
        (tf.constant(JPEG), [JPEG]),
        (tf.constant([JPEG, b"\0"]), [JPEG, b"\0"]),
        ([JPEG, b"", b"\0\0"], [JPEG, b"", b"\0\0"]),
        (([b"a\0"], ["b\0"]), [b"a\0", b"b\0"]),
        (np.array([JPEG, "a\0"], object), [JPEG, b"a\0"]),
        (np.array(["a\0", "b"], STRINGS), [b"a\0", b"b"]),
        (np.array([b"cat", b"horse"]), [b"cat", b"horse"]),
        ("käse\0", [b"k\xc3\xa4se\0"]),
    ],
)
def test_b3_bytes_stay_bytes_when_they_are_written(value: Any, kept: list[bytes]) -> None:
    assert _written(value) == ("bytes_list", kept)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.array([1, 2], object), [1, 2]),
        ([2**63 - 1, -(2**63)], [2**63 - 1, -(2**63)]),
        (np.uint64(2**63 - 1), [2**63 - 1]),
        ([np.uint64(7), -1], [7, -1]),
        ([2**53 + 1, 0], [2**53 + 1, 0]),
        ([True, np.False_, 3], [1, 0, 3]),
        (range(3), [0, 1, 2]),
    ],
)
def test_b3_integers_stay_what_they_are(value: Any, kept: list[int]) -> None:
    assert _written(value) == ("int64_list", kept)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ([1, 2.5], [1.0, 2.5]),
        (np.array([0.1]), [float(np.float32(0.1))]),
        ([float("inf"), -float("inf")], [float("inf"), -float("inf")]),
        (np.array([1.5, 2], object), [1.5, 2.0]),
        (float(np.finfo(np.float32).max), [float(np.finfo(np.float32).max)]),
    ],
)
def test_b3_floats_are_rounded_to_float32_and_no_more(value: Any, kept: list[float]) -> None:
    assert _written(value) == ("float_list", kept)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "Received: NoneType"),
        ([1, None], "Received: NoneType"),
        (np.array(["a", None], object), "Received: NoneType"),
        (2**63, "within int64.*Received: 9223372036854775808"),
        ([2**63, -1], "within int64"),
        (np.array([2**64 - 1], np.uint64), "within int64.*Received: 18446744073709551615"),
        (2**70, "within int64"),
        (1e300, "float32.*1e\\+300"),
        (np.array([1.0, -1e39]), "float32.*-1e\\+39"),
        ([1e-60], "float32.*1e-60"),
        ([2**24 + 1, 0.5], "16777217 among floats"),
        (["a", 1], "texts and numbers together"),
        ([b"a", 1.5], "texts and numbers together"),
        ({1, 2}, "Received: set"),
        ({"a": 1}, "Received: dict"),
        (decimal.Decimal("0.1"), "Received: Decimal"),
        (1 + 2j, "Received: complex128"),
        (np.datetime64("2020-01-01"), "Received: datetime64"),
        ([[1, 2], [3]], "lists of different lengths"),
        (np.ma.masked_less(np.array([1, 2]), 2), "a masked array"),
        (np.array([JPEG]), "NumPy drops zero bytes"),
        ("\ud800", "no Unicode"),
    ],
)
def test_b3_what_a_record_cannot_hold_is_refused(value: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        serialize({"x": value})
    assert "feature 'x'" in caught.value.sentence


def _rows(task: Task) -> Any:
    rows: Any = task.pool_x[:]
    return rows if rows.dtype.names is None else rows["x"]


def test_a_list_without_values_has_no_type_so_it_may_stand_beside_others_of_any() -> None:
    for value in ([], (), [[]]):
        assert _written(value) == (None, [])


@pytest.mark.parametrize("inputs", [(), ("x", "y")])
def test_b3_bytes_stay_bytes_up_to_the_evaluators_task(tmp_path: Path, inputs: tuple[str, ...]) -> None:
    texts = [JPEG, b"\0", b"plain", b"\0\0a\0"]
    examples = [{"x": text, "y": [b"q", b"q\0"], "label": n % 2} for n, text in enumerate(texts)]
    spec = {"x": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    spec |= {"y": tf.io.FixedLenFeature([2], tf.string)} if inputs else {}
    write_records(tmp_path / "data" / "pool", examples, shards=2)
    pool = read_split(str(tmp_path / "data"), "pool", Features(spec))
    assert sorted(pool["x"].tolist()) == sorted(texts)
    task = task_from_features("t", "label", pool, pool, inputs)
    assert sorted(_rows(task).tolist()) == sorted(texts)
    task.write(tmp_path / "task")
    read = Task.read(tmp_path / "task")
    assert tf.constant(_rows(read)).numpy().tolist() == pool["x"].tolist()
    assert read.digest == task.digest
    own, other = raw_features(read.pool_x[:], read.test_x[:])
    assert np.array_equal(own, other)


def test_b3_texts_that_differ_in_a_last_zero_byte_are_different_tasks() -> None:
    def digest(text: bytes) -> str:
        return Task.from_arrays("t", [text, b"x", text, b"y"], [0, 1, 0, 1], [b"x", b"y"], [0, 1]).digest

    assert len({digest(b"a"), digest(b"a\0"), digest(b"a\0\0"), digest(b"a\0\x01")}) == 4
    assert (
        digest(b"a")
        == Task.from_arrays("t", np.array([b"a", b"x", b"a", b"y"]), [0, 1, 0, 1], [b"x", b"y"], [0, 1]).digest
    )


def test_records_are_counted_without_reading_them(tmp_path: Path) -> None:
    write_records(tmp_path, ({"value": [number] * number} for number in range(1, 8)), shards=2)
    plain = sorted(tmp_path.glob("*.tfrecord"))
    assert len(plain) == 2 and sum(map(count_records, plain)) == 7
    with tf.io.TFRecordWriter(str(tmp_path / "zipped.gz"), "GZIP") as writer:
        for _ in range(5):
            writer.write(b"a record")
    assert count_records(tmp_path / "zipped.gz") == 5
    (tmp_path / "empty").touch()
    assert count_records(tmp_path / "empty") == 0
