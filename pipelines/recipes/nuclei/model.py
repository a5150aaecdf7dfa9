"""An embedding of a row of measurements, trained to say what else would have been measured.

The piece is built first, as a model of its own (`embedding`). It takes measurements in their own units, and scales them
itself, by constants: piece and controls have the same, so that what is gained is not the scaling.
"""

# Keras takes initializers by name or as objects; its types know only names.
# pyright: reportArgumentType=false

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

OTHERS = 15
# Of the patients that upstream trains on, to two digits: texture, smoothness, symmetry and fractal dimension; first the
# means, then their standard errors, then the worst.
MEANS = (19.0, 0.096, 0.18, 0.063, 1.2, 0.0073, 0.021, 0.0037, 25.0, 0.13, 0.29, 0.084)
DEVIATIONS = (4.1, 0.014, 0.028, 0.0074, 0.57, 0.0035, 0.0084, 0.0021, 6.0, 0.024, 0.064, 0.019)
# What is nearer than this to the truth, in deviations, counts as said rightly.
NEAR = 0.5


def build_model(*, seed: int, widths: Sequence[int]) -> keras.Model:
    """The full model: `measurements` [batch, 12] and `others` [batch, 15] -> [batch, 2, 15]: what it says, what is."""
    measurements = keras.Input((len(MEANS),), name="measurements")
    others = keras.Input((OTHERS,), name="others")
    said = _dense(OTHERS, seed * 100 + 99, None, "said")(build_embedding(seed, widths)(measurements))
    return keras.Model([measurements, others], keras.ops.stack([said, others], axis=1), name="what_else")


def build_embedding(seed: int, widths: Sequence[int]) -> keras.Model:
    """The piece: measurements `[batch, 12] float32` -> `[batch, last of widths] float32`."""
    measurements = keras.Input((len(MEANS),), name="measurements")
    variances = [deviation**2 for deviation in DEVIATIONS]
    x = keras.layers.Normalization(mean=MEANS, variance=variances, name="units")(measurements)
    for number, width in enumerate(widths):
        x = _dense(width, seed * 100 + number, "gelu", f"hidden_{number}")(x)
    return keras.Model(measurements, x, name="embedding")


def _dense(width: int, seed: int, activation: str | None, name: str) -> keras.layers.Layer:
    kernel = keras.initializers.GlorotUniform(seed=seed)
    return keras.layers.Dense(width, activation, kernel_initializer=kernel, name=name)


def squared_error(y_true: Any, y_pred: Any) -> Any:
    """The mean squared error of what is said, in deviations, `[batch] float32`."""
    return tf.reduce_mean(tf.math.squared_difference(y_pred[:, 0], y_pred[:, 1]), axis=-1)


def said_rightly(y_true: Any, y_pred: Any) -> Any:
    """The share of the other measurements that is said with an error under half a deviation, `[batch] float32`."""
    return tf.reduce_mean(tf.cast(tf.abs(y_pred[:, 0] - y_pred[:, 1]) < NEAR, tf.float32), axis=-1)
