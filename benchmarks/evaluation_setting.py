"""What the speed of the evaluator is measured on: the digits recipe's network, its data, and controls of 5 seeds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from piecehub.exporting import reusable
from piecehub.training.recipe_modules import load_module
from piecehub.transfer.evaluation import Subject
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.tasks import Task

_RECIPE = Path(__file__).parent.parent / "pipelines" / "recipes" / "digits"
_WIDTH, _L2, _DROPOUT, _EARLY, _VIEWS = 32, 1e-4, 0.2, 5, 8
_TEST_SHARE = 0.4


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        epochs: of the piece's upstream training.
        seeds: how many, from 1 on.
        shots, steps: as of the protocol.
        rounds: how often each contender takes its turn.
        naive_steps: what the naive loop may train a head for; the first number is taken that reaches our accuracy.
        naive_rates: its learning rates, as many as we have settings.
    """

    epochs: int = 5
    seeds: int = 5
    shots: tuple[int, ...] = (5, 10, 25, 50)
    steps: int = 200
    rounds: int = 3
    naive_steps: tuple[int, ...] = (100, 200, 400, 800, 1600)
    naive_rates: tuple[float, ...] = (0.003, 0.03, 0.3)

    def protocol(self, learning_rates: tuple[float, ...], settings: tuple[float, ...]) -> Protocol:
        """A protocol with these grids."""
        seeds = tuple(range(1, 1 + self.seeds))
        return Protocol(self.shots, seeds, learning_rates, self.steps, 32, settings, sensitivity_batch_sizes=())


@dataclass(frozen=True)
class Setting:
    """A piece, exported and as its Keras model's file, with controls; and the digits 5-9."""

    folder: Path
    task: Task
    scale: Scale

    @property
    def subject(self) -> Subject:
        """The exported piece with its controls."""
        return Subject(self.folder / "saved_model", self.folder / "controls")

    @property
    def keras_file(self) -> Path:
        """The piece as Keras keeps it."""
        return self.folder / "piece.keras"


def make_setting(folder: Path, scale: Scale) -> Setting:
    """Trains the piece on the digits 0-4 in 8 views, and writes all that is needed into `folder`."""
    early_x, early_y, late_x, late_y = _digits()
    piece = _trained_piece(early_x, early_y, scale.epochs)
    reusable.export(piece, folder / "saved_model")
    piece.save(folder / "piece.keras")
    for seed in range(1, 1 + scale.seeds):
        control = piece_of(_full_model(seed))
        (folder / "controls" / f"seed-{seed}").mkdir(parents=True)
        tf.train.Checkpoint(v=control.variables).write(str(folder / "controls" / f"seed-{seed}" / "variables"))
        control.save(folder / f"control-{seed}.keras")
    split = train_test_split(late_x, late_y, test_size=_TEST_SHARE, stratify=late_y, random_state=0)
    pool_x, test_x, pool_y, test_y = split
    return Setting(folder, Task.from_arrays("digits-5-9", pool_x, pool_y, test_x, test_y), scale)


def piece_of(full_model: keras.Model) -> keras.Model:
    """The network up to its layer `features`."""
    return keras.Model(full_model.inputs, full_model.get_layer("features").output)


def _full_model(seed: int) -> keras.Model:
    build = load_module(_RECIPE, "model.py").build_model
    return build(seed=seed, classes=_EARLY * _VIEWS, l2=_L2, width=_WIDTH, head_dropout=_DROPOUT)


def _digits() -> tuple[Any, ...]:
    """Images and labels of the digits 0-4 in their 8 views, and of the digits 5-9."""
    digits = cast(Bunch, load_digits())
    images, labels = digits.images.astype(np.float32)[..., None], digits.target.astype(np.int64)
    early = labels < _EARLY
    examples = list(load_module(_RECIPE, "data.py").views(images[early], labels[early]))
    views = (np.stack([example[name] for example in examples]) for name in ("image", "label"))
    return *views, images[~early], labels[~early] - _EARLY


def _trained_piece(x: Any, y: Any, epochs: int) -> keras.Model:
    keras.utils.set_random_seed(100)
    full = _full_model(100)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    full.compile(keras.optimizers.Adam(0.002), loss, jit_compile=False)  # pyright: ignore[reportArgumentType]
    full.fit(x, y, batch_size=64, epochs=epochs, verbose=0)  # pyright: ignore[reportArgumentType]
    return piece_of(full)
