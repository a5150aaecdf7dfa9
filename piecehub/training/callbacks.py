"""The callbacks of a training: early stopping, the recipe's own, and TensorBoard's event files."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from piecehub.errors import TrainingError
from piecehub.facts.tables import TrainTable
from piecehub.training.event_files import EventFiles
from piecehub.training.own_code import OwnCode
from piecehub.training.recipe_modules import recipe_code


def callbacks_of(settings: TrainTable, own: OwnCode, log_dir: Path) -> list[Any]:
    """All of them, in the order in which they are told."""
    return [*early_stopping(settings), *(_own(own.callbacks()) if own.callbacks else []), EventFiles(log_dir)]


def early_stopping(settings: TrainTable) -> list[Any]:
    """Keras' own, which gives the best weights back unless it is told otherwise; none if the settings want none."""
    if settings.early_stopping is None:
        return []
    arguments = {"restore_best_weights": True, **settings.early_stopping}
    if "accuracy" in arguments.get("monitor", "val_loss"):
        arguments.setdefault("mode", "max")  # Keras knows it of its own metrics only
    with recipe_code("what Keras' EarlyStopping takes in 'train.early_stopping'", TrainingError):
        return [keras.callbacks.EarlyStopping(**arguments)]


def _own(made: Any) -> list[Any]:
    """What the recipe's function gave, if it is callbacks, and none that would begin where we do."""
    found = list(made) if isinstance(made, list | tuple) else [made]
    for callback in found:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TrainingError(
                f"Expected 'train.callbacks' to give a list of Keras callbacks. Received: a {type(callback).__name__}."
            )
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise TrainingError(
                "Expected callbacks without 'BackupAndRestore', as a killed training goes on by itself. Received: one; "
                "leave it out."
            )
    return found


@contextmanager
def quiet_stopping_is_an_error() -> Iterator[None]:
    """Keras goes on to the last epoch where what early stopping should watch is not measured, and only warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Early stopping conditioned", category=UserWarning)
        warnings.filterwarnings("error", message="Learning rate reduction is conditioned", category=UserWarning)
        yield
