"""A real network on a tiny budget: trials of it, and the same by hand in Keras. `python -m … write|keras FOLDER`.

The last line of `keras` is how many seconds the second of two trainings took, with its answers.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from piecehub.facts.content import content_digest, list_files
from piecehub.transfer.pool import run_trials
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.tasks import Task, draw_shots, draw_validation
from piecehub.transfer.trials import plan

SIDE, CLASSES, SHOTS, STEPS, BATCH = 96, 5, 25, 20, 32
SEEDS = (0, 1)
_POOL, _TEST = 35, 100
_RATE = 0.001


def task() -> Task:
    """Pictures of noise, in a colour for each class."""
    rng = np.random.default_rng(0)
    labels = np.arange(CLASSES * _POOL + _TEST) % CLASSES
    pixels = (
        rng.integers(0, 200, (len(labels), SIDE, SIDE, 3), np.uint8)
        + (labels * 10).astype(np.uint8)[:, None, None, None]
    )
    count = CLASSES * _POOL
    return Task.from_arrays("noise", pixels[:count], labels[:count], pixels[count:], labels[count:])


def run_ours(folder: Path) -> float:
    """Fine-tuning of both seeds in one worker; the seconds from the end of the first to that of the second."""
    asked = task()
    protocol = Protocol((SHOTS,), SEEDS, (_RATE,), STEPS, BATCH, (1.0,), sensitivity_batch_sizes=())
    digest = content_digest(list_files(folder / "saved_model"))
    planned = plan(asked.digest, digest, dict.fromkeys(SEEDS, "control"), protocol)
    ends: list[float] = []
    run_trials(
        [trial for trial in planned if trial.mode == "fine_tuning"],
        saved_model=folder / "saved_model",
        controls=folder / "controls",
        task=asked,
        trials_folder=folder / "trials",
        workers=1,
        on_progress=lambda done, total, trial: ends.append(time.monotonic()),
    )
    return ends[1] - ends[0]


def write(folder: Path) -> None:
    """Exports the network, whose weights are random."""
    from piecehub.exporting import reusable

    reusable.export(_model(), folder / "saved_model")


def _model() -> Any:
    import keras

    settings: dict[str, Any] = {"include_top": False, "weights": None, "pooling": "avg"}
    return keras.applications.EfficientNetV2B0(input_shape=(SIDE, SIDE, 3), **settings)


def by_hand() -> float:
    """Both seeds by `fit` and `predict` on one model; the seconds of the second."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    asked: Any = task()
    model: Any = keras.Sequential([_model(), keras.layers.Dense(CLASSES, kernel_initializer="zeros")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(_RATE), loss, jit_compile=False)
    seconds = 0.0
    for seed in SEEDS:
        started = time.monotonic()
        training, validation = draw_shots(asked, SHOTS, seed), draw_validation(asked, SHOTS, seed)
        rows = tf.data.Dataset.from_tensor_slices((asked.pool_x[training], asked.pool_y[training]))
        batches = rows.shuffle(len(training), seed=seed).repeat().batch(BATCH).take(STEPS)
        model.fit(batches, epochs=1, verbose=0)
        for part in (asked.pool_x[validation], asked.test_x):
            model.predict(part, batch_size=BATCH, verbose=0)
        seconds = time.monotonic() - started
    return seconds


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]))
    else:
        print(by_hand())
