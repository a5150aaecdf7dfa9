"""Keras' own `fit`, an epoch at a time: what lives longer than an epoch is kept here.

`fit` takes one dataset for all its epochs, and would put the same batches into each. So it is called once an epoch, on
that epoch's batches, with one list of callbacks that begin and end once, whatever `fit` says. Training that goes on
within an epoch gets the rest of its batches, and the state of all that has state as it was then.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import keras

from piecehub.training.batches import Batches
from piecehub.training.resume import Checkpoints, Place

_CallbackList: Any = keras.callbacks.CallbackList


class Onlooker(Protocol):
    """Who is told of each step, after the callbacks; unlike them it makes nobody wait for the loss."""

    def after_step(self, epoch: int, step: int, logs: Mapping[str, Any]) -> None:
        """So many steps of the epoch are done; `logs` are tensors."""
        ...


class LastingCallbacks(_CallbackList):
    """Callbacks that keep their state over calls of `fit`: training begins once, and ends by `end`.

    Attributes:
        history: what was recorded of each epoch, as Keras does it; the last of the callbacks.
    """

    def __init__(
        self,
        callbacks: Sequence[Any],
        model: Any,
        epochs: int,
        steps: int,
        checkpoints: Checkpoints | None = None,
        onlookers: Sequence[Onlooker] = (),
    ) -> None:
        self.history = keras.callbacks.History()
        super().__init__([*callbacks, self.history], model=model, epochs=epochs, steps=steps, verbose=0)
        self._steps, self._checkpoints, self._onlookers = steps, checkpoints, onlookers
        self._begun, self._epoch, self._left_out = False, 0, 0

    def place(self, validation: Any) -> Place:
        """Where training begins, or goes on; `validation` is a dataset of any examples."""
        if not (self._checkpoints and self._checkpoints.exist()):
            return Place()
        with _unchanged(self.model):  # Keras makes the variables of metrics at the first batch
            self.model.evaluate(validation.take(1), verbose=0)
        return self._checkpoints.find(self.model, self.callbacks)

    def leave_out(self, batches: int) -> None:
        """Counts the batches of the next epoch from there on."""
        self._left_out = batches

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Training begins, at the first epoch only."""
        if not self._begun:
            super().on_train_begin(logs)
            self._restore()
        self._begun = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """An epoch begins, or goes on: then state is that of its middle, metrics too, which Keras has just reset."""
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch
        if self._left_out:
            self._restore()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A step begins, with its number in the whole epoch."""
        super().on_train_batch_begin(batch + self._left_out, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A step ends; that of an epoch's last one is told by its end."""
        super().on_train_batch_end(batch + self._left_out, logs)
        done = batch + self._left_out + 1
        for onlooker in self._onlookers:
            onlooker.after_step(self._epoch, done, logs or {})
        if self._checkpoints and done < self._steps and not self.model.stop_training and self._checkpoints.is_due():
            self._save(Place(self._epoch, done))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """An epoch ends, and is kept."""
        super().on_epoch_end(epoch, logs)
        if self._checkpoints:
            self._save(Place(epoch + 1, 0, bool(self.model.stop_training)))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """An epoch's `fit` is at its end, and training goes on."""

    def end(self) -> None:
        """Training is at its end."""
        super().on_train_end({name: values[-1] for name, values in self.history.history.items()} or None)

    def _restore(self) -> None:
        if self._checkpoints:
            self._checkpoints.restore(self.model, self.callbacks)

    def _save(self, place: Place) -> None:
        assert self._checkpoints
        self._flush_futures()  # Keras may tell callbacks of a step in a thread of their own
        self._checkpoints.save(place, self.model, self.callbacks)


def fit(
    model: Any,
    batches: Batches,
    validation: Any,
    epochs: int,
    callbacks: LastingCallbacks,
    class_weight: Mapping[int, float] | None = None,
) -> None:
    """Trains a compiled model as one call of `model.fit` would that had every epoch's own batches."""
    if not epochs:
        return
    start = callbacks.place(validation)
    with _finalized_once(model):
        for epoch in range(start.epoch, epochs if not start.stopped else 0):
            callbacks.leave_out(skip := start.step if epoch == start.epoch else 0)
            model.fit(
                batches.epoch(epoch, skip),
                validation_data=validation,
                initial_epoch=epoch,
                epochs=epoch + 1,
                callbacks=callbacks,
                class_weight=class_weight,
                shuffle=False,
                verbose=0,
            )
            if model.stop_training:
                break
        else:
            callbacks.on_train_begin()  # nothing was left to train
    callbacks.end()


@contextmanager
def _unchanged(model: Any) -> Iterator[None]:
    """Variables of the model have their values of before: a layer may draw random numbers when it is evaluated, too."""
    before = [variable.numpy() for variable in model.variables]
    yield
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)


@contextmanager
def _finalized_once(model: Any) -> Iterator[None]:
    """Each `fit` ends with what belongs to the end of training, such as weights becoming their moving average."""
    finalize = model.optimizer.finalize_variable_values
    model.optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del model.optimizer.finalize_variable_values
    finalize(model.trainable_weights)
