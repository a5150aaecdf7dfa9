"""What somebody writes by hand: one epoch of the same model over the same TFRecords. `python -m … RECORDS MODULE_FILE`.

The last line that it prints is the number of pictures a second.
"""

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from benchmarks.size_world import BATCH

_FEATURES = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}


def main(records: str, model_file: str) -> None:
    """Trains one epoch."""
    spec: Any = importlib.util.spec_from_file_location("peer_model", model_file)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)

    def example(record: Any) -> Any:
        found = recipe.decode(tf.io.parse_single_example(record, _FEATURES))
        return found["image"], found["label"]

    files = sorted(str(path) for path in Path(records, "upstream", "train").iterdir())
    dataset = tf.data.TFRecordDataset(files).shuffle(3000, seed=0)
    batches = dataset.map(example, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(2)
    model = recipe.build_model(seed=100)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.001), loss, metrics=["accuracy"], jit_compile=False)
    pictures = sum(1 for _ in tf.data.TFRecordDataset(files))
    started = time.monotonic()
    model.fit(batches, epochs=1, verbose=0)
    print(pictures / (time.monotonic() - started))


if __name__ == "__main__":
    main(*sys.argv[1:])
