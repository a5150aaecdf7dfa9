import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import piecehub
from piecehub.consume.layer import ReusableLayer
from piecehub.errors import ConsumerError
from piecehub.exporting import reusable
from tests.exporting import low_level_pieces

X = np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 1.0]], np.float32)
ROOT = Path(__file__).parents[2]

# Keras finds the class only where its module was imported (`register_keras_serializable`).
LOAD = """
import sys
import keras, numpy as np
try:
    keras.models.load_model(sys.argv[1], safe_mode=False)
except TypeError as error:
    print("Could not locate class 'ReusableLayer'" in str(error))
import piecehub.consume.layer
from tests.exporting import low_level_pieces
model = keras.models.load_model(sys.argv[1], safe_mode=False)
print(model.predict(np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 1.0]], np.float32), verbose=0).tolist())
"""


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> str:
    return low_level_pieces.save_affine(tmp_path_factory.mktemp("affine") / "model")


def _model(handle: Any, **options: Any) -> Any:
    layer = ReusableLayer(handle, output_key="default", name="piece", **options)
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(layer(inputs)))


def _tuned(handle: str) -> Any:
    model = _model(handle, trainable=True, arguments={"scale": 0.5, "negate": True})
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(X, np.ones((2, 2)), epochs=3, verbose=0)
    return model


def test_a_config_makes_an_equal_layer(affine: str) -> None:
    layer = ReusableLayer(Path(affine), arguments={"scale": 2.0}, output_key="double", name="piece", trainable=True)
    config = json.loads(json.dumps(layer.get_config()))
    assert config["handle"] == affine and config["arguments"] == {"scale": 2.0} and config["trainable"] is True
    again = ReusableLayer.from_config(config, safe_mode=False)
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again(X), layer(X))


def test_the_weights_in_the_file_win_over_those_of_the_handle(affine: str, tmp_path: Path) -> None:
    model = _tuned(affine)
    assert not np.allclose(model.get_layer("piece").weights[0], ReusableLayer(affine).weights[0])
    model.save(tmp_path / "model.keras")
    again: Any = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    assert [v.path for v in again.trainable_variables] == [v.path for v in model.trainable_variables]
    for one, other in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    continued = [m.fit(X, np.ones((2, 2)), epochs=2, verbose=0).history["loss"] for m in (model, again)]
    assert continued[0] == pytest.approx(continued[1], abs=1e-6)


def test_safe_mode_refuses_the_handle_in_one_sentence(affine: str, tmp_path: Path) -> None:
    model = _model(affine)
    model.save(tmp_path / "model.keras")
    refusal = "Expected safe_mode=False, to load the SavedModel .* Received: safe mode; pass safe_mode=False"
    with pytest.raises(ConsumerError, match=refusal):
        keras.models.load_model(tmp_path / "model.keras")
    with pytest.raises(ConsumerError, match=refusal):  # as a legacy .h5 file does, which says nothing of safe mode
        ReusableLayer.from_config(dict(model.get_layer("piece").get_config()))
    with pytest.raises(ConsumerError, match=refusal):
        type(model).from_config(json.loads(json.dumps(model.get_config())))


def test_unsafe_deserialization_may_be_enabled_for_good(affine: str, tmp_path: Path) -> None:
    from keras.src.backend.common import global_state

    model = _tuned(affine)
    model.save(tmp_path / "model.keras")
    try:
        keras.config.enable_unsafe_deserialization()
        loaded: Any = keras.models.load_model(tmp_path / "model.keras")
    finally:
        global_state.set_global_attribute("safe_mode_saving", None)
    np.testing.assert_allclose(loaded.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-6)
    assert len(loaded.trainable_weights) == len(model.trainable_weights) == 4
    with pytest.raises(ValueError, match="safe_mode=False"):  # it is enabled no more
        keras.models.load_model(tmp_path / "model.keras")


