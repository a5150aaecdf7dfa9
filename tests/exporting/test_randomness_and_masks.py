"""B11, B12: what inference draws, and the mask beside the outputs, neither of which the interface speaks of."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from piecehub.consume.layer import ReusableLayer
from piecehub.errors import NotReusableError
from piecehub.exporting import golden, reusable
from piecehub.exporting.export_options import ExportOptions
from piecehub.exporting.reexport import reexport
from piecehub.facts import piece_manifest

X = np.ones((3, 4), np.float32)


class Sampler(keras.layers.Layer):
    """Draws whether or not it trains, with a seed of its own or Keras' global one."""

    def __init__(self, own_seed: bool) -> None:
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(3) if own_seed else None

    def call(self, inputs: Any) -> Any:
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.seed_generator)


class AlwaysDrops(keras.layers.Layer):
    """Dropout at inference too."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = keras.layers.Dropout(0.5, seed=1)

    def call(self, inputs: Any) -> Any:
        return self.dropout(inputs, training=True)


def _keras(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, kernel_initializer="ones"), *layers])


def _tf_keras(*layers: Any) -> Any:
    return tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(4), *layers])


def _low_level() -> Any:
    obj: Any = tf.train.Checkpoint()
    weight = tf.Variable(1.0)
    spec = [tf.TensorSpec([None, 4], tf.float32)]
    obj.__call__ = tf.function(lambda x: weight * x + tf.random.normal([4]), input_signature=spec)
    obj.variables = obj.trainable_variables = [weight]
    return obj


def _lost(folder: Path, what: str) -> list[str]:
    return [item["of"] for item in piece_manifest.read(folder).lost if item["what"] == what]


@pytest.mark.parametrize(
    "build",
    [
        lambda: _keras(Sampler(own_seed=True)),
        lambda: _keras(Sampler(own_seed=False)),
        lambda: _keras(AlwaysDrops()),
        lambda: _tf_keras(tf_keras.layers.Lambda(lambda x: x + tf.random.normal(tf.shape(x)))),
        _low_level,
    ],
)
@pytest.mark.parametrize("recorded", ["synthetic", "none"])
def test_b11_randomness_at_inference_stays_random_and_is_told(build: Any, recorded: Any, tmp_path: Path) -> None:
    model = build()
    refused = ""
    try:
        reusable.export(model, tmp_path / "model", ExportOptions(golden=recorded))
    except NotReusableError as error:
        refused = str(error)
    assert refused == ""
    loaded: Any = tf.saved_model.load(str(tmp_path / "model"))
    assert np.abs(loaded(X).numpy() - loaded(X).numpy()).max() > 1e-3
    assert len(_lost(tmp_path / "model", "randomness at inference")) == 1
    assert golden.read(tmp_path / "model", piece_manifest.read(tmp_path / "model")) is None


def test_b11_a_random_piece_that_is_saved_again_records_no_outputs_either(tmp_path: Path) -> None:
    reusable.export(_keras(AlwaysDrops()), tmp_path / "model")
    reexport(tf.saved_model.load(str(tmp_path / "model")), tmp_path / "again", source=tmp_path / "model")
    assert not (tmp_path / "again" / piece_manifest.GOLDEN_FILE).exists()
    assert len(_lost(tmp_path / "again", "randomness at inference")) == 1


def test_b11_what_draws_in_training_only_or_by_a_fixed_seed_is_not_random(tmp_path: Path) -> None:
    projection = keras.layers.Lambda(lambda x: x @ keras.random.normal((4, 2), seed=5))
    model = _keras(keras.layers.Dropout(0.5), projection)
    reusable.export(model, tmp_path / "model")
    loaded: Any = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded(X), model(X), atol=1e-5)
    assert _lost(tmp_path / "model", "randomness at inference") == []
    assert (tmp_path / "model" / piece_manifest.GOLDEN_FILE).exists()


def _embedding(framework: Any) -> Any:
    return framework.Sequential(
        [framework.layers.Input((None,), dtype="int32"), framework.layers.Embedding(9, 2, mask_zero=True)]
    )


@pytest.mark.parametrize("framework", [keras, tf_keras])
def test_b12_a_mask_is_told_to_be_lost(framework: Any, tmp_path: Path) -> None:
    reusable.export(_embedding(framework), tmp_path / "model")
    assert _lost(tmp_path / "model", "mask") == ["outputs"]
    pooled = framework.Sequential([_embedding(framework), framework.layers.GlobalAveragePooling1D()])
    pooled.build((None, None))
    reusable.export(pooled, tmp_path / "pooled", inputs=tf.TensorSpec([None, None], tf.int32))
    assert _lost(tmp_path / "pooled", "mask") == []


def test_b12_a_mask_that_is_an_output_gives_the_originals_numbers(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)  # with some weights a mask hardly counts
    embedding, tokens = keras.layers.Embedding(9, 2, mask_zero=True), keras.Input((None,), dtype="int32")
    piece = keras.Model(tokens, {"default": embedding(tokens), "mask": keras.ops.not_equal(tokens, 0)})
    reusable.export(piece, tmp_path / "model")
    recurrent = keras.layers.LSTM(2)
    ids = np.int32([[3, 4, 0, 0], [1, 2, 5, 6]])
    expected = recurrent(embedding(ids))
    outputs = ReusableLayer(str(tmp_path / "model"))(ids)
    np.testing.assert_allclose(recurrent(outputs["default"], mask=outputs["mask"]), expected, atol=1e-6)
    assert np.abs(recurrent(outputs["default"]) - expected).max() > 1e-3, "else this test shows nothing"
