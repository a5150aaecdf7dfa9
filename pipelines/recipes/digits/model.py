"""A small convolutional network for 8x8 grey images; the layer `features` is the piece's output."""

# Keras takes initializers by name or as objects; its types know only names.
# pyright: reportArgumentType=false

import keras
from keras import layers, regularizers


def build_model(*, seed: int, classes: int, l2: float, width: int, head_dropout: float) -> keras.Model:
    """The full model: images [batch, 8, 8, 1] float32 of 0 to 16 -> logits [batch, classes] float32.

    Dropout stands only in the head, so the piece has none on its output. BatchNorm's momentum of 0.9 follows its
    batches within the few steps of a fine-tuning; Keras' 0.99 lags behind and costs an untrained control 5 points.
    """

    def convolution(x: keras.KerasTensor, filters: int, number: int) -> keras.KerasTensor:
        return layers.Conv2D(
            filters,
            3,
            padding="same",
            kernel_initializer=keras.initializers.HeNormal(seed=seed * 100 + number),
            kernel_regularizer=regularizers.L2(l2),
            name=f"convolution_{number}",
        )(x)

    images = keras.Input((8, 8, 1), name="image")
    x = layers.Rescaling(1 / 16, name="unit_range")(images)
    x = convolution(x, width, 1)
    x = layers.BatchNormalization(momentum=0.9, name="normalization")(x)
    x = layers.ReLU(name="activation_1")(x)
    x = layers.ReLU(name="activation_2")(convolution(x, width, 2))
    x = layers.MaxPooling2D(name="half")(x)
    x = layers.ReLU(name="activation_3")(convolution(x, 2 * width, 3))
    x = layers.ReLU(name="activation_4")(convolution(x, 2 * width, 4))
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dropout(head_dropout, seed=seed, name="head_dropout")(x)
    logits = layers.Dense(
        classes, kernel_initializer=keras.initializers.GlorotUniform(seed=seed * 100 + 99), name="logits"
    )(x)
    return keras.Model(images, logits, name="digits_in_views")
