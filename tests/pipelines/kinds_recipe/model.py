"""Pictures, tokens, a sparse bag, raw bytes and a number that may be missing, all in one example."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

_random: Any = tf.random
_ragged: Any = tf.ragged


def decode(features: Any) -> dict[str, Any]:
    """JPEG bytes become a picture [12, 12, 3] float32; all else stays as it is."""
    others = {name: features[name] for name in ("tokens", "bag", "raw", "age", "label") if name in features}
    if "jpeg" not in features:
        return others
    image = tf.io.decode_jpeg(features["jpeg"], channels=3, dct_method="INTEGER_ACCURATE")
    return {"image": tf.ensure_shape(tf.image.convert_image_dtype(image, tf.float32), [12, 12, 3])} | others


def augment(features: dict[str, Any], seed: Any) -> dict[str, Any]:
    """A little noise."""
    return {**features, "image": features["image"] + _random.stateless_uniform([12, 12, 3], seed, 0.0, 0.01)}


class Core(keras.Model):
    """Features of these kinds, [batch, 12] float32; of a single kind it takes the tensor, else a dict."""

    def __init__(self, seed: int, kinds: list[str]) -> None:
        super().__init__(name="core")

        def start(number: int) -> Any:
            return keras.initializers.GlorotUniform(seed=seed * 10 + number)

        made = {"image": self._image, "tokens": self._tokens, "bag": self._bag, "raw": self._raw, "age": self._age}
        self.made = {name: make for name, make in made.items() if name.replace("image", "jpeg") in kinds}
        if "image" in self.made:
            self.convolution = layers.Conv2D(4, 3, activation="relu", kernel_initializer=start(0))
            self.pool = layers.GlobalAveragePooling2D()
        if "tokens" in self.made:
            self.words: Any = self.add_weight(shape=(64, 4), initializer=start(1), name="words")
        if "bag" in self.made:
            self.bag: Any = self.add_weight(shape=(10, 4), initializer=start(2), name="bag")
        if "age" in self.made:
            self.unknown: Any = self.add_weight(shape=(), initializer="zeros", name="unknown")
        self.mix = layers.Dense(12, activation="relu", kernel_initializer=start(3))

    def call(self, inputs: Any, training: bool = False) -> Any:
        given = inputs if isinstance(inputs, dict) else dict.fromkeys(self.made, inputs)
        return self.mix(tf.concat([make(given[name]) for name, make in self.made.items()], axis=1))

    def _image(self, image: Any) -> Any:
        return self.pool(self.convolution(image))

    def _tokens(self, tokens: Any) -> Any:
        numbers = _ragged.map_flat_values(tf.strings.to_hash_bucket_fast, tokens, 64)
        known: Any = tf.gather(tf.convert_to_tensor(self.words), numbers)
        count = tf.cast(known.row_lengths(), tf.float32)[:, None]
        return tf.ensure_shape(tf.math.divide_no_nan(tf.reduce_sum(known, axis=1), count), [None, 4])

    def _bag(self, bag: Any) -> Any:
        return tf.sparse.sparse_dense_matmul(bag, tf.convert_to_tensor(self.bag))

    def _raw(self, raw: Any) -> Any:
        return tf.cast(tf.strings.length(raw), tf.float32)[:, None] / 10

    def _age(self, age: Any) -> Any:
        return tf.where(tf.math.is_nan(age), tf.convert_to_tensor(self.unknown), age)[:, None]


class Pretrainer(keras.Model):
    """The core with a head: logits [batch, classes] float32."""

    def __init__(self, core: Core, classes: int, seed: int) -> None:
        super().__init__(name="pretrainer")
        self.core = core
        self.head = layers.Dense(classes, kernel_initializer=keras.initializers.GlorotUniform(seed=seed))

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.head(self.core(inputs, training=training))


def build_model(*, seed: int, classes: int, kinds: list[str]) -> tuple[keras.Model, keras.Model]:
    """The core, and the model that is trained."""
    core = Core(seed, kinds)
    return core, Pretrainer(core, classes, seed)


def own_fit(training: Any) -> None:
    """A loop as somebody's train.py has it."""
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer: Any = keras.optimizers.Adam(0.01)
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
