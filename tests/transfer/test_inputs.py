"""Ragged, sparse, undecoded and missing features through a downstream task: from records to trials."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import DataError
from piecehub.examples.features import Features
from piecehub.examples.ingest import ingest
from piecehub.examples.records import write_records
from piecehub.examples.stream import Stream
from piecehub.transfer.engine import Engine
from piecehub.transfer.protocol import MODES, Protocol
from piecehub.transfer.ragged import objects
from piecehub.transfer.tasks import Task, task_from_features
from piecehub.transfer.trials import trial
from piecehub.transfer.workers import Bench, Job

TRAINING = {"seed": 0, "learning_rate": 0.01, "steps": 12, "batch_size": 8}
WORDS = [b"wave", b"ship", b"salt", b"tree", b"moss", b"deer", b"and", b"the"]
RANDOM = np.random.default_rng(0)
SCHEMA = """
feature { name: "tokens" type: BYTES }
feature { name: "ids" type: INT }
feature { name: "at" type: INT int_domain { min: 0 max: 5 } }
feature { name: "weight" type: FLOAT }
sparse_feature { name: "bag" index_feature { name: "at" } value_feature { name: "weight" } }
feature { name: "raw" type: BYTES shape {} }
feature { name: "age" type: FLOAT shape {} presence { min_fraction: 0.5 } }
feature { name: "label" type: INT }
"""
SPECS = {
    "tokens": tf.RaggedTensorSpec([None, None], tf.string, 1),
    "ids": tf.RaggedTensorSpec([None, None], tf.int32, 1),
    "bag": tf.SparseTensorSpec([None, 6], tf.float32),
    "raw": tf.TensorSpec([None], tf.string),
    "age": tf.TensorSpec([None], tf.float32),
}


def _export(folder: Path, forward: Any, specs: Any) -> Path:
    """A piece of one embedding `[8, 4]`, of which `forward(vectors, inputs)` makes features."""
    root = tf.__internal__.tracking.AutoTrackable()
    vectors = tf.Variable(tf.constant(np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)))
    root.__call__ = tf.function(lambda inputs, training=False: forward(vectors, inputs))
    for training in (False, True):
        root.__call__.get_concrete_function(specs, training=training)
    root.variables = root.trainable_variables = [vectors]
    root.regularization_losses = []
    tf.saved_model.save(root, str(folder))
    return folder


def _mean_of(vectors: Any, ids: Any) -> Any:
    return tf.reduce_mean(tf.gather(vectors, ids), axis=1)


def _words_of(texts: Any) -> Any:
    return tf.ragged.map_flat_values(lambda words: tf.strings.to_hash_bucket_fast(words, 8), texts)


def _examples(count: int) -> list[dict[str, Any]]:
    found = []
    for n in range(count):
        words = [WORDS[i] for i in 3 * (n % 2) + RANDOM.integers(0, 3, 1 + n % 4)]
        example = {"tokens": words, "ids": [WORDS.index(word) for word in words], "raw": bytes([n % 2, 7, 0, 0])}
        example |= {"at": [n % 2, 3 + n % 3], "weight": [1.0, 0.5], "label": [n % 2]}
        found.append(example | ({"age": float(n)} if n % 3 else {}))
    return found


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Forty examples as they come from a stream."""
    folder = tmp_path_factory.mktemp("examples")
    write_records(folder / "source" / "pool", _examples(40), shards=1)
    ingest(str(folder / "source"), ["pool"], folder / "out")
    (folder / "schema.pbtxt").write_text(SCHEMA)
    stream = Stream.open(str(folder / "out"), "pool", Features.of_schema(str(folder / "schema.pbtxt")))
    batches = list(stream.as_arrays(16))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _padded(rows: Any, values: Any) -> np.ndarray:
    """The same as a dense array, with `values` where there is nothing."""
    found = np.full((len(rows), max(map(len, rows))), values, rows[0].dtype)
    for index, row in enumerate(rows):
        found[index, : len(row)] = row
    return found


