"""docs/consume.md: its code, run as it stands in one go with the handles replaced, and its table of differences."""

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from piecehub.consume.layer import ReusableLayer
from piecehub.errors import ConsumerError
from piecehub.exporting.reusable import ExportOptions, export
from piecehub.facts import piece_manifest
from tests.guides import models
from tests.guides.book import ROOT

PAGE = ROOT / "docs" / "consume.md"
HANDLES = "https://models.example.com/acme"
X = np.ones((2, 4), np.float32)


def _features() -> Any:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten(name="flat")(inputs)
    x = keras.layers.Dense(16, "relu", kernel_regularizer="l2", name="first")(x)
    return keras.Model(inputs, keras.layers.Dense(6)(keras.layers.Dropout(0.4, seed=1)(x)))


def _encoder() -> Any:
    inputs = keras.Input((5, 4))
    sequence = keras.layers.Dense(3)(inputs)
    return keras.Model(inputs, {"pooled": keras.layers.GlobalAveragePooling1D()(sequence), "sequence": sequence})


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pieces that the page speaks of, where the handles lead to."""
    root = tmp_path_factory.mktemp("acme")
    options = ExportOptions(hyperparameters=("dropout_rate",), sub_pieces={"first": "first"})
    export(_features(), root / "features" / "1", options)
    export(_encoder(), root / "encoder" / "1")
    export(models.text_embedding(), root / "sentences" / "1")
    return root


@pytest.fixture(scope="module")
def ran(acme: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The page's names after its last block, with `printed` by it and the `folder` that it wrote to."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 11
    names: dict[str, Any] = dict(zip(("images", "labels"), models.images(), strict=True))
    names |= {"printed": [], "folder": tmp_path_factory.mktemp("page")}
    names["print"] = lambda *values: names["printed"].append(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(names["folder"])
        for block in blocks:
            exec(compile(block.replace(HANDLES, str(acme)), PAGE.name, "exec"), names)
    return names


def test_the_first_block_fine_tunes_the_piece(ran: dict[str, Any]) -> None:
    assert ran["history"].history["loss"][-1] < ran["history"].history["loss"][0]
    assert ran["vectors"].shape == (32, 6)


def test_each_option_does_what_the_page_says(ran: dict[str, Any]) -> None:
    images = ran["images"]
    assert ran["pooled"](np.ones((2, 5, 4), np.float32)).shape == (2, 3)
    assert len(ran["bottom"].trainable_weights) == 2 and len(ran["layer"].trainable_weights) == 4
    assert ran["bottom"](images.reshape(-1, 64)).shape == (32, 16)
    np.testing.assert_allclose(ran["served"](images), ran["vectors"], atol=1e-6)
    means = [np.mean([np.asarray(layer(images, training=True)) for _ in range(20)], axis=0) for layer in _two(ran)]
    errors = [float(np.abs(mean - ran["vectors"]).mean()) for mean in means]
    assert errors[0] < errors[1], "a lower rate of dropout lies nearer to inference"
    assert ran["embeddings"].shape == ran["embed"](["one", "two"]).shape == (2, 8)
    assert ran["judge"](tf.constant(["fine", "awful"])).shape == (2, 1)


def _two(ran: dict[str, Any]) -> tuple[ReusableLayer, ReusableLayer]:
    usual = ReusableLayer(ran["features"], trainable=True)
    return ran["gentle"], usual


def test_precision_xla_and_replicas_are_as_the_page_says(ran: dict[str, Any]) -> None:
    assert ran["half"].layers[0](ran["images"]).dtype == tf.float32
    assert ran["half"](ran["images"]).dtype == tf.float16
    assert ran["printed"][0] == (True, True)
    assert ran["strategy"].num_replicas_in_sync == 1 and len(ran["mirrored"].trainable_weights) == 6


def test_what_was_saved_computes_the_same(ran: dict[str, Any]) -> None:
    images = ran["images"]
    expected = ran["model"].predict(images, verbose=0)
    np.testing.assert_array_equal(ran["again"].predict(images, verbose=0), expected)
    assert (ran["folder"] / "classifier.weights.h5").is_file()
    shared = ReusableLayer(ran["folder"] / "classifier", trainable=True)
    np.testing.assert_allclose(shared(images), expected, atol=1e-6)
    manifest = piece_manifest.read(ran["folder"] / "classifier")
    assert manifest is not None and manifest.parent == ran["features"]


def test_an_error_is_the_sentence_that_the_page_promises(ran: dict[str, Any]) -> None:
    (error,) = ran["printed"][-1]
    assert str(error).startswith("Expected `arguments` among those of the piece (dropout_rate). Received: dropout")


# --- the table of differences -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`[batch, 4] float32` with an activity regularizer that is exported."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activity_regularizer="l2")(inputs))
    folder = tmp_path_factory.mktemp("vectors") / "model"
    export(model, folder, ExportOptions(return_losses=True))
    return str(folder)


def test_a_piece_without_trainable_variables_is_told_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root: Any = tf.__internal__.tracking.AutoTrackable()
    root.__call__ = tf.function(lambda inputs: 2.0 * inputs, input_signature=[tf.TensorSpec([None, 4])])
    tf.saved_model.save(root, str(tmp_path))
    assert hub.KerasLayer(str(tmp_path), trainable=True)(X) is not None
    assert "trainable but has zero trainable weights" in caplog.text
    with pytest.raises(ConsumerError, match="Expected trainable variables"):
        ReusableLayer(str(tmp_path), trainable=True)


def test_integers_and_unknown_arguments_are_told_apart(vectors: str) -> None:
    whole = X.astype(np.int64)
    with pytest.raises(ValueError, match="Could not find matching concrete function"):
        hub.KerasLayer(vectors)(whole)
    np.testing.assert_array_equal(ReusableLayer(vectors)(whole), ReusableLayer(vectors)(X))
    misspelt = hub.KerasLayer(vectors, arguments={"losses": True})
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        misspelt(X)
    with pytest.raises(ConsumerError, match=r"\(return_losses\). Received: losses"):
        ReusableLayer(vectors, arguments={"losses": True})


def test_activity_regularization_and_shapes_are_told_apart(vectors: str) -> None:
    theirs, ours = hub.KerasLayer(vectors, trainable=True), ReusableLayer(vectors, trainable=True)
    theirs(X, training=True)
    ours(X, training=True)
    assert theirs.losses == [] and [float(loss) > 0 for loss in ours.losses] == [True]
    assert ours(keras.Input((4,))).shape == (None, 3)


def test_safe_mode_is_told_apart(vectors: str, tmp_path: Path) -> None:
    theirs: Any = tf_keras.Sequential([tf_keras.Input((4,)), hub.KerasLayer(vectors)])
    theirs.save(tmp_path / "theirs.keras")
    known = {"KerasLayer": hub.KerasLayer}
    loaded: Any = tf_keras.models.load_model(tmp_path / "theirs.keras", custom_objects=known, safe_mode=True)
    np.testing.assert_array_equal(loaded(X), theirs(X))
    ours: Any = keras.Sequential([keras.Input((4,)), ReusableLayer(vectors)])
    ours.save(tmp_path / "ours.keras")
    with pytest.raises(ConsumerError, match="Received: safe mode"):
        keras.models.load_model(tmp_path / "ours.keras")


def test_a_frozen_layer_freezes_dropout_in_both(acme: Path) -> None:
    images, _ = models.images()
    for layer in (hub.KerasLayer(str(acme / "features" / "1")), ReusableLayer(acme / "features" / "1")):
        np.testing.assert_array_equal(layer(images, training=True), layer(images, training=False))
    keras_own = keras.layers.Dropout(0.5, trainable=False)
    assert np.any(np.asarray(keras_own(X, training=True)) == 0.0)
