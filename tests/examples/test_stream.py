"""A split as batches: every kind of feature, an order that seed and pass fix, and a way to go on within a pass."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import DataError
from piecehub.examples import ingest as ingest_module
from piecehub.examples.features import Features
from piecehub.examples.ingest import ingest
from piecehub.examples.records import write_records
from piecehub.examples.stream import Stream

SCHEMA = """
feature { name: "x" type: FLOAT shape { dim { size: 2 } } }
feature { name: "tokens" type: BYTES }
feature { name: "at" type: INT int_domain { min: 0 max: 9 } }
feature { name: "weight" type: FLOAT }
sparse_feature { name: "bag" index_feature { name: "at" } value_feature { name: "weight" } }
feature { name: "jpeg" type: BYTES shape {} }
feature { name: "note" type: BYTES value_count { min: 1 max: 1 } presence { min_fraction: 0.5 } }
feature { name: "age" type: FLOAT value_count { min: 1 max: 1 } presence { min_fraction: 0.5 } }
feature { name: "label" type: INT shape {} }
"""


def _rows(count: int = 40) -> list[Any]:
    return [
        {
            "x": [n, n + 0.5],
            "tokens": [f"word{k}" for k in range(n % 4)],
            "at": list(range(n % 3)),
            "weight": [1.0 + k for k in range(n % 3)],
            "jpeg": bytes([n, 0, 0]),
            "label": n,
            **({"note": "seen", "age": float(n)} if n % 2 else {}),
        }
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty examples in several shards."""
    folder = tmp_path_factory.mktemp("examples")
    write_records(folder / "source" / "train", _rows(), shards=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest_module, "SHARD_BYTES", 1000)
        assert ingest(str(folder / "source"), ["train"], folder / "out")["train"].shards > 3
    (folder / "schema.pbtxt").write_text(SCHEMA)
    return str(folder / "out")


@pytest.fixture(scope="module")
def features(uri: str) -> Features:
    """The features of the schema."""
    return Features.of_schema(f"{uri}/../schema.pbtxt")


def _labels(batches: Any) -> list[int]:
    return [int(label) for batch in batches for label in batch["label"]]


def test_every_kind_of_feature_is_parsed(uri: str, features: Features) -> None:
    found: dict[int, dict[str, Any]] = {}
    for batch in Stream.open(uri, "train", features).as_arrays(7):
        for row in range(len(batch["label"])):
            found[int(batch["label"][row])] = {name: values[row] for name, values in batch.items()}
    assert sorted(found) == list(range(40))
    for row in _rows():
        one = found[row["label"]]
        assert one["x"].tolist() == row["x"]
        assert one["tokens"].tolist() == [token.encode() for token in row["tokens"]]
        assert one["jpeg"] == row["jpeg"]
        assert one["bag"].tolist() == [1.0, 2.0][: row["label"] % 3] + [0.0] * (10 - row["label"] % 3)
        assert one["note"] == row.get("note", "").encode()
        assert np.isnan(one["age"]) if "age" not in row else one["age"] == row["age"]


def test_specs_tell_what_is_ragged_and_what_is_sparse(uri: str, features: Features) -> None:
    specs = Stream.open(uri, "train", features).element_spec
    assert isinstance(specs["tokens"], tf.RaggedTensorSpec)
    assert isinstance(specs["bag"], tf.SparseTensorSpec)
    assert specs["x"].shape.as_list() == [None, 2]


def test_a_pass_is_an_order_of_its_own_that_seed_and_number_fix(uri: str, features: Features) -> None:
    stream = Stream.open(uri, "train", features)
    orders = [_labels(stream.shuffled(seed, number, 6)) for seed, number in [(0, 0), (0, 0), (0, 1), (1, 0)]]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(40)) for order in orders)
    assert _labels(stream.in_order(6)) not in orders


def _decode(example: Any) -> Any:
    return {"double": example["x"] * 2, "tokens": example["tokens"], "label": example["label"]}


def _augment(example: Any, seed: Any) -> Any:
    return {**example, "double": example["double"] + tf.random.stateless_uniform([2], seed)}


