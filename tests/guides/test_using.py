"""G18-G26: what a consumer does with a published SavedModel."""

import http.server
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

import piecehub
from piecehub.consume.layer import ReusableLayer
from piecehub.errors import ConsumerError, NotReusableError
from piecehub.exporting.reusable import ExportOptions, export
from tests.guides import book, models
from tests.guides.sharing import Exported

_GUIDES_SENTENCES = ["A long sentence.", "single-word", "http://example.com"]


def _embedders(url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the blocks of G18 leave behind: hub's layer, and ours."""
    replace = {f"{book.STORE}/acme/sentences/1": url}
    return book.run(18, {}, replace=replace), book.run(18, {}, block=1, replace=replace)


def test_g18_the_guides_example_embeds_text(
    sentences: Exported, sentences_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made_by_both = _embedders(sentences_url)
    assert capsys.readouterr().out.splitlines() == ["(3, 8) <dtype: 'float32'>"] * 2
    for made in made_by_both:
        np.testing.assert_allclose(made["embeddings"], sentences.model(tf.constant(_GUIDES_SENTENCES)), atol=1e-6)


def test_g19_a_text_classifier_is_made_of_it_in_keras_3_and_in_tf_keras(sentences_url: str) -> None:
    keras.utils.set_random_seed(2)  # Python's, NumPy's and TensorFlow's, so tf_keras' too
    hubs, ours = _embedders(sentences_url)
    with pytest.raises(ValueError, match=r"Only instances of `keras\.Layer` can be added"):
        book.run(19, dict(hubs))
    book.run(19, ours)
    for names, framework in ((ours, keras), (_legacy(hubs), tf_keras)):
        model = names["model"]
        model.compile(framework.optimizers.Adam(0.05), "binary_crossentropy")
        before = np.asarray(names["embed"](tf.constant(models.SENTENCES)))
        losses = model.fit(
            tf.constant(models.SENTENCES), models.SENTIMENT[:, None], epochs=20, verbose=0, shuffle=False
        ).history["loss"]
        assert losses[-1] < 0.9 * losses[0]
        np.testing.assert_array_equal(names["embed"](tf.constant(models.SENTENCES)), before)


def _legacy(names: dict[str, Any]) -> dict[str, Any]:
    return book.run(19, names | {"tf_keras": tf_keras}, replace={"tf.keras": "tf_keras"})


def test_g20_weights_are_frozen_by_default_and_shared_between_applications(features_url: str) -> None:
    images, _ = models.images(4)
    for layer, framework in ((hub.KerasLayer(features_url), tf_keras), (ReusableLayer(features_url), keras)):
        assert layer.trainable_weights == [] and len(layer.weights) > 0 and layer.losses in ([], [0.0])
        one, two = framework.Input((8, 8, 1)), framework.Input((8, 8, 1))
        both: Any = framework.Model([one, two], framework.layers.Concatenate()([layer(one), layer(two)]))
        assert len(both.weights) == len(layer.weights)
        out = np.asarray(both([images, images]))
        np.testing.assert_array_equal(out[:, :8], out[:, 8:])
        layer.trainable = True
        assert len(both.trainable_weights) == len(layer.trainable_weights) == 4
        assert len([loss for loss in both.losses if float(loss) > 0]) == 1


def test_g21_estimators_are_gone_and_tf_distribute_stands_in(features_url: str) -> None:
    with pytest.raises(AttributeError, match="estimator"):
        getattr(tf, "estimator")  # noqa: B009
    images, labels = models.images()
    made = book.run(21, {"images": images, "labels": labels}, replace={f"{book.STORE}/acme/features/1": features_url})
    original = hub.load(features_url)
    tuned = made["piece"].resolved_object
    changed = [
        not np.array_equal(a.numpy(), b.numpy())
        for a, b in zip(tuned.trainable_variables, original.trainable_variables, strict=True)
    ]
    assert all(changed)


def test_g22_downloaded_once_into_the_cache_that_the_variable_names(
    features_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = []

    class Counting(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(302)
            self.send_header("Location", features_url + "?tf-hub-format=compressed")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    cache = tmp_path / "my_cache"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(cache))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        handle = f"http://127.0.0.1:{server.server_port}/acme/features/1"
        for load in (hub.load, piecehub.load, hub.KerasLayer, ReusableLayer):
            load(handle)
        server.shutdown()
    assert requests == ["/acme/features/1?tf-hub-format=compressed"]
    assert Path(hub.resolve(handle)).parent == cache


def test_g23_every_valid_saved_model_is_loaded(features: Exported, tmp_path: Path) -> None:
    class SignatureOnly(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def twice(self, x: Any) -> Any:
            return {"y": 2 * x}

    module = SignatureOnly()
    tf.saved_model.save(module, str(tmp_path / "signatures"), {"serving_default": module.twice})
    features.model.export(tmp_path / "keras", verbose=False)
    for load in (hub.load, piecehub.load):
        assert load(str(tmp_path / "signatures")).signatures["serving_default"](x=tf.ones(1))["y"].numpy() == [2.0]
        assert load(str(tmp_path / "keras")).signatures["serving_default"]
        assert load(str(features.folder))(models.images(2)[0]).shape == (2, 8)


def test_g24_signatures_take_and_give_tensors_by_name(features: Exported, features_url: str) -> None:
    images, _ = models.images()
    made = book.run(24, {"images": images}, replace={f"{book.STORE}/acme/features/1": features_url})
    np.testing.assert_allclose(made["tensors_out"]["outputs"], features.model(images), atol=1e-6)
    choice = {"signature": "serving_default", "output_key": "outputs"}
    for layer in (hub.KerasLayer(features_url, **choice), ReusableLayer(features_url, **choice)):
        np.testing.assert_allclose(layer(images), made["tensors_out"]["outputs"], atol=1e-6)
    with pytest.raises(ConsumerError, match="Expected trainable=False for the signature"):
        ReusableLayer(features_url, trainable=True, **choice)


def test_g24_a_model_with_signatures_only_is_told_apart(features: Exported, tmp_path: Path) -> None:
    features.model.export(tmp_path / "keras", verbose=False)
    with pytest.raises(NotReusableError, match="name a signature for inference"):
        ReusableLayer(str(tmp_path / "keras"))


def test_g25_what_was_traced_is_accepted_and_nothing_else(tmp_path: Path) -> None:
    model = models.with_dropout()
    export(model, tmp_path / "model", ExportOptions(hyperparameters=("dropout_rate",)))
    obj, x = hub.load(str(tmp_path / "model")), tf.constant(models.vectors())
    inference = model(x)
    for found in (obj(x), obj(x, training=False), obj(x, False), obj(x, training=False, dropout_rate=0.9)):
        np.testing.assert_allclose(found, inference, atol=1e-6)
    np.testing.assert_allclose(ReusableLayer(obj)(x.numpy().astype("float64")), inference, atol=1e-6)
    assert not np.allclose(obj(x, training=True), inference)
    assert obj(x, training=True, dropout_rate=tf.constant(0.1)).shape == inference.shape
    for wrong in ({"inputs": tf.cast(x, tf.float64)}, {"inputs": x, "training": tf.constant(True)}):
        with pytest.raises((ValueError, TypeError)):
            obj(**wrong)


def test_g26_trainable_variables_are_watched_and_a_subset_may_be_recommended(tmp_path: Path) -> None:
    model = models.with_dropout()
    book.run(26, {"model": model}, replace={'"my_piece"': repr(str(tmp_path / "piece"))})
    obj = hub.load(str(tmp_path / "piece"))
    assert all(variable.trainable for variable in obj.trainable_variables)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(obj(models.vectors(), training=True)))
    watched = {id(variable) for variable in tape.watched_variables()}
    gradients = tape.gradient(loss, obj.trainable_variables)
    assert all(gradient is not None and np.any(gradient) for gradient in gradients)
    assert {id(variable) for variable in obj.trainable_variables} <= watched
    assert len(obj.trainable_variables) == 4 < len(model.trainable_variables) == 6
    assert len(obj.variables) == len(model.variables)
    for layer in (hub.KerasLayer(obj, trainable=True), ReusableLayer(obj, trainable=True)):
        assert len(layer.trainable_weights) == 4
