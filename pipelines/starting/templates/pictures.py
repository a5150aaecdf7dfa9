"""The recipe's network for pictures; the layer `features` is the piece's output.

It is small, so that a first run takes minutes. When that has shown how things go, put your own network here: any Keras
model with a layer called `features`, whose weights start from `seed`.
"""

# Keras takes initializers by name or as objects; its types know only names.
# pyright: reportArgumentType=false

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers

from piecehub import images

# Pictures become SIDE x SIDE pixels, of 3 channels in colours or of 1 in grey.
SIDE, CHANNELS = 96, 3
# What the first convolution makes of larger ones, for it is the size of its maps that takes the time.
LARGEST_MAPS = 32


def decode(features: Mapping[str, Any]) -> dict[str, Any]:
    """The picture of a file, upright, cropped to a square in its middle and scaled: float32 in [0, 1]."""
    picture = images.read(features["picture"], size=(SIDE, SIDE), channels=CHANNELS)
    return {"images": picture, "label": features["label"]}


def augment(features: Mapping[str, Any], seed: Any) -> dict[str, Any]:
    """In training alone: a part of each picture, in other light; mirror it too where left and right do not matter."""
    part = images.random_crop(features["images"], seed, area=(0.7, 1.0), ratio=(0.9, 1.1))
    # part = images.random_flip(part, seed)
    return {**features, "images": images.random_color(part, seed, brightness=0.1, saturation=0.0, hue=0.0)}


def build_model(*, seed: int, classes: int, widths: Sequence[int]) -> keras.Model:
    """The full model: `images` [batch, side, side, channels] float32 in [0, 1] -> logits [batch, classes] float32.

    BatchNorm's momentum of 0.9 follows its batches within the few steps of a fine-tuning.
    """
    seeds = iter(range(seed * 1000, seed * 1000 + 1000))

    def convolution(x: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
        kernel = keras.initializers.HeNormal(seed=next(seeds))
        sides = max(3, strides)
        x = layers.Conv2D(filters, sides, strides, "same", use_bias=False, kernel_initializer=kernel)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    pictures = keras.Input((SIDE, SIDE, CHANNELS), name="images")
    x = layers.Rescaling(2.0, offset=-1.0)(pictures)
    for number, filters in enumerate(widths):
        x = convolution(x, filters, 2 if number else math.ceil(SIDE / LARGEST_MAPS))
        x = convolution(x, filters, 1)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    kernel = keras.initializers.GlorotUniform(seed=next(seeds))
    return keras.Model(pictures, layers.Dense(classes, kernel_initializer=kernel, name="logits")(x))
