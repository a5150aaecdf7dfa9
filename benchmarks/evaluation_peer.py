"""The peer of the evaluator: the same grid by a plain loop over Keras `fit`, one training after the other.

    python -m benchmarks.evaluation_peer FOLDER     the whole grid, as a process of its own

It gets the same examples, the same starting weights, steps, batch size and learning rate. XLA, which Keras 3 would
choose by itself, is left out, as compiling takes longer here than training; TensorFlow may use all cores.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.evaluation_setting import Scale, Setting
from piecehub.transfer.tasks import Task, draw_shots, draw_validation

_BATCH = 32
_MODES = {"fine_tuning": True, "from_scratch": True, "feature_extraction": False, "random_features": False}


def write_job(setting: Setting, learning_rate: float, head_rate: float) -> None:
    """Writes what the process of its own is asked to do into the setting's folder."""
    setting.task.write(setting.folder / "task")
    job = {"scale": asdict(setting.scale), "learning_rate": learning_rate, "head_rate": head_rate}
    (setting.folder / "job.json").write_text(json.dumps(job), encoding="utf-8")


def frozen_grid(setting: Setting, rates: Sequence[float], steps: int, seeds: Sequence[int]) -> tuple[float, float]:
    """Trains a head on the frozen piece for each shots, seed and rate; mean accuracy on validation and on test.

    The rate is chosen on validation at each number of shots.
    """
    piece = keras.models.load_model(setting.keras_file)
    found: list[Any] = []
    for shots in setting.scale.shots:
        tries = [[_train(piece, False, setting, shots, seed, rate, steps) for seed in seeds] for rate in rates]
        means = np.mean(tries, axis=1)  # [rates, (validation, test)]
        found.append(means[means[:, 0].argmax()])
    validation, test = np.mean(found, axis=0)
    return float(validation), float(test)


def whole_grid(setting: Setting, learning_rate: float, head_rate: float) -> None:
    """Every mode, number of shots and seed, with one setting each."""
    scale = setting.scale
    for mode, trainable in _MODES.items():
        for seed in range(1, 1 + scale.seeds):
            own = mode in ("fine_tuning", "feature_extraction")
            file = setting.keras_file if own else setting.folder / f"control-{seed}.keras"
            for shots in scale.shots:
                piece = keras.models.load_model(file)
                rate = learning_rate if trainable else head_rate
                _train(piece, trainable, setting, shots, seed, rate, scale.steps)


def _train(
    piece: Any, trainable: bool, setting: Setting, shots: int, seed: int, rate: float, steps: int
) -> tuple[float, float]:
    """Trains a new head, and the piece if it is trainable; the accuracy on validation and on test."""
    task = setting.task
    training, validation = draw_shots(task, shots, seed), draw_validation(task, setting.scale.shots[-1], seed)
    piece.trainable = trainable
    model: Any = keras.Sequential([piece, keras.layers.Dense(task.outputs, kernel_initializer="zeros")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    rows = tf.data.Dataset.from_tensor_slices((task.pool_x[training], task.pool_y[training]))
    batches = rows.shuffle(len(training), seed=seed).repeat().batch(_BATCH).take(steps)
    model.fit(batches, epochs=1, verbose=0)
    parts = (task.pool_x[validation], task.pool_y[validation]), (task.test_x[:], task.test_y)
    held, test = (float(np.mean(model.predict(x, batch_size=256, verbose=0).argmax(axis=1) == y)) for x, y in parts)
    return held, test


def _main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in job["scale"].items()}
    scale = Scale(**values)
    setting = Setting(folder, Task.read(folder / "task"), scale)
    whole_grid(setting, job["learning_rate"], job["head_rate"])


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
