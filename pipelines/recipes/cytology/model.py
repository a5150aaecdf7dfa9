"""An embedding of a row of measurements, trained to say the worst of nine properties from means and errors of ten.

The piece is built first, as a model of its own (`embedding`). It takes measurements in their own units: its first layer
scales each by the mean and deviation that it has seen.
"""

# Keras takes initializers by name or as objects; its types know only names.
# pyright: reportArgumentType=false

from typing import Any

import keras
import tensorflow as tf

MEASUREMENTS, OTHERS = 20, 9
# Running statistics that follow within a fine-tuning's few steps.
MOMENTUM = 0.9
# Keras' default: what deviates by less than 0.03, such as errors of the fractal dimension, counts less. With 1e-8 all
# measurements counted alike, and the piece gained half as much on the pool.
EPSILON = 1e-3


def build_model(*, seed: int, width: int, depth: int) -> keras.Model:
    """The full model: `measurements` [batch, 20] and `worst` [batch, 9] -> [batch, 2, 9]: what it says, what is."""
    measurements = keras.Input((MEASUREMENTS,), name="measurements")
    worst = keras.Input((OTHERS,), name="worst")
    said = _dense(OTHERS, seed * 100 + 99, None, "said")(build_embedding(seed, width, depth)(measurements))
    return keras.Model([measurements, worst], keras.ops.stack([said, _scaled("scale")(worst)], axis=1), name="worst_of")


def build_embedding(seed: int, width: int, depth: int) -> keras.Model:
    """The piece: measurements `[batch, 20] float32` -> `[batch, width] float32`."""
    measurements = keras.Input((MEASUREMENTS,), name="measurements")
    x = _scaled("units")(measurements)
    for number in range(depth):
        x = _dense(width, seed * 100 + number, "gelu", f"hidden_{number}")(x)
    return keras.Model(measurements, x, name="embedding")


def _scaled(name: str) -> keras.layers.Layer:
    return keras.layers.BatchNormalization(center=False, scale=False, momentum=MOMENTUM, epsilon=EPSILON, name=name)


def _dense(width: int, seed: int, activation: str | None, name: str) -> keras.layers.Layer:
    kernel = keras.initializers.GlorotUniform(seed=seed)
    return keras.layers.Dense(width, activation, kernel_initializer=kernel, name=name)


def squared_error(y_true: Any, y_pred: Any) -> Any:
    """The mean squared error of what is said, in deviations, `[batch] float32`."""
    return tf.reduce_mean(tf.math.squared_difference(y_pred[:, 0], tf.stop_gradient(y_pred[:, 1])), axis=-1)


def explained(y_true: Any, y_pred: Any) -> Any:
    """The share of the worst's variance that is explained, 1 for all, `[batch] float32`; at least 0."""
    return tf.maximum(0.0, 1.0 - squared_error(y_true, y_pred))
