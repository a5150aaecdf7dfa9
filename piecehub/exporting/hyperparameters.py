"""Hyperparameters that a consumer may adjust: optional scalars of `__call__`, laid into the layers while tracing.

TensorFlow Hub's own models document such arguments, as `hub.KerasLayer(…, arguments={"batch_norm_momentum": 0.997})`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from piecehub.errors import NotReusableError
from piecehub.exporting.swapped import swapped

_ATTRIBUTES = {"dropout_rate": "rate", "batch_norm_momentum": "momentum"}


def dropouts(framework: Any, layers: Sequence[Any]) -> list[Any]:
    """The dropout layers that drop anything; `framework` is `keras` or `tf_keras`."""
    return [layer for layer in layers if isinstance(layer, framework.layers.Dropout) and layer.rate > 0]


def batch_normalizations(framework: Any, layers: Sequence[Any]) -> list[Any]:
    """The batch normalizations; `framework` is `keras` or `tf_keras`."""
    return [layer for layer in layers if isinstance(layer, framework.layers.BatchNormalization)]


_LAYERS = {"dropout_rate": dropouts, "batch_norm_momentum": batch_normalizations}


def present(framework: Any, layers: Sequence[Any], names: Sequence[str]) -> tuple[str, ...]:
    """Those of the hyperparameters `names` that some layer has."""
    return tuple(name for name in names if _LAYERS[name](framework, layers))


def defaults(framework: Any, layers: Sequence[Any], names: Sequence[str]) -> dict[str, float]:
    """The model's own value of each hyperparameter.

    Raises:
        NotReusableError: if no layer has it, or layers disagree.
    """
    return {name: _default(framework, layers, name) for name in names}


def _default(framework: Any, layers: Sequence[Any], name: str) -> float:
    values = {float(getattr(layer, _ATTRIBUTES[name])) for layer in _LAYERS[name](framework, layers)}
    if len(values) != 1:
        seen = ", ".join(map(str, sorted(values))) or "no such layer"
        raise NotReusableError(
            f"Expected one default of '{name}' in all layers. Received: {seen}; make them equal, or leave it out of "
            "the hyperparameters."
        )
    return values.pop()


@contextmanager
def routed(framework: Any, layers: Sequence[Any], values: Mapping[str, tf.Tensor]) -> Iterator[None]:
    """The layers of a model with these scalars in the place of their own values, while the block runs."""
    changes: list[tuple[object, str, Any]] = []
    for name, value in values.items():
        for layer in _LAYERS[name](framework, layers):
            if isinstance(layer, keras.layers.Dropout):
                # Its own `call` asks `rate > 0` in Python.
                changes.append((layer, "call", _dropout_call(layer, value)))
            else:
                changes.append((layer, _ATTRIBUTES[name], value))
    with swapped(changes):
        yield


def _dropout_call(layer: Any, rate: tf.Tensor) -> Callable[..., Any]:
    """`call` of a Keras 3 dropout layer with a rate that is a tensor."""

    def call(inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        spatial = hasattr(layer, "_get_noise_shape")
        noise_shape = layer._get_noise_shape(inputs) if spatial else layer.noise_shape
        return tf.nn.experimental.stateless_dropout(
            inputs,
            tf.cast(rate, inputs.dtype),
            # As keras/src/backend/tensorflow/random.py casts it: the default rate drops what Keras drops.
            seed=tf.cast(tf.math.floormod(layer.seed_generator.next(), tf.int32.max - 1), tf.int32),
            noise_shape=_concrete(noise_shape, tf.shape(inputs)),
        )

    return call


def _concrete(noise_shape: Sequence[Any] | None, shape: tf.Tensor) -> list[Any] | None:
    """`noise_shape` with the sizes of the inputs where it leaves them open."""
    if noise_shape is None:
        return None
    return [shape[axis] if size is None else size for axis, size in enumerate(noise_shape)]
