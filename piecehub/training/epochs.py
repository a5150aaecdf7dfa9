"""Keras' own `fit`, an epoch at a time: what lives longer than an epoch is kept here.

`fit` takes one dataset for all its epochs, and would put the same batches into each. So it is called once an epoch, on
that epoch's batches, with one list of callbacks that begin and end once, whatever `fit` says.
"""

from collections.abc import Sequence
from typing import Any

import keras

from piecehub.training.batches import Batches

_CallbackList: Any = keras.callbacks.CallbackList


class LastingCallbacks(_CallbackList):
    """Callbacks that keep their state over calls of `fit`: training begins once, and ends by `end`.

    Attributes:
        history: what was recorded of each epoch, as Keras does it.
    """

    def __init__(self, callbacks: Sequence[Any], model: Any, epochs: int, steps: int) -> None:
        self.history = keras.callbacks.History()
        super().__init__([*callbacks, self.history], model=model, epochs=epochs, steps=steps, verbose=0)
        self._begun = False
        self._left_out = 0

    def leave_out(self, batches: int) -> None:
        """Counts the batches of the next epoch from there on."""
        self._left_out = batches

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Training begins, at the first epoch only."""
        if not self._begun:
            super().on_train_begin(logs)
        self._begun = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """An epoch's `fit` is at its end, and training goes on."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A step begins, with its number in the whole epoch."""
        super().on_train_batch_begin(batch + self._left_out, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A step ends."""
        super().on_train_batch_end(batch + self._left_out, logs)

    def end(self) -> None:
        """Training is at its end."""
        if self._begun:
            super().on_train_end()


def fit(model: Any, batches: Batches, validation: Any, epochs: int, callbacks: LastingCallbacks) -> None:
    """Trains a compiled model as one call of `model.fit` would that had every epoch's own batches."""
    for epoch in range(epochs):
        _fit_epoch(model, batches.epoch(epoch), validation, epoch, callbacks)
        if model.stop_training:
            break
    callbacks.end()


def _fit_epoch(model: Any, dataset: Any, validation: Any, epoch: int, callbacks: LastingCallbacks) -> None:
    model.fit(
        dataset,
        validation_data=validation,
        initial_epoch=epoch,
        epochs=epoch + 1,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
