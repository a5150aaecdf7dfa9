"""Batches as the model takes them: by the names of its inputs, of every form that a schema knows."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import DataError, TrainingError
from piecehub.examples.features import Features
from piecehub.examples.ingest import ingest
from piecehub.examples.records import write_records
from piecehub.examples.stream import Stream
from piecehub.facts.tables import TrainTable
from piecehub.training import full_model
from piecehub.training.building import blank, build_models, feature_specs, ready_to_train, tensor_specs
from piecehub.training.pairing import pairing
from tests.streams import make_stream

SCHEMA = """
feature { name: "words" type: INT }
feature { name: "at" type: INT int_domain { min: 0 max: 9 } }
feature { name: "weight" type: FLOAT }
sparse_feature { name: "bag" index_feature { name: "at" } value_feature { name: "weight" } }
feature { name: "importance" type: FLOAT shape { dim { size: 1 } } }
feature { name: "label" type: INT shape { dim { size: 1 } } }
"""
SETTINGS = TrainTable(epochs=2, batch_size=8, learning_rate=0.05, seed=1)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """Thirty examples with a ragged, a sparse and two dense features."""
    folder = tmp_path_factory.mktemp("forms")
    rows: Any = [
        {
            "words": [n % 7] * (n % 4),
            "at": list(range(n % 3)),
            "weight": [1.0 + n] * (n % 3),
            "importance": n / 10,
            "label": n % 2,
        }
        for n in range(30)
    ]
    write_records(folder / "source" / "train", rows, shards=1)
    ingest(str(folder / "source"), ["train"], folder / "out")
    (folder / "schema.pbtxt").write_text(SCHEMA)
    return Stream.open(str(folder / "out"), "train", Features.of_schema(str(folder / "schema.pbtxt")))


def _functional(*, seed: int) -> keras.Model:
    words = keras.Input((None,), dtype="int64", ragged=True, name="words")
    bag = keras.Input((10,), sparse=True, name="bag")
    return keras.Model([words, bag], keras.layers.Concatenate()([Sum()(words), keras.layers.Dense(2)(bag)]))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.sum, self.dense = Sum(), keras.layers.Dense(2)

    def call(self, inputs: Any) -> Any:
        return keras.ops.concatenate([self.sum(inputs["words"]), self.dense(inputs["bag"])], axis=-1)


class Sum(keras.layers.Layer):
    """The sum of the vectors of a ragged row of numbers below 8, `[batch, 3]`."""

    def build(self, input_shape: Any) -> None:
        self.vectors = self.add_weight(shape=(8, 3), initializer="glorot_uniform")

    def call(self, words: Any) -> Any:
        return tf.reduce_sum(tf.gather(self.vectors, words), axis=1)

    def compute_output_spec(self, words: Any) -> Any:
        return keras.KerasTensor((words.shape[0], 3))


@pytest.mark.parametrize("build", [_functional, lambda *, seed: Subclassed()], ids=["functional", "subclassed"])
def test_ragged_and_sparse_features_are_trained_on(build: Any, stream: Stream, tmp_path: Path) -> None:
    specs = feature_specs(stream.element_spec, "label", "importance")
    built = ready_to_train(build, specs, None)
    before = [variable.numpy() for variable in built(seed=1).trainable_variables]
    places = tmp_path / "logs", tmp_path / "full"
    facts = full_model.train(built, {}, stream, stream, "label", SETTINGS, *places)
    assert len(facts.history["loss"]) == 2
    after = full_model.restore(built, {}, 1, tmp_path / "full").trainable_variables
    assert all((one != other.numpy()).any() for one, other in zip(before, after, strict=True))


def test_a_blank_example_has_the_form_of_the_examples(stream: Stream) -> None:
    described = feature_specs(stream.element_spec, "label")
    example = blank(described)
    assert tensor_specs(described) == {name: stream.element_spec[name] for name in described}
    for name, spec in tensor_specs(described).items():
        assert spec.is_compatible_with(example[name])


def test_a_label_of_one_value_is_one_number_and_a_weight_is_a_float(stream: Stream) -> None:
    model = build_models(_functional, {}, 1).full
    pair = pairing(model, stream.element_spec, "label", "importance")
    batch = next(iter(stream.in_order(5)))
    x, y, weight = pair(batch)
    assert [type(part).__name__ for part in x] == ["RaggedTensor", "SparseTensor"]
    assert y.shape == weight.shape == (5,)
    assert weight.dtype == tf.float32
    np.testing.assert_array_equal(weight, batch["importance"][:, 0])
    np.testing.assert_array_equal(pairing(model, stream.element_spec, "")(batch)[1], np.zeros(5, np.float32))
    with pytest.raises(TrainingError, match="no 'gone' among"):
        pairing(model, stream.element_spec, "label", "gone")


def _one_number(*, seed: int) -> keras.Model:
    inputs = keras.Input((1,), name="double")
    return keras.Model(inputs, keras.layers.Dense(2)(inputs))


def test_what_decode_makes_is_trained_on_and_what_it_cannot_take_is_named(tmp_path: Path) -> None:
    arrays = {"text": np.array([b"%d" % n for n in range(20)], object), "label": np.arange(20) % 2}

    def decode(features: Any) -> Any:
        return {"double": 2 * tf.strings.to_number(features["text"])[None], "label": features["label"]}

    stream = make_stream(tmp_path / "good", arrays, decode=decode)
    facts = full_model.train(_one_number, {}, stream, stream, "label", SETTINGS, tmp_path / "logs", tmp_path / "full")
    assert facts.train_examples == 20
    arrays["text"][7] = b"no number"
    bad = make_stream(tmp_path / "bad", arrays, decode=decode)
    with pytest.raises(DataError, match=r"Expected 'decode' to take every example.*no number"):
        full_model.train(_one_number, {}, bad, bad, "label", SETTINGS, tmp_path / "logs", tmp_path / "full2")
