"""Trials on made-up pictures of any number and size, on a piece that takes their bytes: what is measured is memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.anonymous import Watch
from piecehub.facts.content import content_digest, list_files
from piecehub.transfer.pool import run_trials
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.spill import rows_folder, spilled
from piecehub.transfer.tasks import task_from_features
from piecehub.transfer.trials import plan

PROTOCOL = Protocol((5,), (0, 1), (0.01,), 2, 8, (1.0,), sensitivity_batch_sizes=())
_WIDTH, _POOL, _BATCH = 8, 20, 50


@dataclass(frozen=True)
class Found:
    """What trials took: memory of the parent and its workers together, and of the largest worker, in MB."""

    trials: int
    peak_mb: float
    worst_mb: float


def export_small_piece(folder: Path, side: int) -> None:
    """Writes `saved_model/` and `controls/seed-K/` of a piece `[batch, side, side, 3] uint8 -> [batch, 8] float32`."""
    root: Any = tf.__internal__.tracking.AutoTrackable()
    kernel = tf.Variable(tf.constant(np.random.default_rng(0).normal(size=(3, _WIDTH)).astype(np.float32)))

    def forward(images: Any, training: bool = False) -> Any:
        del training
        return tf.reduce_mean(tf.cast(images, tf.float32), [1, 2]) @ kernel / 255

    call: Any = tf.function(forward)
    for training in (True, False):
        call.get_concrete_function(tf.TensorSpec([None, side, side, 3], tf.uint8), training=training)
    root.variables, root.trainable_variables, root.regularization_losses = [kernel], [kernel], []
    root.__call__ = call
    tf.saved_model.save(root, str(folder / "saved_model"))
    for seed in PROTOCOL.seeds:
        (folder / "controls" / f"seed-{seed}").mkdir(parents=True)
        tf.train.Checkpoint(v=[kernel]).write(str(folder / "controls" / f"seed-{seed}" / "variables"))


def measure(piece: Path, trials_folder: Path, pictures: int, side: int, workers: int = 2) -> Found:
    """Runs the whole grid on a task of so many test pictures."""
    digest = content_digest(list_files(piece / "saved_model"))
    with rows_folder(trials_folder) as rows:
        pool, test = (spilled(_batches(n, side), n, rows, name) for name, n in (("pool", _POOL), ("test", pictures)))
        with Watch() as watch:
            task = task_from_features("pictures", "label", pool, test)
            trials = plan(task.digest, digest, {seed: f"control {seed}" for seed in PROTOCOL.seeds}, PROTOCOL)
            places = {"saved_model": piece / "saved_model", "controls": piece / "controls", "task": task}
            results = run_trials(trials, **places, trials_folder=trials_folder, workers=workers)
    return Found(len(results), watch.peak_mb, watch.worst_mb)


def _batches(count: int, side: int) -> Iterator[dict[str, Any]]:
    for start in range(0, count, _BATCH):
        labels = np.arange(start, min(start + _BATCH, count)) % 2
        pixels = np.random.default_rng(start).integers(0, 200, (len(labels), side, side, 3), np.uint8)
        pixels += (labels * 50).astype(np.uint8)[:, None, None, None]
        yield {"image": pixels, "label": labels}
