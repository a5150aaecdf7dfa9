"""A small residual network for pictures of 96 x 96 pixels; the layer `features` is the piece's output.

What a record holds becomes the network's input by `decode`, wherever records are read: in training, in the evaluation
and on the model page. `augment` is for training alone.
"""

# Keras takes initializers by name or as objects; its types know only names.
# pyright: reportArgumentType=false

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers

from piecehub import images

SIDE = 96


def decode(features: Mapping[str, Any]) -> dict[str, Any]:
    """Of a record with `jpeg` and `label`: `images` [96, 96, 3] float32 in [0, 1], and `label` [] int64."""
    return {"images": images.read(features["jpeg"], size=(SIDE, SIDE)), "label": features["label"]}


def augment(features: Mapping[str, Any], seed: Any) -> dict[str, Any]:
    """The same example with a part of its picture, in other light."""
    part = images.random_crop(features["images"], seed, area=(0.7, 1.0), ratio=(0.9, 1.1))
    return {**features, "images": images.random_color(part, seed, brightness=0.1, saturation=0.0, hue=0.0)}


def build_model(*, seed: int, classes: int, widths: Sequence[int]) -> keras.Model:
    """The full model: `images` [batch, 96, 96, 3] float32 in [0, 1] -> logits [batch, classes] float32.

    BatchNorm's momentum of 0.9 follows its batches within the few steps of a fine-tuning. Each block starts as what it
    adds to, by a scale of 0 at its end: else the first thousand steps teach such a network little. Widths are 16 or
    more: the gradient of a 1 x 1 convolution with stride 2 and 4 or 8 channels writes beyond its memory (TensorFlow
    2.21 with oneDNN).
    """
    seeds = iter(range(seed * 1000, seed * 1000 + 1000))

    def convolution(
        x: keras.KerasTensor, filters: int, size: int, strides: int, name: str, scale: str = "ones"
    ) -> keras.KerasTensor:
        kernel = keras.initializers.HeNormal(seed=next(seeds))
        x = layers.Conv2D(
            filters, size, strides, "same", use_bias=False, kernel_initializer=kernel, name=f"{name}_convolution"
        )(x)
        return layers.BatchNormalization(momentum=0.9, gamma_initializer=scale, name=f"{name}_normalization")(x)

    def block(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
        way = x
        if strides > 1 or x.shape[-1] != filters:
            way = convolution(x, filters, 1, strides, f"{name}_way")
        y = layers.ReLU(name=f"{name}_1_activation")(convolution(x, filters, 3, strides, f"{name}_1"))
        y = convolution(y, filters, 3, 1, f"{name}_2", scale="zeros")
        return layers.ReLU(name=f"{name}_activation")(layers.Add(name=f"{name}_sum")([way, y]))

    pictures = keras.Input((SIDE, SIDE, 3), name="images")
    x = layers.Rescaling(2.0, offset=-1.0, name="around_zero")(pictures)
    x = layers.ReLU(name="stem_activation")(convolution(x, widths[0], 3, 2, "stem"))
    for number, filters in enumerate(widths):
        x = block(x, filters, 2 if number else 1, f"block_{number + 1}")
    x = layers.GlobalAveragePooling2D(name="features")(x)
    head = keras.initializers.GlorotUniform(seed=next(seeds))
    return keras.Model(pictures, layers.Dense(classes, kernel_initializer=head, name="logits")(x), name="which_drawing")
