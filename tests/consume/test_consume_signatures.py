from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from piecehub.consume.layer import ReusableLayer
from piecehub.errors import ConsumerError, NotReusableError
from piecehub.exporting import reusable
from tests.exporting import low_level_pieces

KERNEL = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)
X = np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 1.0]], np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What Keras' own `export` writes: signatures, but no callable object."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([KERNEL])
    model.export(folder, verbose=False)
    return str(folder)


@pytest.fixture(scope="module")
def tf1_module(tmp_path_factory: pytest.TempPathFactory) -> str:
    return low_level_pieces.save_tf1_hub_module(tmp_path_factory.mktemp("tf1") / "module")


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("two") / "model"
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    reusable.export(keras.Model({"a": a, "b": b}, {"x": keras.layers.Dense(2)(a + b), "y": a}), folder)
    return str(folder)


def test_what_is_not_callable_is_refused_with_the_names_of_its_signatures(exported: str) -> None:
    with pytest.raises(
        NotReusableError,
        match=r"Expected a callable object .*Received: an object with the signatures serv.*serving_default",
    ):
        ReusableLayer(exported)


def test_a_signature_serves_for_inference(exported: str) -> None:
    layer = ReusableLayer(exported, signature="serving_default", output_key="output_0")
    np.testing.assert_allclose(layer(X), X @ KERNEL, rtol=1e-6)
    np.testing.assert_allclose(layer(X.astype(np.float64)), X @ KERNEL, rtol=1e-6)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    model.compile("sgd", "mse")
    model.fit(X, np.ones(2), verbose=0)
    assert len(model.trainable_weights) == 2 and not layer.trainable_weights
    np.testing.assert_array_equal(layer.weights[0], KERNEL)


def test_a_signature_takes_a_dict_and_gives_one(two_inputs: str) -> None:
    layer = ReusableLayer(two_inputs, signature="serving_default", signature_outputs_as_dict=True)
    outputs = layer({"a": X, "b": 2 * X})
    np.testing.assert_array_equal(outputs["y"], X)
    whole = ReusableLayer(two_inputs)
    np.testing.assert_allclose(outputs["x"], whole({"a": X, "b": 2 * X})["x"], rtol=1e-6)
    with pytest.raises(ConsumerError, match="Expected a dict of a, b"):
        layer(X)


def test_a_signature_cannot_be_fine_tuned(exported: str) -> None:
    with pytest.raises(ConsumerError, match="Expected trainable=False for the signature 'serving_default'"):
        ReusableLayer(exported, trainable=True, signature="serving_default", output_key="output_0")
    layer = ReusableLayer(exported, signature="serving_default", output_key="output_0")
    with pytest.raises(ConsumerError, match="Expected trainable=False"):
        layer.trainable = True
    layer.trainable = False


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"signature": "serving_default"}, "Received: neither; a signature gives a dict"),
        ({"signature": "serving_default", "output_key": "x", "signature_outputs_as_dict": True}, "Received: both"),
        ({"signature_outputs_as_dict": True}, "Expected a `signature` beside"),
        ({"signature": "other", "output_key": "x"}, "Expected the signature 'other'.*serving_default; choose one"),
    ],
)
def test_a_signature_needs_a_name_and_a_choice_of_outputs(two_inputs: str, options: Any, sentence: str) -> None:
    with pytest.raises(ConsumerError, match=sentence):
        ReusableLayer(two_inputs, **options)


def test_a_layer_of_a_signature_is_saved_and_loaded(exported: str, tmp_path: Path) -> None:
    layer = ReusableLayer(exported, signature="serving_default", output_key="output_0")
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(1)])
    model.save(tmp_path / "model.keras")
    again: Any = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


def test_a_module_in_tf1_hub_format_serves_for_inference_as_in_hubs_own_layer(tf1_module: str) -> None:
    layer = ReusableLayer(tf1_module)
    np.testing.assert_allclose(layer(X), X @ KERNEL, rtol=1e-6)
    np.testing.assert_array_equal(layer(X), hub.KerasLayer(tf1_module)(X))
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layer(inputs))
    np.testing.assert_allclose(model.predict(X, verbose=0), X @ KERNEL, rtol=1e-6)
    as_dict = ReusableLayer(tf1_module, signature_outputs_as_dict=True)
    assert set(as_dict(X)) == {"default"}


def test_a_module_in_tf1_hub_format_cannot_be_fine_tuned(tf1_module: str) -> None:
    with pytest.raises(ConsumerError, match=r"Received: True; only a Reusable SavedModel .* module in TF1 Hub format"):
        ReusableLayer(tf1_module, trainable=True)
    with pytest.raises(ConsumerError, match="TF1 Hub format"):
        ReusableLayer(tf1_module).trainable = True


def test_a_saved_model_of_tf1_without_hubs_file_needs_its_signature(tf1_module: str, tmp_path: Path) -> None:
    builder = tf.compat.v1.saved_model.builder.SavedModelBuilder(str(tmp_path / "model"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        inputs = tf.compat.v1.placeholder(tf.float32, [None, 3])
        info = tf.compat.v1.saved_model.build_tensor_info
        signature = tf.compat.v1.saved_model.build_signature_def({"x": info(inputs)}, {"y": info(2.0 * inputs)}, "f")
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map={"serving_default": signature})
    builder.save()
    with pytest.raises(NotReusableError, match="Received: an object with the signatures serving_default"):
        ReusableLayer(str(tmp_path / "model"))
    layer = ReusableLayer(str(tmp_path / "model"), signature="serving_default", output_key="y")
    np.testing.assert_array_equal(layer(X), 2 * X)
