"""The recipe's network for rows of a table; the layer `features` is the piece's output.

It is small, so that a first run takes a minute. When that has shown how things go, put your own network here: any Keras
model with a layer called `features`, whose weights start from `seed`.

`columns.json` names the columns, in the order in which the piece takes them.
"""

# Keras takes initializers by name or as objects; its types know only names.
# pyright: reportArgumentType=false

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

COLUMNS = json.loads(Path(__file__).with_name("columns.json").read_text(encoding="utf-8"))
NUMBERS = [one["feature"] for one in COLUMNS["numbers"]]
WORDS = [one["feature"] for one in COLUMNS["words"]]


def decode(features: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a row in the order of `columns.json`, and its words, each with its column's name before it.

    `numbers` [numbers] float32 has NaN where one is missing, `words` [columns] string an empty word.
    """
    row: dict[str, Any] = {"label": features["label"]}
    if NUMBERS:
        row["numbers"] = tf.concat([tf.reshape(features[name], [-1]) for name in NUMBERS], axis=0)
    if WORDS:
        row["words"] = tf.stack([tf.strings.join([name, features[name]], "=") for name in WORDS])
    return row


class HashedWords(layers.Layer):
    """Words `[batch, columns] string` -> a vector of each, one after the other: `[batch, columns * width] float32`."""

    def __init__(self, buckets: int, width: int, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.buckets, self.width, self.seed = buckets, width, seed

    def build(self, input_shape: Any) -> None:
        """Makes the vectors, `[buckets, width]`."""
        normal = keras.initializers.RandomNormal(stddev=0.05, seed=self.seed)
        self.vectors = self.add_weight(shape=(self.buckets, self.width), initializer=normal, name="vectors")

    def call(self, inputs: Any) -> Any:
        """The vectors of the words' hashes."""
        vectors = tf.gather(self.vectors, tf.strings.to_hash_bucket_fast(inputs, self.buckets))
        return tf.reshape(vectors, [-1, inputs.shape[1] * self.width])

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """`[batch, columns * width] float32`; Keras would find it by numbers, which are no texts."""
        return keras.KerasTensor((inputs.shape[0], inputs.shape[1] * self.width), "float32")


def build_model(*, seed: int, outputs: int, width: int) -> keras.Model:
    """The full model: `numbers` and `words`, or one of them -> logits, or a value: [batch, outputs] float32.

    What takes both takes a dict, by these names.
    """
    inputs: dict[str, Any] = {}
    parts: list[Any] = []
    if NUMBERS:
        numbers = keras.Input((sum(one["size"] for one in COLUMNS["numbers"]),), name="numbers")
        inputs["numbers"] = numbers
        parts += scaled(numbers)
    if WORDS:
        words = keras.Input((len(WORDS),), dtype="string", name="words")
        inputs["words"] = words
        parts.append(HashedWords(4096, 8, seed * 100 + 1, name="hashed")(words))
    x = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)
    for number in (2, 3):
        kernel = keras.initializers.HeNormal(seed=seed * 100 + number)
        name = "features" if number == 3 else "hidden"
        x = layers.Dense(width, "relu", kernel_initializer=kernel, name=name)(x)
    kernel = keras.initializers.GlorotUniform(seed=seed * 100 + 4)
    taken = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    return keras.Model(taken, layers.Dense(outputs, kernel_initializer=kernel)(x))


def scaled(numbers: keras.KerasTensor) -> list[Any]:
    """Numbers of mean 0 and spread 1, 0 where one is missing; and where any may be, which ones are there."""
    sizes = [one["size"] for one in COLUMNS["numbers"]]
    mean, spread = (
        np.repeat([one[key] for one in COLUMNS["numbers"]], sizes).astype(np.float32) for key in ("mean", "spread")
    )
    missing = ops.isnan(numbers)
    known: list[Any] = [ops.divide(ops.subtract(ops.where(missing, mean, numbers), mean), spread)]
    if any(one["missing"] for one in COLUMNS["numbers"]):
        known.append(ops.cast(ops.logical_not(missing), "float32"))
    return known


def squared_error(y_true: Any, y_pred: Any) -> Any:
    """The loss of a value, in its spread: [batch] float32."""
    spread = COLUMNS["spread"]
    return tf.square((tf.reshape(tf.cast(y_true, tf.float32), [-1]) - value(y_pred)) / spread)


def closeness(y_true: Any, y_pred: Any) -> Any:
    """How near a value is: 1 if it is right, 0.5 if it is off by the spread of all values; [batch] float32."""
    error = tf.abs(tf.reshape(tf.cast(y_true, tf.float32), [-1]) - value(y_pred))
    return COLUMNS["spread"] / (COLUMNS["spread"] + error)


def value(y_pred: Any) -> Any:
    """What the model says, at the place and in the spread of the values: [batch] float32."""
    return COLUMNS["mean"] + COLUMNS["spread"] * tf.reshape(y_pred, [-1])
