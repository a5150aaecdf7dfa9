"""The cases of TensorFlow Hub's own tests of `hub.KerasLayer`, asked of `ReusableLayer` in Keras 3.

Each test names the case of tensorflow/hub, tensorflow_hub/keras_layer_test.py; the models and the words are ours.
`docs/consume.md` has the table of the cases, and what differs by design.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from piecehub.consume.layer import ReusableLayer
from piecehub.errors import ConsumerError

RATE = 0.25  # of the L2 regularization
WAYS = ("by hand", "from Keras")


def _saved(root: Any, folder: Path) -> str:
    tf.saved_model.save(root, str(folder))
    return str(folder)


def _hand_made(call: Callable[..., Any], *specs: tf.TensorSpec, **lists: Any) -> Any:
    """An object as the guide writes it: a checkpoint with a traced `__call__` and lists."""
    root: Any = tf.train.Checkpoint()
    root.__call__ = tf.function(call, input_signature=specs or None)
    for name, values in lists.items():
        setattr(root, name, values)
    return root


def _save_line(folder: Path, way: str) -> str:
    """y = 3 x + 2, where only the 3 can be trained, and is regularized."""
    inputs = tf_keras.Input((1,))
    ones, threes, twos = ("ones", tf_keras.initializers.Constant(3.0), tf_keras.initializers.Constant(2.0))
    times = tf_keras.layers.Dense(1, use_bias=False, kernel_initializer=threes, kernel_regularizer=tf_keras.regularizers.L2(RATE))  # fmt: skip  # noqa: E501
    plus = tf_keras.layers.Dense(1, kernel_initializer=ones, bias_initializer=twos, trainable=False)
    model = tf_keras.Model(inputs, plus(times(inputs)))
    if way == "from Keras":
        return _saved(model, folder)
    losses = [tf.function(lambda: model.losses[0], input_signature=[])]
    lists = {"variables": model.weights, "trainable_variables": [times.kernel], "regularization_losses": losses}
    return _saved(_hand_made(lambda x: model(x, training=False), tf.TensorSpec([None, 1]), **lists), folder)


def _save_normalization(folder: Path, way: str) -> str:
    inputs = tf_keras.Input((1,))
    layer = tf_keras.layers.BatchNormalization(momentum=0.5)
    model = tf_keras.Model(inputs, layer(inputs))
    if way == "from Keras":
        return _saved(model, folder)
    root = _hand_made(lambda x, training=False: model(x, training=training))
    for training in (True, False):
        root.__call__.get_concrete_function(tf.TensorSpec([None, 1]), training=training)
    root.variables, root.trainable_variables, root.regularization_losses = model.weights, [layer.gamma, layer.beta], []
    return _saved(root, folder)


def _save_text_length(folder: Path, way: str) -> str:
    """Texts `[…, 1]` to their lengths times (2, 4)."""
    inputs = tf_keras.Input((1,), dtype="string")
    kernel = {"kernel_initializer": tf_keras.initializers.Constant([[2.0, 4.0]]), "kernel_regularizer": "l2"}
    times = tf_keras.layers.Dense(2, use_bias=False, **kernel)
    lengths = tf_keras.layers.Lambda(lambda texts: tf.cast(tf.strings.length(texts), tf.float32))
    model = tf_keras.Model(inputs, times(lengths(inputs)))
    if way == "from Keras":
        return _saved(model, folder)
    losses = [tf.function(lambda: model.losses[0], input_signature=[])]
    lists = {"variables": model.weights, "trainable_variables": model.weights, "regularization_losses": losses}
    return _saved(_hand_made(model, tf.TensorSpec([None, 1], tf.string), **lists), folder)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path, str], str], str], str]:
    """Saves a model once for all tests."""
    made: dict[Any, str] = {}

    def path(save: Callable[[Path, str], str], way: str) -> str:
        if (save, way) not in made:
            made[save, way] = save(tmp_path_factory.mktemp("case") / "model", way)
        return made[save, way]

    return path


@pytest.fixture(scope="module")
def successor(tmp_path_factory: pytest.TempPathFactory) -> str:
    """x + 1 of any shape, without any list; the signature `successor` is another function than `__call__`."""
    plus = tf.function(lambda x: x + 1.0, input_signature=[tf.TensorSpec(None)])
    root: Any = tf.train.Checkpoint()
    root.__call__ = plus
    return _saved(root, tmp_path_factory.mktemp("successor") / "model")


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> str:
    """a x + b with the arguments a = 1 and b = 0, which have no variables."""
    scalar = tf.TensorSpec([])
    root = _hand_made(lambda x, a=1.0, b=0.0: a * x + b, tf.TensorSpec([None, 1]), scalar, scalar)
    return _saved(root, tmp_path_factory.mktemp("linear") / "model")


def _again(layer: ReusableLayer) -> ReusableLayer:
    """Made anew from its config, as it comes out of a file."""
    return ReusableLayer.from_config(json.loads(json.dumps(layer.get_config())), safe_mode=False)


def _column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def _around(layer: Any) -> Any:
    inputs = keras.Input((1,))
    return keras.Model(inputs, layer(inputs))


# --- KerasTest --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_half_plus_one_retraining(saved: Any, way: str) -> None:
    """testHalfPlusOneRetraining: the kernel is trained, the other two weights are not."""
    model = _around(ReusableLayer(saved(_save_line, way), trainable=True))
    np.testing.assert_allclose(model(_column(0, 1, 5)), _column(2, 5, 17))
    np.testing.assert_allclose(model.losses, [RATE * 9.0])
    assert [v.shape for v in model.trainable_weights] == [(1, 1)]
    assert sorted(len(v.shape) for v in model.non_trainable_weights) == [1, 2]
    model.compile(keras.optimizers.SGD(0.005), "mse", run_eagerly=True)
    model.fit(_column(4, 5, 6), _column(4, 5, 6) * 2 + 2, batch_size=3, epochs=20, verbose=0)
    np.testing.assert_allclose(model(_column(0)), _column(2))  # the bias stays
    # The least of mean (5 w)² … around x = 5: w = (mean x * 2 x) / (mean x² + RATE)
    assert float(model(_column(1))[0, 0]) - 2 == pytest.approx(2 * (77 / 3) / (77 / 3 + RATE), rel=1e-2)


@pytest.mark.parametrize("way", WAYS)
def test_regularization_loss(saved: Any, way: str) -> None:
    """testRegularizationLoss: counted while the layer is trainable, whenever that is said."""
    layer = ReusableLayer(saved(_save_line, way))
    model = _around(layer)
    for trainable in (False, True, False, True):
        layer.trainable = trainable
        assert float(sum(model.losses)) == pytest.approx(RATE * 9.0 * trainable)


@pytest.mark.parametrize("way", WAYS)
def test_batch_norm_retraining(saved: Any, way: str) -> None:
    """testBatchNormRetraining: statistics follow the batches in training, and rest in inference."""
    model = _around(ReusableLayer(saved(_save_normalization, way), trainable=True))
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    x = _column(7, 8, 9)
    model.fit(x, 3 * x, batch_size=3, epochs=60, verbose=0)
    by_name = {v.name.rpartition("_")[2]: v for v in model.weights}
    for _ in range(3):
        np.testing.assert_allclose(by_name["mean"], [8.0], rtol=1e-3)
        np.testing.assert_allclose(by_name["beta"], [24.0], rtol=1e-3)
        np.testing.assert_allclose(model(_column(2, 8, 20)), _column(6, 24, 60), rtol=2e-2)


@pytest.mark.parametrize("way", WAYS)
def test_batch_norm_freezing(saved: Any, way: str) -> None:
    """testBatchNormFreezing: nothing of a frozen layer moves while the head is trained."""
    layer = ReusableLayer(saved(_save_normalization, way))
    before = [v.numpy() for v in layer.weights]
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(layer(inputs)))
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    model.fit(_column(1, 2, 3), 2 * _column(1, 2, 3), batch_size=3, epochs=20, verbose=0)
    assert len(before) == 4
    for old, variable in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, variable)
    np.testing.assert_allclose(model(_column(1, 2, 3)), 2 * _column(1, 2, 3), rtol=1e-2)


@pytest.mark.parametrize("way", WAYS)
def test_custom_attributes(tmp_path: Path, way: str) -> None:
    """testCustomAttributes: an asset and a variable beside the function are found on the loaded object."""
    parse: Any = lambda texts: tf.strings.to_number(texts, tf.int64)  # noqa: E731
    if way == "by hand":
        root = _hand_made(parse, tf.TensorSpec([None, 1], tf.string))
    else:
        inputs = tf_keras.Input((1,), dtype="string")
        root = tf_keras.Model(inputs, tf_keras.layers.Lambda(parse)(inputs))
    source = tmp_path / "example.txt"
    source.write_text("678")
    root.example, root.answer = tf.saved_model.Asset(str(source)), tf.Variable([[678]], dtype=tf.int64)
    layer = ReusableLayer(_saved(root, tmp_path / "model"))
    source.unlink()
    loaded = layer.resolved_object
    text = Path(loaded.example.asset_path.numpy().decode()).read_text()
    assert layer([[text]]).numpy().tolist() == loaded.answer.numpy().tolist() == [[678]]


@pytest.mark.parametrize("shapes", [None, {"both": (2,), "least": (1,)}], ids=["no shapes", "shapes"])
def test_input_output_dict(tmp_path: Path, shapes: Any) -> None:
    """testInputOutputDict: dicts in and out, chosen by an argument that is no tensor; `output_shape` of a dict."""

    def call(pair: Any, as_dict: bool = False) -> Any:
        both = tf.concat([pair["a"], pair["b"]], axis=-1)
        return {"both": both, "least": tf.minimum(pair["a"], pair["b"])} if as_dict else both

    root = _hand_made(call)
    for as_dict in (False, True):
        specs = {"a": tf.TensorSpec([None, 1]), "b": tf.TensorSpec([None, 1])}
        root.__call__.get_concrete_function(specs, as_dict=as_dict)
    layer = ReusableLayer(_saved(root, tmp_path / "model"), arguments={"as_dict": True}, output_shape=shapes)
    inputs = {"a": keras.Input((1,), name="a"), "b": keras.Input((1,), name="b")}
    outputs = layer(inputs)
    model = keras.Model(inputs, [outputs["least"], keras.layers.Concatenate()([outputs["least"], outputs["both"]])])
    least, joined = model({"a": _column(1, 5), "b": _column(4, 2)})
    np.testing.assert_array_equal(least, [[1], [2]])
    np.testing.assert_array_equal(joined, [[1, 1, 4], [2, 5, 2]])
    assert _again(layer).get_config() == layer.get_config()


@pytest.mark.parametrize("shapes", [None, [[1], [2, 2]]], ids=["no shapes", "shapes"])
def test_output_shape_list(tmp_path: Path, shapes: Any) -> None:
    """testOutputShapeList: shapes that the graph hides can be told, for each output of a list."""

    def call(x: Any) -> Any:
        hidden = [tf.cast(tf.random.uniform([1 + rank], 1.6, 1.9), tf.int32) for rank in (1, 2)]  # ones, that none sees
        rows = tf.shape(x)[0]
        sizes = [tf.concat([[rows], size[1:] * rank], 0) for rank, size in zip((1, 2), hidden, strict=True)]
        return [tf.broadcast_to(x, sizes[0]), tf.broadcast_to(x[:, :, None], sizes[1])]

    root = _hand_made(call, tf.TensorSpec([None, 1]))
    layer = ReusableLayer(_saved(root, tmp_path / "model"), output_shape=shapes)
    model = _around(layer)
    assert [output.shape for output in model.outputs] == ([(None, 1), (None, 2, 2)] if shapes else [(None, None), (None, None, None)])  # fmt: skip  # noqa: E501
    for output, wanted in zip(model(_column(1, 7)), ([[1], [7]], [[[1] * 2] * 2, [[7] * 2] * 2]), strict=True):
        np.testing.assert_array_equal(output, wanted)
    assert _again(layer).get_config() == layer.get_config()
    if shapes:
        with pytest.raises(ConsumerError, match="Expected `output_shape` with a shape for each output"):
            ReusableLayer(layer.get_config()["handle"], output_shape=[[1]])(_column(1))


@pytest.mark.parametrize("way", WAYS)
def test_compute_output_shape(saved: Any, way: str) -> None:
    """testComputeOutputShape."""
    layer = ReusableLayer(saved(_save_line, way))
    assert layer.compute_output_shape((6, 1)) == (6, 1)
    assert layer.get_config()["handle"] == saved(_save_line, way)


@pytest.mark.parametrize("way", WAYS)
def test_compute_output_shape_different_dtypes(saved: Any, way: str) -> None:
    """testComputeOutputShapeDifferentDtypes: texts in, floats out."""
    for shape in (None, (2,)):
        layer = ReusableLayer(saved(_save_text_length, way), output_shape=shape)
        assert layer.compute_output_shape((None, 1)) == (None, 2) and layer.compute_output_shape((5, 1)) == (5, 2)


@pytest.mark.parametrize("way", WAYS)
def test_resave_with_mixed_precision(saved: Any, way: str, tmp_path: Path) -> None:
    """testResaveWithMixedPrecision: a float32 piece is trained and saved again under `mixed_float16`."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        inputs = keras.Input((1,), dtype="string")
        model = keras.Model(inputs, ReusableLayer(saved(_save_text_length, way), trainable=True)(inputs))
        model.compile(keras.optimizers.SGD(0.001), "mse", run_eagerly=True)
        batches = tf.data.Dataset.from_tensors((tf.constant([["a"], ["bb"]]), tf.ones([2, 2])))
        model.fit(batches, verbose=0)
        model.export(str(tmp_path / "model"), verbose=False)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    served = ReusableLayer(tmp_path / "model", signature="serving_default", output_key="output_0")
    np.testing.assert_allclose(served([["abc"]]), model(tf.constant([["abc"]])), rtol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_get_config_from_config(saved: Any, way: str) -> None:
    """testGetConfigFromConfig."""
    layer = ReusableLayer(saved(_save_line, way))
    np.testing.assert_array_equal(_again(layer)(_column(4)), _column(14))


def test_get_config_from_config_with_hparams(linear: str) -> None:
    """testGetConfigFromConfigWithHParams: one argument is told, the other keeps its default."""
    layer = ReusableLayer(linear, arguments={"a": 5.0})
    for one in (layer, _again(layer)):
        np.testing.assert_array_equal(one(_column(1, 2)), _column(5, 10))


@pytest.mark.parametrize("way", WAYS)
def test_save_model_config(saved: Any, way: str) -> None:
    """testSaveModelConfig: a model around the layer is made anew from its JSON, in unsafe mode as all of Keras 3."""
    model = keras.Sequential([ReusableLayer(saved(_save_line, way))])
    np.testing.assert_array_equal(model(_column(1)), _column(5))
    with keras.src.saving.serialization_lib.SafeModeScope(safe_mode=False):
        again: Any = keras.models.model_from_json(model.to_json())
    np.testing.assert_array_equal(again(_column(1)), _column(5))


# --- KerasLayerTest ---------------------------------------------------------------------------------------------------

CHOICES = [{}, {"signature": "serving_default", "signature_outputs_as_dict": True},
           {"signature": "serving_default", "output_key": "output_0"}]  # fmt: skip


def test_load_with_defaults(successor: str) -> None:
    """test_load_with_defaults: a Python number will do."""
    assert float(ReusableLayer(successor)(41.0)) == 42.0


@pytest.mark.parametrize("choice", CHOICES, ids=["call", "all outputs", "one output"])
def test_load_callable_saved_model_v2_with_signature(successor: str, choice: Any) -> None:
    """test_load_callable_saved_model_v2_with_signature."""
    output = ReusableLayer(successor, **choice)(41.0)
    if "signature_outputs_as_dict" in choice:
        assert set(output) == {"output_0"}
        output = output["output_0"]
    assert float(output) == 42.0


def test_load_callable_keras_default_saved_model_v2_with_signature(tmp_path: Path) -> None:
    """test_load_callable_keras_default_saved_model_v2_with_signature: the signature, not the other `__call__`."""
    root = _hand_made(lambda x, training=False: -x, tf.TensorSpec(None), tf.TensorSpec([], tf.bool))
    root.successor = tf.function(lambda x: x + 1.0, input_signature=[tf.TensorSpec(None)])
    tf.saved_model.save(root, str(tmp_path), signatures={"successor": root.successor})
    layer = ReusableLayer(tmp_path, signature="successor", signature_outputs_as_dict=True)
    assert float(layer(41.0)["output_0"]) == 42.0


@pytest.mark.parametrize("choice", CHOICES, ids=["call", "all outputs", "one output"])
def test_keras_layer_get_config(successor: str, choice: Any) -> None:
    """test_keras_layer_get_config."""
    layer = ReusableLayer(successor, **choice)
    assert _again(layer)(1.0) == layer(1.0) and _again(layer).get_config() == layer.get_config()


def test_keras_layer_fails_if_signature_output_not_specified(successor: str) -> None:
    """test_keras_layer_fails_if_signature_output_not_specified."""
    with pytest.raises(ValueError, match="Expected either `output_key` or `signature_outputs_as_dict=True`"):
        ReusableLayer(successor, signature="serving_default")


def test_keras_layer_fails_if_with_outputs_as_dict_but_no_signature(successor: str) -> None:
    """test_keras_layer_fails_if_with_outputs_as_dict_but_no_signature."""
    with pytest.raises(ValueError, match="Expected a `signature` beside `signature_outputs_as_dict=True`"):
        ReusableLayer(successor, signature_outputs_as_dict=True)


def test_keras_layer_fails_if_saved_model_v2_with_tags(successor: str) -> None:
    """test_keras_layer_fails_if_saved_model_v2_with_tags."""
    with pytest.raises(ValueError, match=r"Expected a handle without `tags`\. Received: tags=\['train'\]"):
        ReusableLayer(successor, tags=["train"])


def test_keras_layer_fails_if_setting_both_output_key_and_as_dict(successor: str) -> None:
    """test_keras_layer_fails_if_setting_both_output_key_and_as_dict."""
    with pytest.raises(ValueError, match="Received: both"):
        ReusableLayer(successor, signature="serving_default", signature_outputs_as_dict=True, output_key="output_0")


def test_keras_layer_fails_if_output_is_not_dict(successor: str) -> None:
    """test_keras_layer_fails_if_output_is_not_dict."""
    layer = ReusableLayer(successor, output_key="output_0")
    with pytest.raises(ValueError, match="Received: outputs without names"):
        layer(1.0)


def test_keras_layer_fails_if_signature_trainable(successor: str) -> None:
    """test_keras_layer_fails_if_signature_trainable: when it is made, or `trainable` is set, not when it is called."""
    choice: Any = {"signature": "serving_default", "signature_outputs_as_dict": True}
    with pytest.raises(ValueError, match="Expected trainable=False for the signature"):
        ReusableLayer(successor, trainable=True, **choice)
    layer = ReusableLayer(successor, **choice)
    with pytest.raises(ValueError, match="Expected trainable=False for the signature"):
        layer.trainable = True


def test_keras_layer_logs_if_training_zero_variables(linear: str) -> None:
    """test_keras_layer_logs_if_training_zero_variables: differs by design, an error that cannot be overlooked."""
    with pytest.raises(ConsumerError, match=r"Expected trainable variables, .*Received: none"):
        ReusableLayer(linear, trainable=True)
    layer = ReusableLayer(linear)
    layer.trainable = True  # as a model around it may say: nothing to train, and no harm
    np.testing.assert_array_equal(layer(_column(10)), _column(10))
