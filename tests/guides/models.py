"""Small models of the kinds that the guides speak of; equal seeds give equal weights."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, regularizers

SENTENCES = ["a fine day", "an awful day", "what a fine film", "an awful film", "fine", "awful"]
SENTIMENT = np.array([1, 0, 1, 0, 1, 0], np.float32)
L2 = 0.01


def classifier(seed: int = 1) -> Any:
    """Images [batch, 8, 8, 1] float32 -> logits [batch, 3]; has BatchNorm, Dropout, and L2 on one kernel."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(8, 3, kernel_regularizer=regularizers.L2(L2), name="convolution")(images)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9, name="normalization")(x))
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dropout(0.3, seed=seed, name="head_dropout")(x)
    return keras.Model(images, layers.Dense(3, name="logits")(x), name="classifier")


def trained(model: Any) -> Any:
    """The classifier after one epoch, with its optimizer."""
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*images(), epochs=1, verbose=0)
    return model


def images(count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Images of which the upper, the middle or the lower part is bright, and which it is."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count)
    pictures = rng.random((count, 8, 8, 1), dtype=np.float32)
    for image, label in zip(pictures, labels, strict=True):
        image[label * 3 : label * 3 + 3] += 1
    return pictures, labels


def text_embedding(seed: int = 1) -> Any:
    """Strings [batch] -> float32 [batch, 8]: TensorFlow Hub's common text API."""
    keras.utils.set_random_seed(seed)
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    text = keras.Input((), dtype="string", name="text")
    tokens = layers.TextVectorization(vocabulary=words, output_sequence_length=6, name="tokens")(text)
    vectors = layers.Embedding(
        len(words) + 2, 8, embeddings_regularizer=regularizers.L2(L2), mask_zero=True, name="vectors"
    )(tokens)
    return keras.Model(text, layers.GlobalAveragePooling1D(name="mean")(vectors), name="text_embedding")


def with_dropout(seed: int = 1) -> Any:
    """Vectors [batch, 4] -> [batch, 6], with Dropout 0.5 and BatchNorm of momentum 0.9 inside."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4,), name="inputs")
    x = layers.BatchNormalization(momentum=0.9, name="normalization")(inputs)
    x = layers.Dropout(0.5, seed=seed, name="dropout")(layers.Dense(16, activation="relu", name="hidden")(x))
    return keras.Model(inputs, layers.Dense(6, name="output")(x), name="with_dropout")


def vectors(count: int = 8) -> np.ndarray:
    """Inputs of `with_dropout`."""
    return np.random.default_rng(3).random((count, 4), dtype=np.float32)


def tensors_equal(one: Any, other: Any) -> bool:
    """Whether two tensors hold the same bits."""
    return bool(tf.reduce_all(tf.equal(one, other)))
