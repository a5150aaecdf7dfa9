"""C14: models that the interface or TensorFlow has no place for are refused in one sentence that names the reason."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from piecehub.errors import NotReusableError
from piecehub.exporting import reusable

X = np.ones((3, 2), np.float32)


def _of_two(framework: Any) -> Any:
    class Two(framework.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = framework.layers.Dense(2)

        def call(self, one: Any, other: Any) -> Any:
            return self.dense(one) + other

    model = Two()
    model(X, X)
    return model


def _lambda(framework: Any, function: Any) -> Any:
    shape = {"output_shape": lambda shape: shape} if framework is keras else {}
    return framework.layers.Lambda(function, **shape)


def _table() -> Any:
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([1])), 0)


def _with_table(framework: Any) -> Any:
    table = _table()
    words = framework.layers.Input((), dtype="string")
    ids = _lambda(framework, table.lookup)(words)
    return framework.Model(words, framework.layers.Embedding(3, 2)(ids)), table


def _of_three_examples(framework: Any) -> Any:
    inputs = framework.layers.Input((2,), batch_size=3)
    hidden = framework.layers.Dense(4)(inputs)
    return framework.Model(inputs, _lambda(framework, lambda x: tf.reshape(x, (3, 4)))(hidden))


def _refusal(model: Any, folder: Path) -> str:
    """What comes of an export that is refused, or that a library's own error ends; empty of one that succeeds."""
    try:
        reusable.export(model, folder)
    except (NotReusableError, TypeError, ValueError, AssertionError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("framework", [keras, tf_keras])
@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (_of_two, "to require one positional argument. Received: 2; pass several tensors as one list or dict"),
        (lambda framework: _with_table(framework)[0], "Received: one that only a function holds"),
        (_of_three_examples, "to take any number of examples, as batches have. Received: a model for 3 at once"),
    ],
)
def test_c14_what_cannot_be_exported_is_refused_with_its_reason(
    framework: Any, build: Any, sentence: str, tmp_path: Path
) -> None:
    refused = _refusal(build(framework), tmp_path / "model")
    assert sentence in refused and "\n" not in refused
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("framework", [keras, tf_keras])
def test_c14_the_advice_about_a_table_helps(framework: Any, tmp_path: Path) -> None:
    model, table = _with_table(framework)
    model.table = table
    reusable.export(model, tmp_path / "model")
    loaded: Any = tf.saved_model.load(str(tmp_path / "model"))
    words = tf.constant(["a", "b"])
    np.testing.assert_allclose(loaded(words), model(words), atol=1e-6)


def _shape_of(loaded: Any, examples: int) -> Any:
    """The shape of what a loaded model gives for some examples; None if it takes another number of them only."""
    try:
        return tuple(loaded(np.ones((examples, 2), np.float32)).shape)
    except ValueError:
        return None


@pytest.mark.parametrize("framework", [keras, tf_keras])
def test_c14_a_batch_size_that_the_layers_do_not_need_is_left_open(framework: Any, tmp_path: Path) -> None:
    inputs = framework.layers.Input((2,), batch_size=3)
    reusable.export(framework.Model(inputs, framework.layers.Dense(4)(inputs)), tmp_path / "model")
    loaded: Any = tf.saved_model.load(str(tmp_path / "model"))
    assert [_shape_of(loaded, size) for size in (1, 5)] == [(1, 4), (5, 4)]


@pytest.mark.parametrize("framework", [keras, tf_keras])
def test_c14_a_model_of_float64_gives_float32_as_consumers_need_it(framework: Any, tmp_path: Path) -> None:
    layers = [framework.layers.Input((2,), dtype="float64"), framework.layers.Dense(2, dtype="float64")]
    model = framework.Sequential(layers)
    facts = reusable.export(model, tmp_path / "model")
    assert (facts.input["dtype"], facts.output["dtype"]) == ("float64", "float32")
    loaded: Any = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded(X.astype("f8")), model(X.astype("f8")), atol=1e-6)


def test_c14_what_fails_while_it_is_traced_is_named_in_one_sentence(tmp_path: Path) -> None:
    class Eager(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * float(keras.ops.sum(inputs))

        def compute_output_spec(self, inputs: Any) -> Any:
            return keras.KerasTensor(inputs.shape, inputs.dtype)

    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(Eager()(inputs)))
    refused = _refusal(model, tmp_path / "model")
    assert "to be traced for batches of any size. Received: " in refused
    assert "float" in refused and "\x1b" not in refused and "\n" not in refused
