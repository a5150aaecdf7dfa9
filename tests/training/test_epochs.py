"""Keras' own `fit`, an epoch at a time: weights, callbacks and traces are those of one call of it."""

from typing import Any

import keras
import numpy as np
import pytest

from piecehub.facts.tables import TrainTable
from piecehub.training import epochs
from piecehub.training.batches import Batches, in_order
from piecehub.training.compiling import compile_model
from piecehub.training.determinism import deterministic_operations
from piecehub.training.own_code import OwnCode
from piecehub.training.pairing import pairing
from tests.streams import make_stream

SETTINGS = TrainTable(epochs=3, batch_size=8, learning_rate=0.05, seed=1)


class Counting(keras.layers.Layer):
    """What it gets, and a note of each trace."""

    traced = 0

    def call(self, inputs: Any, training: bool = False) -> Any:
        Counting.traced += bool(training)
        return inputs


def build() -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,), name="x")
    x = keras.layers.Dropout(0.3, seed=5)(keras.layers.Dense(6, "tanh")(inputs))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.BatchNormalization()(Counting()(x))))


class Noting(keras.callbacks.Callback):
    """What callbacks are told, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.told.append("begin")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.told.append(epoch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.told.append((batch, round(float((logs or {})["loss"]), 4)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.told.append(sorted(logs or {}))

    def on_train_end(self, logs: Any = None) -> None:
        self.told.append("end")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Forty-one rows of four numbers, with their class."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(41, 4)).astype(np.float32)
    return make_stream(tmp_path_factory.mktemp("rows"), {"x": x, "label": (x.sum(1) > 0).astype(np.int64)})


def _by_epochs(stream: Any, callbacks: list[Any], settings: TrainTable = SETTINGS) -> Any:
    model = build()
    compile_model(model, settings, OwnCode(), 18)
    pair = pairing(model, stream.element_spec, "label")
    batches = Batches(stream, pair, settings.batch_size, settings.seed)
    lasting = epochs.LastingCallbacks(callbacks, model, settings.epochs, batches.steps)
    epochs.fit(model, batches, in_order(stream, pair, 8), settings.epochs, lasting)
    return model


def _by_keras(stream: Any, callbacks: list[Any]) -> Any:
    """One call of `fit` on the batches of three passes, one after the other."""
    model = build()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(keras.optimizers.Adam(0.05), loss, metrics=[metric], jit_compile=False)
    passes = [stream.shuffled(1, number, 8) for number in range(3)]
    dataset = passes[0].concatenate(passes[1]).concatenate(passes[2]).map(lambda b: (b["x"], b["label"]))
    held_out = stream.in_order(8).map(lambda b: (b["x"], b["label"]))
    model.fit(dataset, epochs=3, steps_per_epoch=6, validation_data=held_out, callbacks=callbacks, verbose=0)
    return model


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_an_epoch_at_a_time_is_what_one_call_of_fit_does(stream: Any) -> None:
    mine, theirs = (Noting(), keras.callbacks.History()), (Noting(), keras.callbacks.History())
    with deterministic_operations():
        one, other = _by_epochs(stream, list(mine)), _by_keras(stream, list(theirs))
    for value, expected in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
    assert mine[0].told == theirs[0].told
    assert mine[1].history == theirs[1].history
    assert mine[1].epoch == [0, 1, 2]


def test_a_step_is_traced_once_for_all_epochs(stream: Any) -> None:
    Counting.traced = 0
    _by_epochs(stream, [], TrainTable(epochs=1, batch_size=8, learning_rate=0.05, seed=1))
    one = Counting.traced
    Counting.traced = 0
    _by_epochs(stream, [])
    assert 0 < Counting.traced == one


class _StopsInTheSecondEpoch(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.model.history.epoch and batch == 2:
            self.model.stop_training = True


def test_a_callback_that_stops_training_stops_it_for_good(stream: Any) -> None:
    noting = Noting()
    history = keras.callbacks.History()
    _by_epochs(stream, [noting, _StopsInTheSecondEpoch(), history])
    assert history.epoch == [0, 1]
    assert [told[0] for told in noting.told if isinstance(told, tuple)] == [0, 1, 2, 3, 4, 5, 0, 1, 2]
    assert noting.told[-1] == "end"
