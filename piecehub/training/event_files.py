"""TensorBoard's event files, written by TensorFlow alone: TensorFlow 2.21 no longer brings the tensorboard package.

<log_dir>/train/events.out.tfevents.*          epoch_<metric>, as Keras's own callback names them
<log_dir>/validation/events.out.tfevents.*
"""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class EventFiles(keras.callbacks.Callback):
    """Writes each metric at the end of each epoch."""

    def __init__(self, log_dir: Path) -> None:
        super().__init__()
        self._writers = {
            split: tf.summary.create_file_writer(str(log_dir / split)) for split in ("train", "validation")
        }

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes one epoch's metrics."""
        for name, value in (logs or {}).items():
            with self._writers["validation" if name.startswith("val_") else "train"].as_default():
                _write_scalar(f"epoch_{name.removeprefix('val_')}", float(value), epoch)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()


def _write_scalar(tag: str, value: float, step: int) -> None:
    """What `tf.summary.scalar` writes (tensorboard/plugins/scalar/metadata.py)."""
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    metadata.data_class = 1  # DATA_CLASS_SCALAR (tensorflow/core/framework/summary.proto)
    tf.summary.write(tag, tf.constant(value, tf.float32), step=step, metadata=metadata)
