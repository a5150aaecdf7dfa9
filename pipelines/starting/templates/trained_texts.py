"""The network that was trained before, for texts: it lies in `model.keras` with its weights.

`[piece] layer` says up to which of its layers it is shared.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import piecehub

MODEL = Path(__file__).with_name("model.keras")
# Classes of the model's own, by name.
OWN = {}
# What it takes of a text, without the batch: `[]` or `[1]` strings.
SHAPE = ()


def decode(features: Mapping[str, Any]) -> dict[str, Any]:
    """The text as it is."""
    return {"text": tf.reshape(features["text"], SHAPE), "label": features["label"]}


def build_model(*, seed: int) -> keras.Model:
    """The model with other weights, which the controls start from; its own come from `[model] checkpoint`."""
    model: Any = keras.models.load_model(MODEL, custom_objects=OWN, compile=False)
    return piecehub.draw_weights(model, seed=seed, custom_objects=OWN)
