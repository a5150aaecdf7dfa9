"""A recipe's own `fit`: what it is given, and what becomes of what it reports."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import TrainingError
from piecehub.facts.kept import kept_by
from piecehub.facts.progress import progress_to
from piecehub.facts.tables import TrainTable
from piecehub.store.keeping import InBucket
from piecehub.store.posix import PosixBackend
from piecehub.training import full_model
from piecehub.training.own_code import OwnCode
from piecehub.training.own_fit import Training
from piecehub.training.resume import Checkpoints
from tests.streams import make_stream
from tests.training.killed import arrays, build

SETTINGS = TrainTable(epochs=3, batch_size=8, learning_rate=0.05, seed=1, fit="my_fit")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_stream(tmp_path_factory.mktemp("rows"), arrays())


def _train(stream: Any, folder: Path, fit: Any, settings: TrainTable = SETTINGS, **others: Any) -> Any:
    places = folder / "logs", folder / "full"
    return full_model.train(build, {}, stream, stream, "label", settings, *places, OwnCode(fit=fit), **others)


def by_hand(training: Training) -> None:
    """A loop of one's own, as a `train.py` has it."""
    model: Any = training.model
    optimizer: Any = keras.optimizers.SGD(training.settings.learning_rate)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for epoch in range(training.settings.epochs):
        losses: list[float] = []
        tape: Any
        for x, y in training.train.batches(training.settings.batch_size, epoch):
            with tf.GradientTape() as tape:
                loss = loss_of(y, model(x, training=True))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            losses.append(float(loss))
        training.report(epoch=epoch, loss=float(np.mean(losses)), my_number=epoch / 2)


def test_a_loop_of_ones_own_is_trained_reported_and_measured(stream: Any, tmp_path: Path) -> None:
    told: list[str] = []
    with progress_to(lambda value: told.append(value.text)):
        facts = _train(stream, tmp_path, by_hand)
    assert facts.history["my_number"] == [0.0, 0.5, 1.0]
    assert facts.history["loss"][2] < facts.history["loss"][0]
    assert told[0].startswith("epoch 1 of 3, loss ")
    model: Any = full_model.restore(build, {}, 1, tmp_path / "full")
    right = np.mean(model.predict(arrays()["x"], verbose=0).argmax(1) == arrays()["label"])
    assert facts.evaluation["accuracy"] == pytest.approx(right)
    assert facts.optimizer == {}
    preview = json.loads((tmp_path / "full" / "preview.json").read_text())
    assert preview["data"]["series"] == facts.history
    [events] = (tmp_path / "logs" / "train").glob("events.out.tfevents.*")
    found = [tf.compat.v1.Event.FromString(r) for r in tf.data.TFRecordDataset(str(events)).as_numpy_iterator()]
    tags = [value.tag for event in found for value in event.summary.value]
    assert tags.count("epoch_my_number") == 3


def test_kerass_fit_in_ones_own_is_what_ours_does(stream: Any, tmp_path: Path) -> None:
    def with_keras(training: Training) -> None:
        model: Any = training.model
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.05), loss, jit_compile=False)
        for epoch in range(3):
            dataset = training.train.batches(8, epoch)
            found = model.fit(dataset, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=0)
            training.report(epoch=epoch, loss=found.history["loss"][0])
        assert (len(training.train), len(training.evaluation)) == (61, 61)
        assert len(list(training.evaluation.in_order(8))) == 8

    own = _train(stream, tmp_path / "own", with_keras)
    plain = TrainTable(epochs=3, batch_size=8, learning_rate=0.05, seed=1)
    ours = _train(stream, tmp_path / "ours", None, plain)
    assert own.history["loss"] == ours.history["loss"]
    assert own.evaluation == ours.evaluation
    assert own.optimizer["class_name"] == "Adam"


def test_a_fit_finds_its_own_folder_again_and_it_is_gone_afterwards(stream: Any, tmp_path: Path) -> None:
    seen: list[str] = []

    def stumbling(training: Training) -> None:
        mark = training.resume_folder / "mark"
        seen.append(mark.read_text() if mark.exists() else "nothing")
        mark.write_text("half-way")
        if len(seen) == 1:
            raise ValueError("the machine is gone")
        training.report(epoch=0, loss=1.0)

    checkpoints = Checkpoints(tmp_path / "resume")
    with pytest.raises(TrainingError, match=r"Expected 'my_fit' to train the model.*the machine is gone.*test_own_fit"):
        _train(stream, tmp_path, stumbling, checkpoints=checkpoints)
    _train(stream, tmp_path, stumbling, checkpoints=checkpoints)
    assert seen == ["nothing", "half-way"]
    assert not (tmp_path / "resume").exists()
    _train(stream, tmp_path / "again", stumbling)
    assert seen[-1] == "nothing"


def test_on_an_empty_disk_a_fit_finds_its_folder_as_it_was_at_its_last_report(stream: Any, tmp_path: Path) -> None:
    seen: list[str] = []

    def stumbling(training: Training) -> None:
        mark = training.resume_folder / "mark"
        seen.append(mark.read_text() if mark.exists() else "nothing")
        mark.write_text("an epoch")
        training.report(epoch=0, loss=1.0)
        mark.write_text("half of another")
        if len(seen) == 1:
            raise ValueError("the pod is gone")

    for disk in ("first", "second"):
        (tmp_path / disk).mkdir()
        with kept_by(InBucket({tmp_path / disk: PosixBackend(tmp_path / "kept")})):
            expected = pytest.raises(TrainingError, match="the pod is gone") if disk == "first" else nullcontext()
            with expected:
                _train(stream, tmp_path, stumbling, checkpoints=Checkpoints(tmp_path / disk / "resume"))
    assert seen == ["nothing", "an epoch"]


def test_what_is_reported_again_takes_the_place_of_what_was_and_only_numbers_are_taken(
    stream: Any, tmp_path: Path
) -> None:
    def twice(training: Training) -> None:
        training.report(epoch=1, loss=3.0, val_loss=2.0)
        training.report(epoch=0, loss=5.0)
        training.report(epoch=1, loss=np.float32(4.0), val_loss=tf.constant(1.0))  # type: ignore[arg-type]

    assert _train(stream, tmp_path, twice).history == {"loss": [5.0, 4.0], "val_loss": [1.0]}

    def wrong(training: Training) -> None:
        training.report(epoch=0, loss="much")  # type: ignore[arg-type]

    with pytest.raises(TrainingError, match="Expected numbers in 'report'"):
        _train(stream, tmp_path / "wrong", wrong)
    with pytest.raises(TrainingError, match="Expected a finite loss"):
        _train(stream, tmp_path / "diverged", lambda training: training.report(epoch=0, loss=float("nan")))
