"""Upstream pictures of any size on disk, a recipe that reads them, and a downstream task that stays the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.examples.records import write_records

CLASSES, SIDE, BATCH = 8, 64, 64
_PIXELS = 224
_DOWNSTREAM = 40  # of each of two classes

MODEL = f'''
"""A small network over pictures of {SIDE}x{SIDE}; `decode` makes them of JPEGs."""
import keras
import tensorflow as tf
from keras import layers

def decode(features):
    image = tf.io.decode_jpeg(features["image"], channels=3, dct_method="INTEGER_ACCURATE")
    image = tf.image.resize(tf.image.convert_image_dtype(image, tf.float32), [{SIDE}, {SIDE}])
    return {{"image": tf.ensure_shape(image, [{SIDE}, {SIDE}, 3]), "label": features["label"]}}

def build_model(*, seed):
    keras.utils.set_random_seed(seed)
    images = keras.Input(({SIDE}, {SIDE}, 3), name="image")
    x = images
    for filters in (8, 16, 32):
        x = layers.Conv2D(filters, 3, strides=2, activation="relu")(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(images, layers.Dense({CLASSES}, name="logits")(x))
'''
SCHEMA = """
feature { name: "image" type: BYTES shape {} presence { min_fraction: 1 } }
feature { name: "label" type: INT shape {} presence { min_fraction: 1 } int_domain { min: 0 max: 7 } }
"""
RECIPE = f"""
[recipe]
name = "size"
publisher = "bench"
command = "none"
minutes = 1.0
expected = "nothing"
[data]
folder = "{{folder}}"
label = "label"
decode = "decode"
[train]
epochs = 1
batch_size = {BATCH}
learning_rate = 0.001
seed = 100
[piece]
layer = "features"
[[task]]
name = "down"
[evaluation]
shots = [5]
seeds = [0, 1]
learning_rates = [0.001]
steps = 10
batch_size = 8
inverse_regularization = [1.0]
sensitivity_batch_sizes = [8]
max_leakage = 1.0
[gate]
min_seeds = 2
[documentation]
description = "A benchmark. Images are in [0, 1]."
intended_use = "None."
limitations = "All."
training_data = "Noise."
license = "apache-2.0"
hub_tasks = ["image-feature-vector"]
"""


def write_world(folder: Path, gigabytes: float) -> int:
    """Writes recipe and data, upstream of that size, into `folder`; returns how many upstream pictures there are."""
    records = folder / "records"
    pictures = int(gigabytes * 1e9 / len(_jpeg(0)))
    write_records(records / "upstream" / "train", _pictures(range(pictures), CLASSES), shards=16)
    write_records(records / "upstream" / "eval", _pictures(range(10**8, 10**8 + 256), CLASSES), shards=1)
    for split, start in (("pool", 2 * 10**8), ("test", 3 * 10**8)):
        write_records(records / "down" / split, _pictures(range(start, start + 2 * _DOWNSTREAM), 2), shards=1)
    recipe = folder / "recipe"
    recipe.mkdir()
    (recipe / "model.py").write_text(MODEL)
    (recipe / "schema.pbtxt").write_text(SCHEMA)
    (recipe / "recipe.toml").write_text(RECIPE.replace("{folder}", str(records)))
    return pictures


def _pictures(numbers: range, classes: int) -> Iterator[dict[str, Any]]:
    return ({"image": _jpeg(number), "label": number % classes} for number in numbers)


def _jpeg(number: int) -> bytes:
    """A picture of 224x224, some 75 kB: a colour for the class, and noise that no compression takes away."""
    rng = np.random.default_rng(number)
    colour = np.array([(number % CLASSES) * 30, 128, 255 - (number % CLASSES) * 30])
    noise = rng.integers(0, 90, (_PIXELS, _PIXELS, 3))
    pixels = np.clip(colour + noise, 0, 255).astype(np.uint8)
    return tf.io.encode_jpeg(pixels, quality=95).numpy()
