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
    clock = _Clock()
    model.fit(batches, epochs=1, verbose=0, callbacks=[clock])
    print(clock.pictures_per_s())


class _Clock(keras.callbacks.Callback):
    """Times an epoch from the end of its first step, which traces, to its last."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.ended, self.steps = 0.0, 0.0, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.ended, self.steps = time.monotonic(), batch
        if batch == 0:
            self.started = self.ended

    def pictures_per_s(self) -> float:
        return self.steps * BATCH / (self.ended - self.started)


if __name__ == "__main__":
    main(*sys.argv[1:])