def _numbers(saved_model: Path, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """What comes out of the piece as it is, and out of a training."""
    engine = Engine(saved_model, 2)
    return [engine.features(x), engine.fine_tune(x, y, **TRAINING), engine.logits(x)]


def _assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    assert np.ptp(one[0]) > 0 and one[1][-1] < one[1][0]
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.fixture(scope="module")
def y(split: dict[str, np.ndarray]) -> np.ndarray:
    """The labels, which are ragged in the schema, one an example."""
    return np.array([int(label[0]) for label in split["label"]])


def test_ragged_numbers_give_what_the_padded_and_masked_form_gives(split, y, tmp_path):
    def masked(vectors: Any, ids: Any) -> Any:
        there = tf.cast(ids >= 0, tf.float32)[..., None]
        return tf.reduce_sum(tf.gather(vectors, tf.maximum(ids, 0)) * there, 1) / tf.reduce_sum(there, 1)

    ragged = _export(tmp_path / "ragged", _mean_of, tf.RaggedTensorSpec([None, None], tf.int64, 1))
    dense = _export(tmp_path / "dense", masked, tf.TensorSpec([None, None], tf.int64))
    expected = _numbers(dense, _padded(split["ids"], -1), y)
    chosen = {name: split[name] for name in ("ids", "label")}
    task = task_from_features("t", "label", chosen, chosen)
    _assert_same(_numbers(ragged, task.pool_x[:], task.pool_y), expected)


def test_ragged_texts_give_what_the_text_form_gives(split, y, tmp_path):
    ragged = _export(tmp_path / "ragged", lambda v, x: _mean_of(v, _words_of(x)), SPECS["tokens"])
    text = _export(
        tmp_path / "text", lambda v, x: _mean_of(v, _words_of(tf.strings.split(x))), tf.TensorSpec([None], tf.string)
    )
    joined = np.array([b" ".join(tokens) for tokens in split["tokens"]], object)
    _assert_same(_numbers(ragged, split["tokens"], y), _numbers(text, joined, y))


def test_a_sparse_bag_gives_what_its_filled_form_gives_whether_it_came_filled_or_ragged(split, y, tmp_path):
    sparse = _export(tmp_path / "sparse", lambda v, x: tf.sparse.sparse_dense_matmul(x, v[:6]), SPECS["bag"])
    dense = _export(tmp_path / "dense", lambda v, x: x @ v[:6], tf.TensorSpec([None, 6], tf.float32))
    expected = _numbers(dense, split["bag"], y)
    _assert_same(_numbers(sparse, split["bag"], y), expected)
    spec = tf.SparseTensorSpec([None, 4], tf.float32)
    narrow = _export(tmp_path / "narrow", lambda v, x: tf.sparse.sparse_dense_matmul(x, v[:4]), spec)
    rows = objects([np.float32(row[: 1 + n % 4]) for n, row in enumerate(RANDOM.normal(size=(40, 4)))])
    even = _padded(rows, 0)
    for some in (rows, rows[[0, 1]]):
        found, expected = Engine(narrow, 2).features(some), Engine(narrow, 2).features(even[: len(some)])
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_bytes_keep_their_zero_bytes_up_to_the_piece(split, y, tmp_path):
    raw = _export(tmp_path / "raw", lambda v, x: _decoded(x) @ v[:4], SPECS["raw"])
    plain = _export(tmp_path / "plain", lambda v, x: x @ v[:4], tf.TensorSpec([None, 4], tf.float32))
    numbers = 0.1 * np.array([list(value) for value in split["raw"]], np.float32)
    assert numbers.shape == (40, 4)
    _assert_same(_numbers(raw, split["raw"], y), _numbers(plain, numbers, y))


def test_deeper_ragged_features_reach_the_piece_whatever_lengths_they_have(tmp_path):
    def mean(vectors: Any, ids: Any) -> Any:
        inner = tf.reduce_mean(tf.ragged.map_flat_values(tf.gather, vectors, ids), axis=2)
        return tf.reduce_sum(inner, axis=1)

    spec = tf.RaggedTensorSpec([None, None, None], tf.int64, 2, row_splits_dtype=tf.int32)
    piece = _export(tmp_path / "m", mean, spec)
    tensor = tf.ragged.constant(
        [[[1, 2], [3, 4]], [[1], [2, 3, 0]], [[5]], [], [[6, 7], [0, 1]]], tf.int64, ragged_rank=2
    )
    rows = objects([row.numpy() for row in tensor])
    expected = np.stack([
        sum((Engine(piece, 2)._piece_weights[0][list(inner)].mean(axis=0) for inner in outer), np.zeros(4))
        for outer in tensor.to_list()
    ])  # fmt: skip
    np.testing.assert_allclose(Engine(piece, 2).features(rows), expected, atol=1e-6)
    for some in ([0], [3], [1, 3], [4, 0, 2]):
        np.testing.assert_allclose(Engine(piece, 2).features(rows[some]), expected[some], atol=1e-6)


def test_a_piece_that_takes_one_shape_gets_ragged_rows_of_one_shape_and_refuses_others(tmp_path):
    piece = _export(tmp_path / "m", lambda v, x: x @ v[:3], tf.TensorSpec([None, 3], tf.float32))
    dense = RANDOM.normal(size=(5, 3)).astype(np.float32)
    engine = Engine(piece, 2)
    assert np.array_equal(engine.features(objects(dense)), engine.features(dense))
    with pytest.raises(DataError, match=r"Expected a feature of one shape.*pad it where examples are decoded"):
        engine.features(objects([dense[0], dense[1, :2]]))
    with pytest.raises(DataError, match=r"Expected a feature with 1 ragged dimensions.*Received: more"):
        ragged = _export(tmp_path / "r", _mean_of, tf.RaggedTensorSpec([None, None], tf.int64, 1))
        Engine(ragged, 2).features(objects([objects([np.array([1]), np.array([1, 2])])]))


def _decoded(texts: Any) -> Any:
    return 0.1 * tf.cast(tf.io.decode_raw(texts, tf.uint8), tf.float32)


def _of_all(vectors: Any, x: Any) -> Any:
    age = tf.where(tf.math.is_nan(x["age"]), 0.0, 0.01 * x["age"])
    bag = tf.sparse.sparse_dense_matmul(x["bag"], vectors[:6])
    words = _mean_of(vectors, _words_of(x["tokens"])) + _mean_of(vectors, x["ids"])
    return words + bag + _decoded(x["raw"]) @ vectors[:4] + age[:, None]


@pytest.fixture(scope="module")
def bench(split: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A worker with a piece that takes every kind of feature, and the task as it was written."""
    folder = tmp_path_factory.mktemp("bench")
    task = task_from_features("t", "label", split, split, list(SPECS))
    task.write(folder / "task")
    assert Task.read(folder / "task").digest == task.digest
    model = _export(folder / "model", _of_all, SPECS)
    return Bench(Job(str(model), str(folder), str(folder / "task"), str(folder), 1, "", None, ()))


@pytest.mark.parametrize("mode", ["fine_tuning", "lp_ft", "feature_extraction", "raw_input"])
def test_every_kind_of_feature_goes_through_trials(bench: Bench, mode: str):
    protocol = Protocol((5,), (0,), steps=20, batch_size=8, learning_rates=(0.03,), inverse_regularization=(1.0,))
    one = trial(
        "task", "piece", {0: ""}, protocol, MODES[mode], 5, 0, 0.03 if mode in ("fine_tuning", "lp_ft") else 1.0
    )
    first, again = bench.run(one), bench.run(one)
    assert not first.diverged and first.validation_score > 0.8
    assert np.array_equal(first.test_outputs, again.test_outputs)
