"""Pictures, tokens, a sparse bag, raw bytes and a number that may be missing, all in one example."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

_random: Any = tf.random
_ragged: Any = tf.ragged


def decode(features: Any) -> dict[str, Any]:
    """JPEG bytes become a picture [12, 12, 3] float32; all else stays as it is."""
    image = tf.io.decode_jpeg(features["jpeg"], channels=3, dct_method="INTEGER_ACCURATE")
    image = tf.ensure_shape(tf.image.convert_image_dtype(image, tf.float32), [12, 12, 3])
    return {"image": image} | {name: features[name] for name in ("tokens", "bag", "raw", "age", "label")}


def augment(features: dict[str, Any], seed: Any) -> dict[str, Any]:
    """A little noise."""
    return {**features, "image": features["image"] + _random.stateless_uniform([12, 12, 3], seed, 0.0, 0.01)}


class Core(keras.Model):
    """Features of everything, [batch, 12] float32."""

    def __init__(self, seed: int) -> None:
        super().__init__(name="core")

        def start(number: int) -> Any:
            return keras.initializers.GlorotUniform(seed=seed * 10 + number)

        self.convolution = layers.Conv2D(4, 3, activation="relu", kernel_initializer=start(0))
        self.pool = layers.GlobalAveragePooling2D()
        self.words: Any = self.add_weight(shape=(64, 4), initializer=start(1), name="words")
        self.bag: Any = self.add_weight(shape=(10, 4), initializer=start(2), name="bag")
        self.unknown: Any = self.add_weight(shape=(), initializer="zeros", name="unknown")
        self.mix = layers.Dense(12, activation="relu", kernel_initializer=start(3))

    def call(self, inputs: Any, training: bool = False) -> Any:
        image = self.pool(self.convolution(inputs["image"]))
        numbers = _ragged.map_flat_values(tf.strings.to_hash_bucket_fast, inputs["tokens"], 64)
        known: Any = tf.gather(tf.convert_to_tensor(self.words), numbers)
        count = tf.cast(known.row_lengths(), tf.float32)[:, None]
        words = tf.math.divide_no_nan(tf.reduce_sum(known, axis=1), count)
        bag = tf.sparse.sparse_dense_matmul(inputs["bag"], tf.convert_to_tensor(self.bag))
        size = tf.cast(tf.strings.length(inputs["raw"]), tf.float32)[:, None] / 10
        age = tf.where(tf.math.is_nan(inputs["age"]), tf.convert_to_tensor(self.unknown), inputs["age"])[:, None]
        return self.mix(tf.concat([image, tf.ensure_shape(words, [None, 4]), bag, size, age], axis=1))


class Pretrainer(keras.Model):
    """The core with a head: logits [batch, classes] float32."""

    def __init__(self, core: Core, classes: int, seed: int) -> None:
        super().__init__(name="pretrainer")
        self.core = core
        self.head = layers.Dense(classes, kernel_initializer=keras.initializers.GlorotUniform(seed=seed))

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.head(self.core(inputs, training=training))


def build_model(*, seed: int, classes: int) -> tuple[keras.Model, keras.Model]:
    """The core, and the model that is trained."""
    core = Core(seed)
    return core, Pretrainer(core, classes, seed)


def own_fit(training: Any) -> None:
    """A loop as somebody's train.py has it."""
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer: Any = keras.optimizers.SGD(0.05)
    weights: list[Any] = training.model.trainable_variables
    for epoch in range(2):
        losses: list[float] = []
        for x, y in training.train.batches(16, epoch):
            with tf.GradientTape() as tape:
                loss = loss_of(y, training.model(x, training=True))
            found: Any = tape
            optimizer.apply(found.gradient(loss, [weight.value for weight in weights]), weights)
            losses.append(float(loss))
        training.report(epoch=epoch, loss=sum(losses) / len(losses))
