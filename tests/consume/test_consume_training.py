"""Fine-tuning through the layer against the original Keras model, step by step."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from piecehub.consume.layer import ReusableLayer
from piecehub.exporting import reusable

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
IMAGES = RNG.random((64, 8, 8, 3), dtype=np.float32)
LABELS = RNG.integers(0, 3, 64)


def _piece(dropout: float = 0.3) -> Any:
    """A network with all that may go wrong: BatchNorm, dropout, a nested model, regularizers."""
    keras.utils.set_random_seed(1)
    inner_inputs = keras.Input((6, 6, 4))
    inner = keras.Model(inner_inputs, keras.layers.BatchNormalization()(keras.layers.Activation("silu")(inner_inputs)))
    images = keras.Input((8, 8, 3))
    x = inner(keras.layers.Conv2D(4, 3, kernel_regularizer=keras.regularizers.L2(1e-2))(images))
    x = keras.layers.Dropout(dropout, seed=3)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, keras.layers.Dense(5, kernel_regularizer=keras.regularizers.L1(1e-3))(x))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("piece") / "model"
    reusable.export(_piece(), folder)
    return str(folder)


def _with_head(body: Any) -> Any:
    images = keras.Input((8, 8, 3))
    head = keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=5))
    return keras.Model(images, head(body(images)))


def _curve(model: Any, optimizer: Any, **options: Any) -> list[float]:
    """The loss of each of 16 steps."""
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), **options)
    losses: list[float] = []
    for _ in range(2):
        for start in range(0, 64, 8):
            losses.append(float(model.train_on_batch(IMAGES[start : start + 8], LABELS[start : start + 8])))
            model.reset_metrics()
    return losses


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adamw with decay, EMA and clipping": lambda: keras.optimizers.AdamW(
        0.01, weight_decay=0.01, use_ema=True, global_clipnorm=1.0
    ),
    "accumulated gradients": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_loss_curve_is_that_of_the_original(folder: str, name: str) -> None:
    original, tuned = _with_head(_piece()), _with_head(ReusableLayer(folder, trainable=True))
    expected, found = _curve(original, OPTIMIZERS[name]()), _curve(tuned, OPTIMIZERS[name]())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(set(expected)) == 16 and expected[-1] < expected[0]
    np.testing.assert_allclose(tuned.predict(IMAGES, verbose=0), original.predict(IMAGES, verbose=0), atol=1e-4)
    means = [[v.numpy() for v in m.weights if "moving_mean" in v.path] for m in (original, tuned)]
    np.testing.assert_allclose(means[1], means[0], atol=1e-5)


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": True}], ids=str)
def test_other_ways_to_run_a_step_give_the_same_curve(tmp_path: Path, options: Any) -> None:
    def piece() -> Any:
        inputs = keras.Input((8, 8, 3))
        kernel = {"kernel_initializer": keras.initializers.GlorotUniform(seed=2), "kernel_regularizer": "l2"}
        x = keras.layers.Dense(4, "relu", **kernel)(keras.layers.Flatten()(inputs))
        return keras.Model(inputs, keras.layers.BatchNormalization()(x))

    reusable.export(piece(), tmp_path / "model")
    layer = ReusableLayer(str(tmp_path / "model"), trainable=True)
    assert layer.supports_jit
    expected = _curve(_with_head(piece()), keras.optimizers.SGD(0.05))
    model = _with_head(layer)
    np.testing.assert_allclose(_curve(model, keras.optimizers.SGD(0.05), **options), expected, atol=1e-5)
    assert model.jit_compile is options.get("jit_compile", False)


def test_a_frozen_layer_keeps_its_weights_and_runs_in_inference_mode(folder: str) -> None:
    layer = ReusableLayer(folder)
    before = [v.numpy() for v in layer.weights]
    losses = _curve(_with_head(layer), OPTIMIZERS["momentum"]())
    for value, variable in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(value, variable)
    original = _piece(dropout=0.0)  # Keras' own frozen layers run dropout
    original.trainable = False
    again = _curve(_with_head(original), OPTIMIZERS["momentum"]())
    np.testing.assert_allclose(losses, again, atol=1e-5)


def test_hubs_own_layer_takes_the_same_steps(folder: str) -> None:
    layer = hub.KerasLayer(folder, trainable=True)
    head = tf_keras.layers.Dense(3, kernel_initializer=tf_keras.initializers.Zeros())
    old: Any = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), layer, head])
    old.compile(tf_keras.optimizers.SGD(0.05), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = keras.Input((8, 8, 3))
    logits = keras.layers.Dense(3, kernel_initializer="zeros")(ReusableLayer(folder, trainable=True)(images))
    new = keras.Model(images, logits)
    expected = []
    for _ in range(2):
        for start in range(0, 64, 8):
            expected.append(
                old.train_on_batch(IMAGES[start : start + 8], LABELS[start : start + 8], reset_metrics=True)
            )
    np.testing.assert_allclose(_curve(new, keras.optimizers.SGD(0.05)), expected, atol=1e-4)


def test_xla_is_used_only_where_the_manifest_declares_it(folder: str, tmp_path: Path) -> None:
    assert ReusableLayer(hub.load(folder)).supports_jit is False
    for declared in (True, False):
        copy = shutil.copytree(folder, tmp_path / str(declared))
        manifest = copy / "assets.extra" / "piecehub.json"
        manifest.parent.mkdir(exist_ok=True)
        facts = json.loads(manifest.read_text()) if manifest.exists() else {}
        manifest.write_text(json.dumps(facts | {"supports_jit": declared}))
        layer = ReusableLayer(str(copy))
        assert layer.supports_jit is declared
        model = _with_head(layer)
        if declared:
            model.compile("sgd", "mse", jit_compile=True)
            assert model.jit_compile is True
        else:
            with pytest.warns(UserWarning, match="Model doesn't support `jit_compile=True`"):
                model.compile("sgd", "mse", jit_compile=True)
            assert model.jit_compile is False


def test_several_steps_per_execution_and_fit_agree(folder: str) -> None:
    histories = []
    for steps in (1, 4):
        model = _with_head(ReusableLayer(folder, trainable=True))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.05), loss, steps_per_execution=steps)
        histories.append(model.fit(IMAGES, LABELS, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(*histories, atol=1e-5)


# Two replicas on one processor. TensorFlow takes the logical devices only before it starts, so in a process of its own.
STRATEGY = """
import json, sys
from pathlib import Path
import numpy as np, tensorflow as tf, keras
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
from piecehub.consume.layer import ReusableLayer
from piecehub.exporting import reusable