@pytest.mark.parametrize("augment", [None, _augment])
def test_a_pass_goes_on_at_any_batch_as_if_it_had_not_stopped(uri: str, features: Features, augment: Any) -> None:
    stream = Stream.open(uri, "train", features, _decode)
    whole = [batch["double"].numpy() for batch in stream.shuffled(3, 1, 6, 0, augment)]
    assert len(whole) == 7
    for skipped in range(8):
        rest = [batch["double"].numpy() for batch in stream.shuffled(3, 1, 6, skipped, augment)]
        assert len(rest) == 7 - skipped
        assert all((one == other).all() for one, other in zip(whole[skipped:], rest, strict=True))


def test_augmentation_draws_anew_for_each_example_and_each_pass(uri: str, features: Features) -> None:
    stream = Stream.open(uri, "train", features, _decode)
    noise: list[float] = []
    for number in (0, 1):
        for batch in stream.shuffled(3, number, 40, 0, _augment):
            plain = 2 * (batch["label"].numpy()[:, None] + np.array([0, 0.5]))
            noise.extend(np.round(batch["double"].numpy() - plain, 4).ravel().tolist())
    assert len(set(noise)) > 150


def test_what_decode_makes_is_what_the_specs_tell(uri: str, features: Features) -> None:
    stream = Stream.open(uri, "train", features, _decode)
    assert sorted(stream.element_spec) == ["double", "label", "tokens"]
    [batch] = stream.as_arrays(40)
    assert batch["tokens"].dtype == object and {len(row) for row in batch["tokens"]} == {0, 1, 2, 3}


def test_an_example_that_decode_cannot_take_is_named(uri: str, features: Features) -> None:
    stream = Stream.open(uri, "train", features, lambda example: {"image": tf.io.decode_jpeg(example["jpeg"])})
    with pytest.raises(DataError, match=r"Expected 'decode' to take every example.* example 0 of the split 'train'"):
        list(stream.as_arrays())


def test_a_record_without_a_feature_is_told(uri: str) -> None:
    lacking = Features({"other": tf.io.FixedLenFeature([], tf.int64)})
    with pytest.raises(DataError, match="Expected feature 'other' in every record"):
        list(Stream.open(uri, "train", lacking).as_arrays())


def test_b8_numbers_that_are_not_finite_are_refused_before_a_record_is_read(tmp_path: Path) -> None:
    write_records(tmp_path / "in" / "train", [{"x": float("nan")}, {"x": 1.0}], shards=1)
    ingest(str(tmp_path / "in"), ["train"], tmp_path / "out")
    spec = {"x": tf.io.FixedLenFeature([], tf.float32)}
    with pytest.raises(DataError, match=r"feature 'x' of the split 'train'.* 1 NaN, in 1 of 2 examples"):
        Stream.open(str(tmp_path / "out"), "train", Features(spec))
    assert len(Stream.open(str(tmp_path / "out"), "train", Features(spec, frozenset({"x"})))) == 2
    Stream.open(str(tmp_path / "out"), "train", Features({}))


def test_what_decode_makes_of_a_feature_that_may_be_missing_may_be_missing_too(uri: str) -> None:
    spec = tf.io.FixedLenFeature([], tf.float32, default_value=float("nan"))

    def decode(found: Any) -> Any:
        return {"numbers": tf.stack([found["age"], 1.0])}

    allowed = Stream.open(uri, "train", Features({"age": spec}, frozenset({"age"})), decode)
    assert sum(np.isnan(batch["numbers"]).sum() for batch in allowed.finite_arrays()) == 20
    with pytest.raises(
        DataError, match=r"Expected numbers in feature 'numbers' of the split 'train'\. Received: 20 NaN"
    ):
        list(Stream.open(uri, "train", Features({"age": spec}), decode).finite_arrays())

    def endless(found: Any) -> Any:
        return {"numbers": 1.0 / tf.zeros_like(found["age"])}

    with pytest.raises(DataError, match="Expected finite numbers in feature 'numbers'"):
        list(Stream.open(uri, "train", Features({"age": spec}, frozenset({"age"})), endless).finite_arrays())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('feature { name: "a" type: INT } feature { name: "b" type: FLOAT } sparse_feature { name: "s" '
         'index_feature { name: "a" } value_feature { name: "b" } }', "size of the sparse feature 's'"),
        ('sparse_feature { name: "s" index_feature { name: "a" } value_feature { name: "b" } }', "can be parsed"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_parsed_by_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "schema.pbtxt").write_text(text)
    with pytest.raises(DataError, match=words):
        Features.of_schema(str(tmp_path / "schema.pbtxt"))
