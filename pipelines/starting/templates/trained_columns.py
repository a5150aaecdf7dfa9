"""The network that was trained before, for rows of a table: it lies in `model.keras` with its weights.

`[piece] layer` says up to which of its layers it is shared. `columns.json` names the columns; a model of one input
takes their numbers in that order.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import piecehub

MODEL = Path(__file__).with_name("model.keras")
COLUMNS = json.loads(Path(__file__).with_name("columns.json").read_text(encoding="utf-8"))
# Classes of the model's own, by name.
OWN = {}
# The model's inputs by name, and their shapes without the batch; none: one input of all numbers.
INPUTS = {}
# Of that one input, the shape without the batch.
SHAPE = (-1,)


def decode(features: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that the model takes, each by itself, or all numbers in the order of `columns.json`."""
    if INPUTS:
        called = {one["name"]: one["feature"] for one in (*COLUMNS["numbers"], *COLUMNS["words"])}
        row = {name: tf.reshape(features[called.get(name, name)], shape) for name, shape in INPUTS.items()}
    else:
        names = [one["feature"] for one in COLUMNS["numbers"]]
        numbers = tf.concat([tf.reshape(features[name], [-1]) for name in names], axis=0)
        row = {"numbers": tf.reshape(numbers, SHAPE)}
    return {**row, "label": features["label"]}


def build_model(*, seed: int) -> keras.Model:
    """The model with other weights, which the controls start from; its own come from `[model] checkpoint`."""
    model: Any = keras.models.load_model(MODEL, custom_objects=OWN, compile=False)
    return piecehub.draw_weights(model, seed=seed, custom_objects=OWN)