rng = np.random.default_rng(0)
images, labels = rng.random((64, 8, 8, 3), dtype=np.float32), rng.integers(0, 3, 64)

def piece():
    keras.utils.set_random_seed(1)
    inputs = x = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, kernel_regularizer=keras.regularizers.L2(1e-2))(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.3, seed=3)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, keras.layers.Dense(5)(x))

def run(make):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        inputs = keras.Input((8, 8, 3))
        head = keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=5))
        body = make()
        model = keras.Model(inputs, head(body(inputs)))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
    losses = model.fit(images, labels, batch_size=16, epochs=3, shuffle=False, verbose=0).history["loss"]
    means = [v.numpy().tolist() for v in model.weights if "moving_mean" in v.path]
    trainable = model.trainable_weights
    return {"losses": losses, "means": means, "replicas": strategy.num_replicas_in_sync, "trainable": len(trainable),
            "penalties": sum(v.regularizer is not None for v in trainable)}

reusable.export(piece(), Path(sys.argv[1]))
print(json.dumps([run(piece), run(lambda: ReusableLayer(sys.argv[1], trainable=True))]))
"""


def test_two_replicas_train_as_those_of_the_original(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-P", "-c", STRATEGY, str(tmp_path / "model")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    original, tuned = json.loads(done.stdout.splitlines()[-1])
    assert tuned["replicas"] == 2 and tuned["trainable"] == original["trainable"] and tuned["penalties"] == 1
    np.testing.assert_allclose(tuned["losses"], original["losses"], atol=1e-4)
    np.testing.assert_allclose(tuned["means"], original["means"], atol=1e-4)
    assert tuned["losses"][-1] < tuned["losses"][0]


def test_stateless_calls_hear_of_new_state(folder: str) -> None:
    layer = ReusableLayer(folder, trainable=True)
    trainable, state = list(layer.trainable_variables), list(layer.non_trainable_variables)
    outputs, new = layer.stateless_call(
        [tf.identity(v.value) for v in trainable], [tf.identity(v.value) for v in state], IMAGES[:8], training=True
    )[:2]
    assert outputs.shape == (8, 5)
    assert any(not np.allclose(0.0, value) for v, value in zip(state, new, strict=True) if "moving_mean" in v.path)
