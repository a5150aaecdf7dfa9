"""TensorBoard's event files, written by TensorFlow alone: TensorFlow 2.21 no longer brings the tensorboard package.

<log_dir>/train/events.out.tfevents.*          epoch_<metric>, as Keras's own callback names them
<log_dir>/validation/events.out.tfevents.*
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class EventFiles(keras.callbacks.Callback):
    """Writes each metric at the end of each epoch, and where training goes on also those of the epochs before."""

    def __init__(self, log_dir: Path) -> None:
        super().__init__()
        self._writers = {
            split: tf.summary.create_file_writer(str(log_dir / split)) for split in ("train", "validation")
        }
        self._written = set[int]()  # a set is not kept in checkpoints: these files are new

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes one epoch's metrics."""
        self._write_earlier(epoch)
        self.write(epoch, logs or {})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the files."""
        self._write_earlier(len(self._recorded.epoch))
        self.close()

    @property
    def _recorded(self) -> keras.callbacks.History:
        model: Any = self.model
        return model.history

    def _write_earlier(self, before: int) -> None:
        recorded = self._recorded.history
        for epoch in sorted({*range(before)} - self._written):
            self.write(epoch, {name: values[epoch] for name, values in recorded.items() if epoch < len(values)})

    def write(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Writes the metrics of an epoch."""
        self._written.add(epoch)
        for name, value in logs.items():
            with self._writers["validation" if name.startswith("val_") else "train"].as_default():
                _write_scalar(f"epoch_{name.removeprefix('val_')}", float(value), epoch)

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()


def _write_scalar(tag: str, value: float, step: int) -> None:
    """What `tf.summary.scalar` writes (tensorboard/plugins/scalar/metadata.py)."""
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    metadata.data_class = 1  # DATA_CLASS_SCALAR (tensorflow/core/framework/summary.proto)
    tf.summary.write(tag, tf.constant(value, tf.float32), step=step, metadata=metadata)
