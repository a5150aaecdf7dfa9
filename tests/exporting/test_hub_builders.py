"""The models of TensorFlow Hub's own tests (keras_layer_test.py, module_v2_test.py), built here in our words.

Each is exported by `piecehub.export`, or by `piecehub.export_preprocessor` where it has no weights, as the refusal of
the first says, and read by the unmodified `hub.KerasLayer`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras
from tf_keras import initializers, layers, regularizers

from piecehub.errors import NotReusableError
from piecehub.exporting import reusable
from piecehub.exporting.export_options import ExportOptions

COLUMN = np.float32([[0], [8], [10]])
FLOATS = tf.TensorSpec([None, 1], tf.float32)
TEXTS = tf.TensorSpec([None, 1], tf.string)


@dataclass(frozen=True)
class Built:
    """A model of TensorFlow Hub's tests, what it is called with, and what it then gives.

    `tests` counts the tests of keras_layer_test.py that read it; `golden` are inputs to record, where words do not do.
    """

    build: Callable[[Path], Any]
    inputs: Any
    expected: Any
    tests: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    losses: tuple[float, ...] = ()
    trainable: int = 0
    frozen: Any = "refuse"
    golden: Any = None


def _object(call: Any, **members: Any) -> Any:
    obj: Any = tf.train.Checkpoint()
    obj.__call__ = call
    for name, value in members.items():
        setattr(obj, name, value)
    return obj


def _interface_of(model: Any, call: Any, trainable: list[Any]) -> Any:
    """A tf_keras model behind an object that has the interface."""
    losses = [tf.function(lambda: model.losses[0], input_signature=[])] if model.losses else []
    return _object(call, variables=model.weights, trainable_variables=trainable, regularization_losses=losses)


def _at_inference(model: Any, spec: tf.TensorSpec) -> Any:
    return tf.function(lambda inputs: model(inputs, training=False), input_signature=[spec])


def _half_plus_one(_: Path) -> Any:
    constant = initializers.Constant
    half = layers.Dense(1, use_bias=False, kernel_initializer=constant(0.5), kernel_regularizer=regularizers.l2(0.01))
    plus_one = layers.Dense(1, kernel_initializer=constant(1), bias_initializer=constant(1), trainable=False)
    return tf_keras.Sequential([layers.Input((1,)), half, plus_one])


def _half_plus_one_object(folder: Path) -> Any:
    model = _half_plus_one(folder)
    return _interface_of(model, _at_inference(model, FLOATS), [model.layers[0].kernel])


class _Length(layers.Layer):
    """The lengths of texts, as floats."""

    def call(self, inputs: Any) -> Any:
        return tf.cast(tf.strings.length(inputs), tf.float32)


def _text_lengths(_: Path) -> Any:
    weights = initializers.Constant([0.1, 0.3])
    times = layers.Dense(2, use_bias=False, kernel_initializer=weights, kernel_regularizer=regularizers.l2(0.01))
    return tf_keras.Sequential([layers.Input((1,), dtype=tf.string), _Length(), times])


def _text_lengths_object(folder: Path) -> Any:
    model = _text_lengths(folder)
    return _interface_of(model, _at_inference(model, TEXTS), model.trainable_weights)


def _normalization(_: Path) -> Any:
    return tf_keras.Sequential([layers.Input((1,)), layers.BatchNormalization(momentum=0.8)])


def _normalization_object(folder: Path) -> Any:
    model = _normalization(folder)
    call = tf.function(lambda inputs, training=False: model(inputs, training=training))
    for training in (True, False):
        call.get_concrete_function(FLOATS, training=training)
    return _interface_of(model, call, model.trainable_weights)


def _hyperparameters(_: Path) -> Any:
    scalar = tf.TensorSpec([], tf.float32)
    return _object(tf.function(lambda x, a=1.0, b=0.0: a * x + b, input_signature=[FLOATS, scalar, scalar]))


def _parse(texts: Any) -> Any:
    return tf.strings.to_number(texts, tf.int64)


def _with_sample(model: Any, folder: Path) -> Any:
    (folder / "number.txt").write_text("12345\n")
    model.sample_input = tf.saved_model.Asset(str(folder / "number.txt"))
    model.sample_output = tf.Variable([[12345]], dtype=tf.int64)
    return model


def _attributes_object(folder: Path) -> Any:
    return _with_sample(_object(tf.function(_parse, input_signature=[TEXTS])), folder)


def _attributes(folder: Path) -> Any:
    return _with_sample(tf_keras.Sequential([layers.Input((1,), dtype=tf.string), layers.Lambda(_parse)]), folder)


def _dicts(_: Path) -> Any:
    @tf.function
    def call(pair: Any, return_dict: bool = False) -> Any:
        sums = tf.concat([pair["x"] + pair["y"], pair["x"] + 2 * pair["y"]], axis=-1)
        return {"sigma": sums, "delta": pair["x"] - pair["y"]} if return_dict else sums

    for return_dict in (False, True):
        call.get_concrete_function({"x": FLOATS, "y": FLOATS}, return_dict=return_dict)
    return _object(call)


def _hidden_shapes(_: Path) -> Any:
    def spread(x: Any, shape: Any) -> Any:
        noise = 0.1 * tf.sin(tf.random.uniform([], -3, 3)) + 0.3  # rounded away, but no shape is known before it runs
        return tf.broadcast_to(x, tf.cast(tf.cast(shape, tf.float32) + noise, tf.int32))

    @tf.function(input_signature=[FLOATS])
    def call(x: Any) -> Any:
        size = tf.shape(x)[0]
        one = [tf.reshape(rank * x, [size] + [1] * rank) for rank in (1, 2, 3)]
        return [spread(x, tf.concat([[size], [rank] * rank], 0)) for rank, x in enumerate(one, start=1)]

    return _object(call)


def _plus_one(_: Path) -> Any:
    return _object(tf.function(lambda x: x + 1, input_signature=[tf.TensorSpec(None, tf.float32)]))


def _training_as_a_tensor(_: Path) -> Any:
    specs = [tf.TensorSpec(None, tf.float32), tf.TensorSpec([], tf.bool)]

    @tf.function(input_signature=specs)
    def call(x: Any, training: Any = False) -> Any:
        return tf.cond(training, lambda: x + 1, lambda: x)

    return _object(call, plus_one=tf.function(lambda x: x + 1, input_signature=specs[:1]))


HALF = {"inputs": COLUMN, "expected": COLUMN / 2 + 1, "losses": (0.0025,), "trainable": 1}
LENGTHS = {
    "inputs": tf.constant([["a"], ["abc"]]),
    "expected": np.float32([[0.1, 0.3], [0.3, 0.9]]),
    "losses": (0.001,),
    "trainable": 1,
}
NORM = {"inputs": COLUMN, "expected": COLUMN / np.sqrt(1.001), "trainable": 2}
SAMPLE = {
    "inputs": tf.constant([["12345\n"]]),
    "expected": np.array([[12345]]),
    "golden": tf.constant([["1"], ["2"]]),
}
PAIR = {"x": COLUMN, "y": np.ones_like(COLUMN)}
BUILT = {
    "half plus one": Built(_half_plus_one_object, tests=5, **HALF),
    "half plus one, of Keras": Built(_half_plus_one, tests=5, frozen="keep", **HALF),
    "text lengths": Built(_text_lengths_object, tests=2, **LENGTHS),
    "text lengths, of Keras": Built(_text_lengths, tests=2, **LENGTHS),
    "batch normalization": Built(_normalization_object, tests=2, **NORM),
    "batch normalization, of Keras": Built(_normalization, tests=2, **NORM),
    "hyperparameters": Built(
        _hyperparameters, COLUMN, 10 * COLUMN, tests=2, arguments={"a": tf.constant(10.0), "b": tf.constant(0.0)}
    ),
    "attributes": Built(_attributes_object, tests=1, **SAMPLE),
    "attributes, of Keras": Built(_attributes, tests=1, **SAMPLE),
    "dicts": Built(
        _dicts,
        PAIR,
        {"sigma": np.concatenate([COLUMN + 1, COLUMN + 2], 1), "delta": COLUMN - 1},
        tests=2,
        arguments={"return_dict": True},
    ),
    "hidden shapes": Built(
        _hidden_shapes,
        COLUMN,
        [np.broadcast_to(rank * COLUMN.reshape(3, *[1] * rank), [3] + [rank] * rank) for rank in (1, 2, 3)],
        tests=2,
    ),
    "plus one": Built(_plus_one, COLUMN, COLUMN + 1, tests=13),
    "training as a tensor": Built(_training_as_a_tensor, COLUMN, COLUMN, tests=1),
}


def _export(built: Built, folder: Path) -> str:
    """Exports a model; what it is refused with, or nothing."""
    options = ExportOptions(frozen=built.frozen)
    model = built.build(folder)
    try:
        try:
            reusable.export(model, folder / "model", options, golden_inputs=built.golden)
        except NotReusableError as error:
            if "export_preprocessor" not in error.sentence:
                raise
            reusable.export_preprocessor(model, folder / "model", options, golden_inputs=built.golden)
    except NotReusableError as error:
        return error.sentence
    return ""


@pytest.mark.parametrize("name", BUILT)
def test_a_model_of_tensorflow_hubs_own_tests_is_exported_and_read_by_its_layer(name: str, tmp_path: Path) -> None:
    built = BUILT[name]
    assert _export(built, tmp_path) == ""
    layer: Any = hub.KerasLayer(str(tmp_path / "model"), trainable=built.trainable > 0, arguments=dict(built.arguments))
    found = layer(built.inputs)
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, built.expected)
    assert [float(loss) for loss in layer.losses] == pytest.approx(list(built.losses))
    assert len(layer.trainable_weights) == built.trainable


def test_the_models_are_those_of_all_40_tests_of_tensorflow_hubs_layer() -> None:
    assert sum(built.tests for built in BUILT.values()) == 40


def test_the_attributes_and_functions_of_hubs_models_come_along(tmp_path: Path) -> None:
    for name in ("attributes", "attributes, of Keras", "training as a tensor"):
        (tmp_path / name).mkdir()
        assert _export(BUILT[name], tmp_path / name) == ""
    for name in ("attributes", "attributes, of Keras"):
        (tmp_path / name / "number.txt").unlink()
        layer = hub.KerasLayer(str(tmp_path / name / "model"))
        root = layer.resolved_object
        assert [hasattr(root, attribute) for attribute in ("sample_input", "sample_output")] == [True, True]
        text = tf.io.read_file(root.sample_input.asset_path)
        np.testing.assert_array_equal(layer(tf.reshape(text, [1, 1])), root.sample_output)
    loaded: Any = hub.load(str(tmp_path / "training as a tensor" / "model"))
    assert hasattr(loaded, "plus_one") and float(loaded.plus_one(1.0)) == 2.0
