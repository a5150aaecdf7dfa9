from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import DataError, RecipeError
from piecehub.examples.features import Features
from piecehub.examples.tfrecord_files import refuse_no_records
from tests.in_memory import read_records, read_split, records_digest, split_digests

SPEC = {"image": tf.io.FixedLenFeature([2], tf.float32), "label": tf.io.FixedLenFeature([], tf.int64)}


def _feature(number: int, name: str) -> tf.train.Feature:
    if name == "label":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[number, number + 0.5]))


def _example(number: int, *, label: bool = True) -> bytes:
    features = {name: _feature(number, name) for name in (["image", "label"] if label else ["image"])}
    message = tf.train.Example(features=tf.train.Features(feature=features))
    return message.SerializeToString(deterministic=True)


def _write(path: Path, records: list[bytes], compression: Any = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)


RECORDS = [_example(number) for number in range(9)]


@pytest.fixture
def plain(tmp_path: Path) -> str:
    """The raw layout: one plain file."""
    _write(tmp_path / "plain" / "train" / "part.tfrecord", RECORDS)
    return str(tmp_path / "plain")


@pytest.fixture
def tfx(tmp_path: Path) -> str:
    """TFX's layout: the same records in another order, two gzipped files."""
    _write(tmp_path / "tfx" / "Split-train" / "data_tfrecord-00000-of-00002.gz", RECORDS[5:], "GZIP")
    _write(tmp_path / "tfx" / "Split-train" / "data_tfrecord-00001-of-00002.gz", RECORDS[:5][::-1], "GZIP")
    return str(tmp_path / "tfx")


def test_the_digest_depends_on_the_records_alone(plain: str, tfx: str) -> None:
    assert split_digests(plain) == split_digests(tfx)
    assert records_digest(plain, "train").startswith("sha256:")


def test_the_order_of_features_inside_a_record_does_not_count(plain: str, tmp_path: Path) -> None:
    # Protobuf merges what stands one after the other, so this is the same record with its features in both orders.
    image = tf.train.Example(features=tf.train.Features(feature={"image": _feature(3, "image")}))
    label = tf.train.Example(features=tf.train.Features(feature={"label": _feature(3, "label")}))
    parts = image.SerializeToString(), label.SerializeToString()
    for name, record in [("one", parts[0] + parts[1]), ("other", parts[1] + parts[0])]:
        _write(tmp_path / name / "train" / "part.tfrecord", [record])
    assert parts[0] + parts[1] != parts[1] + parts[0]
    assert split_digests(str(tmp_path / "one")) == split_digests(str(tmp_path / "other"))
    assert read_records(str(tmp_path / "one"), "train") == read_records(str(tmp_path / "other"), "train")


def test_records_that_are_no_examples_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "train" / "part.tfrecord", [b"\xff\xff no example"])
    with pytest.raises(DataError, match=r"Expected tf\.Examples"):
        read_records(str(tmp_path), "train")


def test_the_digest_changes_with_a_record_and_with_a_repeated_one(plain: str, tmp_path: Path) -> None:
    _write(tmp_path / "other" / "train" / "part.tfrecord", [*RECORDS[:-1], _example(99)])
    _write(tmp_path / "twice" / "train" / "part.tfrecord", [*RECORDS, RECORDS[0]])
    digests = {records_digest(str(uri), "train") for uri in (plain, tmp_path / "other", tmp_path / "twice")}
    assert len(digests) == 3


def test_both_layouts_give_equal_arrays_in_the_same_order(plain: str, tfx: str) -> None:
    one, other = read_split(plain, "train", Features(SPEC)), read_split(tfx, "train", Features(SPEC))
    assert {name: array.tolist() for name, array in one.items()} == {n: a.tolist() for n, a in other.items()}
    assert one["image"].dtype == np.float32
    assert one["image"].shape == (9, 2)
    assert one["label"].shape == (9,)
    assert (one["image"][:, 0] == one["label"]).all()
    assert sorted(one["label"]) == list(range(9))
    assert list(one["label"]) != list(range(9))


