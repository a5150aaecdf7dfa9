"""The recipe's network for texts; the layer `features` is the piece's output.

It is small, so that a first run takes minutes: the mean of the vectors of a text's words, and a layer on it. When that
has shown how things go, put your own network here: any Keras model with a layer called `features`, whose weights start
from `seed`.
"""

# Keras takes initializers by name or as objects; its types know only names.
# pyright: reportArgumentType=false

from typing import Any

import keras
import tensorflow as tf
from keras import layers


class HashedWords(layers.Layer):
    """Texts `[batch] string` -> the mean of their words' vectors, `[batch, width] float32`.

    A word is a run of letters and digits, in lower case; it has the vector of its hash, so there is no vocabulary to
    carry along. A text without words is 0.
    """

    def __init__(self, buckets: int, width: int, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.buckets, self.width, self.seed = buckets, width, seed

    def build(self, input_shape: Any) -> None:
        """Makes the vectors, `[buckets, width]`."""
        normal = keras.initializers.RandomNormal(stddev=0.05, seed=self.seed)
        self.vectors = self.add_weight(shape=(self.buckets, self.width), initializer=normal, name="vectors")

    def call(self, inputs: Any) -> Any:
        """The mean of the words' vectors."""
        texts = tf.strings.regex_replace(tf.strings.lower(inputs, encoding="utf-8"), r"[^\pL\pN]+", " ")
        words = tf.strings.split(texts)
        rows = tf.strings.to_hash_bucket_fast(words.flat_values, self.buckets)
        total = tf.math.unsorted_segment_sum(tf.gather(self.vectors, rows), words.value_rowids(), words.nrows())
        return tf.math.divide_no_nan(total, tf.cast(words.row_lengths(), tf.float32)[:, None])

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """`[batch, width] float32`; Keras would find it by numbers, which are no texts."""
        return keras.KerasTensor((inputs.shape[0], self.width), "float32")


def build_model(*, seed: int, classes: int, buckets: int, width: int) -> keras.Model:
    """The full model: `text` [batch] string -> logits [batch, classes] float32."""
    text = keras.Input((), dtype="string", name="text")
    x = HashedWords(buckets, width, seed * 100 + 1, name="words")(text)
    kernel = keras.initializers.HeNormal(seed=seed * 100 + 2)
    x = layers.Dense(width, "relu", kernel_initializer=kernel, name="features")(x)
    kernel = keras.initializers.GlorotUniform(seed=seed * 100 + 3)
    return keras.Model(text, layers.Dense(classes, kernel_initializer=kernel, name="logits")(x))
