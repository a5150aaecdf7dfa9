"""G28-G31: fine-tuning, and saving what came of it."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras
from sklearn.datasets import load_digits

import piecehub
from piecehub.consume.layer import ReusableLayer
from piecehub.exporting.reexport import reexport
from piecehub.exporting.reusable import export
from piecehub.extraction.roads import cut_piece
from piecehub.facts import piece_manifest
from piecehub.facts.content import list_files
from tests.guides import book, models
from tests.guides.sharing import Exported, Shared


def test_g28_tokens_keep_their_rows_and_vocabularies_their_bytes(
    sentences: Exported, sentences_url: str, tmp_path: Path
) -> None:
    loaded = piecehub.load(sentences_url)
    text: Any = keras.Input((), dtype="string")
    model: Any = keras.Model(text, keras.layers.Dense(1)(ReusableLayer(loaded, trainable=True)(text)))
    model.compile(keras.optimizers.Adam(0.1), keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(tf.constant(models.SENTENCES), models.SENTIMENT[:, None], epochs=3, verbose=0)
    reexport(loaded, tmp_path / "tuned", source=sentences_url)

    assets = [file for file in list_files(sentences.folder) if file.path.startswith("assets/")]
    assert assets and assets == [f for f in list_files(tmp_path / "tuned") if f.path.startswith("assets/")]
    tuned, original = hub.load(str(tmp_path / "tuned")), sentences.model
    words = original.get_layer("tokens").get_vocabulary()
    (table,) = (variable for variable in tuned.trainable_variables)
    assert not np.allclose(table, original.get_layer("vectors").embeddings)
    for word in ("fine", "awful", "film"):
        np.testing.assert_allclose(tuned([word])[0], table[words.index(word)], atol=1e-6)


def _losses(framework: Any, layer: Any, features: np.ndarray, labels: np.ndarray) -> list[float]:
    """Losses of five steps of gradient descent with `layer` under a head that starts from ones."""
    head = framework.layers.Dense(1, kernel_initializer="ones")
    model = framework.Sequential([framework.Input(features.shape[1:]), layer, head])
    model.compile(framework.optimizers.SGD(0.05), "mean_squared_error")
    return model.fit(features, labels, epochs=5, batch_size=len(labels), shuffle=False, verbose=0).history["loss"]


def test_g29_both_layers_add_weights_and_regularizers_and_train_alike(features: Exported, features_url: str) -> None:
    images, labels = models.images()
    made = book.run(29, {}, replace={f"{book.STORE}/acme/features/1": features_url})
    ours, hubs = made["layer"], hub.KerasLayer(features_url, trainable=True)
    kernel = features.model.get_layer("convolution").kernel
    for layer in (ours, hubs):
        assert len(layer.trainable_weights) == len(features.model.trainable_weights) == 4
        assert float(sum(layer.losses)) == pytest.approx(models.L2 * float(np.sum(np.square(kernel))), rel=1e-5)
    losses = [_losses(framework, x, images, labels) for framework, x in ((keras, ours), (tf_keras, hubs))]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert losses[0][-1] < losses[0][0]


def test_g29_dropout_works_in_training_and_only_if_trainable(tmp_path: Path) -> None:
    export(models.with_dropout(), tmp_path / "model")
    x = models.vectors()
    for layer in (hub.KerasLayer(str(tmp_path / "model")), ReusableLayer(str(tmp_path / "model"))):
        inference = np.asarray(layer(x, training=False))
        np.testing.assert_array_equal(layer(x, training=True), inference)
        layer.trainable = True
        np.testing.assert_array_equal(layer(x, training=False), inference)
        assert not np.allclose(layer(x, training=True), inference)


@pytest.fixture(scope="module")
def digits() -> dict[str, np.ndarray]:
    """Digits of scikit-learn as [*, 8, 8, 1] float32 of 0 to 1: 0 to 4 whole, and of 5 to 9 a few and a test part."""
    found = load_digits()
    pictures, labels = found.images[..., None].astype(np.float32) / 16, found.target
    early, late = labels < 5, labels >= 5
    x, y = pictures[late], labels[late] - 5
    return {
        "upstream": pictures[early], "upstream_labels": labels[early],
        "images": x[:100], "labels": y[:100], "test_images": x[100:], "test_labels": y[100:],
    }  # fmt: skip


@pytest.fixture(scope="module")
def digits_url(digits: dict[str, np.ndarray], store: Shared, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a feature vector learned on the digits 0 to 4."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(16, 3, activation="relu")(inputs)
    x = keras.layers.Conv2D(32, 3, activation="relu")(x)
    x = keras.layers.Flatten(name="features")(x)
    full: Any = keras.Model(inputs, keras.layers.Dense(5)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    full.compile(keras.optimizers.Adam(3e-3), loss)
    full.fit(digits["upstream"], digits["upstream_labels"], epochs=4, verbose=0)
    folder = tmp_path_factory.mktemp("digits") / "model"
    export(cut_piece(full, "features"), folder)
    return store.publish(folder, "acme", "digits-0-4")


_FRAMEWORKS = {
    "keras": {},
    "tf_keras": {
        "import keras\n": "import tf_keras as keras\n",
        "from piecehub import ReusableLayer": "from tensorflow_hub import KerasLayer as ReusableLayer",
    },
}


@pytest.mark.parametrize("framework", _FRAMEWORKS)
@pytest.mark.parametrize("fine_tuning", [False, True])
def test_g30_image_classification_with_optional_fine_tuning(
    digits: dict[str, np.ndarray], digits_url: str, framework: str, fine_tuning: bool
) -> None:
    keras.utils.set_random_seed(1)
    tf_keras.utils.set_random_seed(1)
    replace = {
        f"{book.STORE}/acme/digits-0-4/1": digits_url,
        "do_fine_tuning = True": f"do_fine_tuning = {fine_tuning}",
    }
    made = book.run(30, dict(digits), replace=replace | _FRAMEWORKS[framework])
    original = hub.load(digits_url).trainable_variables
    weights = made["model"].layers[0].weights
    assert len(weights) == len(original) == 4
    same = [np.array_equal(np.asarray(a), b.numpy()) for a, b in zip(weights, original, strict=True)]
    assert same == [not fine_tuning] * 4
    accuracy = made["history"].history["val_accuracy"][-1]
    assert accuracy > 0.8, f"chance is 0.2; seen {accuracy}"


def test_g31_the_guides_code_works_and_loses_the_signatures(
    features: Exported, features_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = models.images()
    made = book.run(31, {"images": images, "labels": labels}, replace={f"{book.STORE}/acme/features/1": features_url})
    again = hub.load(made["export_module_dir"])
    assert dict(again.signatures) == {}
    np.testing.assert_allclose(again(images), made["loaded_obj"](images), atol=1e-6)
    assert not np.allclose(again(images), features.model(images))
    assert len(again.regularization_losses) == 1


def test_g31_reexport_keeps_signatures_assets_and_the_parents_name(
    features: Exported, features_url: str, tmp_path: Path
) -> None:
    images, labels = models.images()
    replace = {
        f"{book.STORE}/acme/features/1": features_url,
        '"finetuned_model_export"': repr(str(tmp_path / "tuned")),
    }
    made = book.run(31, {"images": images, "labels": labels}, block=1, replace=replace)
    again = hub.load(str(tmp_path / "tuned"))
    tuned = made["loaded_obj"](images)
    np.testing.assert_allclose(again(images), tuned, atol=1e-6)
    served = again.signatures["serving_default"](inputs=tf.constant(images))["outputs"]
    np.testing.assert_allclose(served, tuned, atol=1e-6)
    manifest = piece_manifest.read(tmp_path / "tuned")
    assert manifest is not None and manifest.parent.rpartition("@")[0] == features_url
    for layer, framework in (
        (hub.KerasLayer(str(tmp_path / "tuned"), trainable=True), tf_keras),
        (ReusableLayer(str(tmp_path / "tuned"), trainable=True), keras),
    ):
        losses = _losses(framework, layer, images, labels)
        assert len(layer.trainable_weights) == 4 and losses[-1] < losses[0]