def test_a_missing_label_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "train" / "part.tfrecord", [*RECORDS, _example(3, label=False)])
    with pytest.raises(DataError, match="Expected feature 'label' in every record"):
        read_split(str(tmp_path), "train", Features(SPEC))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (tf.io.FixedLenFeature([2], tf.int64), "2 values of int64. Received: 2 values of float"),
        (tf.io.FixedLenFeature([3], tf.float32), "3 values of float. Received: 2 values of float"),
    ],
)
def test_a_feature_of_another_form_is_named(plain: str, spec: tf.io.FixedLenFeature, words: str) -> None:
    with pytest.raises(DataError, match=f"Expected feature 'image' to be {words}"):
        read_split(plain, "train", Features({"image": spec}))


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "train" / "part.tfrecord", [])
    for split in ("train", "eval"):
        with pytest.raises(DataError, match=f"Expected examples in split '{split}'"):
            read_split(str(tmp_path), split, Features(SPEC))


def test_a_folder_without_splits_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="Expected splits"):
            split_digests(str(folder))


def test_a_damaged_file_is_named(plain: str) -> None:
    path = Path(plain, "train", "part.tfrecord")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"part\.tfrecord, which is damaged"):
        records_digest(plain, "train")


def test_a_curated_schema_tells_how_to_parse(tmp_path: Path) -> None:
    path = tmp_path / "schema.pbtxt"
    path.write_text(
        'feature { name: "image" type: FLOAT shape { dim { size: 8 } dim { size: 8 } dim { size: 1 } } }\n'
        'feature { name: "label" type: INT shape {} }\n'
        'feature { name: "text" type: BYTES shape { dim { size: 1 } } }\n'
    )
    assert Features.of_schema(str(path)).specs == {
        "image": tf.io.FixedLenFeature([8, 8, 1], tf.float32),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "text": tf.io.FixedLenFeature([1], tf.string),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [('feature { name: "image" shape {} }', "Expected a type for feature 'image'"), ("features!", "Expected a Schema")],
)
def test_a_schema_that_cannot_be_used_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "schema.pbtxt"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        Features.of_schema(str(path))


def _with_images(folder: Path, *images: list[float]) -> str:
    records = []
    for image in images:
        values = tf.train.Feature(float_list=tf.train.FloatList(value=image))
        features = tf.train.Features(feature={"image": values, "label": _feature(1, "label")})
        records.append(tf.train.Example(features=features).SerializeToString())
    _write(folder / "train" / "part.tfrecord", records)
    return str(folder)


NAN, INF = float("nan"), float("inf")


def test_b8_nan_in_a_feature_is_named_and_counted(tmp_path: Path) -> None:
    uri = _with_images(tmp_path, [NAN, NAN], [1.0, NAN], [1.0, 2.0])
    with pytest.raises(DataError, match=r"feature 'image' of the split 'train'.* 3 NaN, in 2 of 3 examples"):
        read_split(uri, "train", Features(SPEC))
    with pytest.raises(DataError, match="3 NaN"):
        read_split(uri, "train", Features(SPEC, frozenset({"label"})))


def test_b8_nan_is_a_missing_value_where_the_schema_says_so_and_inf_never(tmp_path: Path) -> None:
    uri = _with_images(tmp_path / "nan", [NAN, 1.0])
    assert np.isnan(read_split(uri, "train", Features(SPEC, frozenset({"image"})))["image"]).sum() == 1
    for value in (INF, -INF):
        uri = _with_images(tmp_path / str(value), [value, 1.0], [NAN, 1.0])
        with pytest.raises(DataError, match=r"feature 'image'.* 1 infinite, in 1 of 2 examples"):
            read_split(uri, "train", Features(SPEC, frozenset({"image"})))


def test_b8_a_schema_says_which_features_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "schema.pbtxt"
    path.write_text(
        'feature { name: "a" type: FLOAT presence { min_fraction: 0.9 } }\n'
        'feature { name: "b" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } }\n'
        'feature { name: "c" type: FLOAT }\n'
        'feature { name: "d" type: FLOAT presence { min_count: 1 } }\n'
    )
    assert Features.of_schema(str(path)).may_be_missing == {"a", "d"}


def test_e14_a_pointer_in_the_place_of_records_or_of_a_schema_is_named(tmp_path: Path) -> None:
    file = tmp_path / "part-0.tfrecord"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    for read in (lambda: refuse_no_records(file), lambda: Features.of_schema(str(file))):
        with pytest.raises(RecipeError, match=r"part-0\.tfrecord', a pointer of Git LFS in the place of a file"):
            read()
