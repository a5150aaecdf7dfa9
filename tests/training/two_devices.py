"""Trainings on two logical devices of the CPU, for a process of its own; prints what came of them as JSON."""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf

from piecehub.facts.content import list_files
from piecehub.facts.tables import TrainTable
from piecehub.training import full_model
from piecehub.training.determinism import deterministic_operations
from piecehub.training.devices import Devices, find_devices
from piecehub.training.own_code import OwnCode
from piecehub.training.resume import Checkpoints
from tests.streams import make_stream
from tests.training.killed import arrays, build

SETTINGS = TrainTable(epochs=2, batch_size=8, learning_rate=0.05, seed=1, early_stopping={"patience": 5})


class Killed(keras.callbacks.Callback):
    """Stops the process's training in the middle of the second epoch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 3 and self.model.optimizer.iterations.numpy() > 8:
            raise ValueError("killed")


def plain(stream: Any, strategy: Any) -> list[Any]:
    """A plain Keras script that uses the same strategy."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    with deterministic_operations(), strategy.scope():
        model: Any = build(seed=1)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        model.compile(keras.optimizers.Adam(0.05), loss, metrics=[metric], jit_compile=False)
        dataset = stream.shuffled(1, 0, 8).concatenate(stream.shuffled(1, 1, 8))
        rows, held_out = (data.map(lambda b: (b["x"], b["label"])) for data in (dataset, stream.in_order(8)))
        stopping = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
        model.fit(rows, validation_data=held_out, epochs=2, steps_per_epoch=8, callbacks=[stopping], verbose=0)
        return [variable.numpy() for variable in model.variables]


def decode(features: Any) -> Any:
    """The same, an example at a time."""
    return {"x": features["x"] + 0.0, "label": features["label"]}


def main(folder: Path) -> dict[str, Any]:
    """Trains on two devices in several ways."""
    devices = find_devices("cpu:2")
    stream = make_stream(folder, arrays())

    def train(name: str, found: Devices = devices, **others: Any) -> Any:
        told = {"train_stream": stream, **others}
        places = folder / name / "logs", folder / name / "full"
        settings = told.pop("settings", SETTINGS)
        streams = told.pop("train_stream"), stream
        return full_model.train(build, {}, *streams, "label", settings, *places, devices=found, **told)

    facts = train("two")
    one = train("one", Devices())
    weights = [v.numpy() for v in full_model.restore(build, {}, 1, folder / "two" / "full").variables]
    expected = plain(stream, devices.strategy)
    checkpoints = Checkpoints(folder / "resume", 0.0)
    wanted = TrainTable(**{**SETTINGS.entries(), "callbacks": "make"})
    try:
        killing = OwnCode(callbacks=lambda: [Killed()])
        train("killed", settings=wanted, own=killing, checkpoints=checkpoints)
    except full_model.TrainingError:
        assert checkpoints.exist()
    Killed.on_train_batch_end = keras.callbacks.Callback.on_train_batch_end
    train("killed", settings=wanted, own=killing, checkpoints=checkpoints)
    decoded = train("decoded", train_stream=make_stream(folder / "d", arrays(), decode=decode))
    return {
        "devices": facts.devices,
        "one": [one.devices, one.history["loss"]],
        "loss": facts.history["loss"],
        "equal to Keras": all(np.array_equal(a, b) for a, b in zip(weights, expected, strict=True)),
        "killed equal": list_files(folder / "two" / "full" / "weights") == list_files(folder / "killed/full/weights"),
        "decoded": decoded.history == facts.history,
        "policy": str(tf.distribute.has_strategy()),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
