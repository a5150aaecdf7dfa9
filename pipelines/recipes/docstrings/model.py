"""A text embedding from hashed words, trained to know which texts belong together.

The piece is built first, as a model of its own (`embedding`), and stands twice in the full one: as the tower of `first`
and as that of `second`.
"""

# Keras takes initializers by name or as objects; its types know only names.
# pyright: reportArgumentType=false

from typing import Any

import keras
import tensorflow as tf
from keras import ops

# A similarity is a cosine, times this. With 20, as is common, 30,000 pairs are learned by heart.
SHARPNESS = 5.0
# So small that what is learned of a rare word is not lost in what it started from.
VECTOR_SPREAD = 0.01


class HashedWords(keras.layers.Layer):
    """Texts `[batch] string` -> the weighted mean of their words' vectors, `[batch, width] float32`.

    A word is a run of letters and digits, in lower case. It has the vector and the weight of its hash: there is no
    vocabulary to carry along, and no word is unknown. A text without words is 0.
    """

    def __init__(self, buckets: int, width: int, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.buckets, self.width, self.seed = buckets, width, seed

    def build(self, input_shape: Any) -> None:
        """Makes the vectors, `[buckets, width]`, and their weights before the sigmoid, `[buckets]`."""
        normal = keras.initializers.RandomNormal(stddev=VECTOR_SPREAD, seed=self.seed)
        self.vectors = self.add_weight(shape=(self.buckets, self.width), initializer=normal, name="vectors")
        self.importance = self.add_weight(shape=(self.buckets,), initializer="zeros", name="importance")

    def call(self, inputs: Any) -> Any:
        """The mean, in which a word counts by the sigmoid of its importance."""
        texts = tf.strings.regex_replace(tf.strings.lower(inputs, encoding="utf-8"), r"[^\pL\pN]+", " ")
        words = tf.strings.split(texts)
        rows = tf.strings.to_hash_bucket_fast(words.flat_values, self.buckets)
        weights = tf.sigmoid(tf.gather(self.importance, rows))[:, None]
        owners, count = words.value_rowids(), words.nrows()
        total = tf.math.unsorted_segment_sum(weights * tf.gather(self.vectors, rows), owners, count)
        return tf.math.divide_no_nan(total, tf.math.unsorted_segment_sum(weights, owners, count))

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """`[batch, width] float32`; Keras would find it by numbers, which are no texts."""
        return keras.KerasTensor((inputs.shape[0], self.width), "float32")


def build_model(*, seed: int, buckets: int, width: int) -> keras.Model:
    """The full model: texts `first` and `second`, each `[batch] string` -> `[batch, 2, width] float32`."""
    embedding = build_embedding(seed, buckets, width)
    first = keras.Input((), dtype="string", name="first")
    second = keras.Input((), dtype="string", name="second")
    return keras.Model([first, second], ops.stack([embedding(first), embedding(second)], axis=1), name="pairs")


def build_embedding(seed: int, buckets: int, width: int) -> keras.Model:
    """The piece: texts `[batch] string` -> `[batch, width] float32` of length 1.

    Without the length, fine-tuning gains half as much: its first steps move the vectors of words too far.
    """
    text = keras.Input((), dtype="string", name="text")
    x = HashedWords(buckets, width, seed * 100 + 1, name="words")(text)
    kernel = keras.initializers.GlorotUniform(seed=seed * 100 + 2)
    x = keras.layers.Dense(width, kernel_initializer=kernel, name="linear")(x)
    return keras.Model(text, keras.layers.UnitNormalization(name="unit_length")(x), name="embedding")


def pairing_loss(y_true: Any, y_pred: Any) -> Any:
    """How surprising it is that the pairs of a batch belong together, `[batch] float32`.

    Cross-entropy of finding the own partner among all of the batch, in both directions (Radford et al. 2021, CLIP).
    """
    similarity = _similarity(y_pred)
    own = tf.range(tf.shape(similarity)[0])
    there, back = (
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=own, logits=logits)
        for logits in (similarity, tf.transpose(similarity))
    )
    return (there + back) / 2


def pairing_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Whether a first text is more like its own second one than like any other of the batch, `[batch] float32`."""
    similarity = _similarity(y_pred)
    nearest = tf.argmax(similarity, axis=1, output_type=tf.int32)
    return tf.cast(nearest == tf.range(tf.shape(similarity)[0]), tf.float32)


def _similarity(both: Any) -> Any:
    """Each first text with each second one of the batch, `[batch, batch] float32`."""
    return SHARPNESS * tf.matmul(both[:, 0], both[:, 1], transpose_b=True)
