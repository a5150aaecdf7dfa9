"""The network that was trained before, for pictures: it lies in `model.keras` with its weights.

`[piece] layer` says up to which of its layers it is shared.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import piecehub
from piecehub import images

MODEL = Path(__file__).with_name("model.keras")
# Classes of the model's own, by name.
OWN = {}
# What it takes: pictures of this size, of 3 channels in colours or of 1 in grey, laid out as
# SHAPE, with values from 0 to LARGEST.
HEIGHT, WIDTH, CHANNELS = 96, 96, 3
SHAPE = (96, 96, 3)
LARGEST = 1.0


def decode(features: Mapping[str, Any]) -> dict[str, Any]:
    """The picture of a file, upright, cropped to the model's proportions in its middle, and scaled to its values."""
    picture = images.read(features["picture"], size=(HEIGHT, WIDTH), channels=CHANNELS)
    return {"images": LARGEST * tf.reshape(picture, SHAPE), "label": features["label"]}


def build_model(*, seed: int) -> keras.Model:
    """The model with other weights, which the controls start from; its own come from `[model] checkpoint`."""
    model: Any = keras.models.load_model(MODEL, custom_objects=OWN, compile=False)
    return piecehub.draw_weights(model, seed=seed, custom_objects=OWN)