def test_another_process_loads_the_file_once_the_layer_is_imported(affine: str, tmp_path: Path) -> None:
    model = _tuned(affine)
    model.save(tmp_path / "model.keras")
    command = [sys.executable, "-P", "-c", LOAD, str(tmp_path / "model.keras")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    missing, predictions = done.stdout.splitlines()
    assert missing == "True"
    np.testing.assert_allclose(json.loads(predictions), model.predict(X, verbose=0), atol=1e-6)


def test_the_file_names_the_handle_and_does_not_hold_the_savedmodel(affine: str, tmp_path: Path) -> None:
    handle = shutil.copytree(affine, tmp_path / "moved")
    _model(handle).save(tmp_path / "model.keras")
    assert sorted(zipfile.ZipFile(tmp_path / "model.keras").namelist()) == [
        "config.json", "metadata.json", "model.weights.h5"
    ]  # fmt: skip
    shutil.rmtree(handle)
    with pytest.raises(Exception, match=r"Expected a SavedModel at .*moved.*does not exist"):
        keras.models.load_model(tmp_path / "model.keras", safe_mode=False)


def test_a_layer_of_a_loaded_object_has_no_config_but_weights(affine: str, tmp_path: Path) -> None:
    model = _model(piecehub.load(affine), trainable=True)
    with pytest.raises(ConsumerError, match=r"Expected a URL or path as handle.* 'piece'. Received: an object"):
        model.save(tmp_path / "model.keras")
    model.get_layer("piece").weights[1].assign([7.0, 8.0])
    model.save_weights(tmp_path / "model.weights.h5")
    other = _model(affine)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))


def test_arguments_that_are_no_json_values_have_no_config(affine: str) -> None:
    layer = ReusableLayer(affine, arguments={"scale": tf.constant(2.0)}, output_key="default")
    assert layer(X).shape == (2, 2)
    with pytest.raises(ConsumerError, match=r"Expected JSON values as `arguments`.*not JSON serializable"):
        layer.get_config()


def test_a_clone_starts_from_the_handles_weights(affine: str) -> None:
    model = _tuned(affine)
    clone = keras.models.clone_model(model)
    fresh = ReusableLayer(affine)
    for one, other in zip(clone.get_layer("piece").weights, fresh.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X, verbose=0), model.predict(X, verbose=0))
    kernel = clone.get_layer("piece").weights[0]
    kernel.assign(kernel + 1.0)
    assert not np.allclose(kernel, model.get_layer("piece").weights[0])


def test_an_optimizer_and_checkpoints_find_the_variables(affine: str, tmp_path: Path) -> None:
    model = _tuned(affine)
    paths = [v.path for v in model.variables]
    assert len(set(paths)) == len(paths)
    assert model.get_state_tree()["trainable_variables"]["piece"].keys() == {"dense_kernel", "dense_bias"}
    prefix = tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint"))
    other = _model(affine, arguments={"scale": 0.5, "negate": True})
    tf.train.Checkpoint(model=other).restore(prefix).expect_partial()
    np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))


def test_keras_exports_a_model_around_a_piece(affine: str, tmp_path: Path) -> None:
    model = _tuned(affine)
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(loaded.serve(X), model.predict(X, verbose=0), atol=1e-6)


def test_our_exporter_makes_a_new_piece_of_a_model_around_a_piece(affine: str, tmp_path: Path) -> None:
    model = _tuned(affine)
    calls = model.get_layer("piece").weights[2].numpy()
    reusable.export(model, tmp_path / "exported")
    layer = ReusableLayer(str(tmp_path / "exported"), trainable=True)
    np.testing.assert_allclose(layer(X), model.predict(X, verbose=0), atol=1e-6)
    assert len(layer.trainable_weights) == 4
    layer(X, training=True)
    state = next(v for v in layer.weights if "calls" in v.name)
    assert float(state) == calls + 1  # Keras' stateless call would have put back the old value
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(X, training=True) ** 2)
    gradients: list[Any] = tape.gradient(loss, [v.value for v in layer.trainable_weights])
    assert all(gradient is not None and np.any(gradient) for gradient in gradients)
