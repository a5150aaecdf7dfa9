"""A killed training goes on within the epoch, to the same bytes; a checkpoint that is not its own is none."""

import itertools
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import NoSpace
from piecehub.facts.content import list_files
from piecehub.facts.tables import TrainTable
from piecehub.training import full_model, resume
from piecehub.training.batches import Batches
from piecehub.training.compiling import compile_model
from piecehub.training.own_code import OwnCode
from piecehub.training.resume import Checkpoints, Place, place_of
from tests.full_disk import full
from tests.streams import make_stream
from tests.training import killed

STEPS = 8


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Starts a training of `killed` in a process of its own, which has TensorFlow imported already."""
    data = tmp_path_factory.mktemp("data")
    killed.write_data(data)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.killed"])

    def start(folder: Path, settings: TrainTable = killed.SETTINGS, seconds: float = 0.0, disk: str = "") -> Any:
        folder.mkdir(exist_ok=True)
        process = context.Process(target=killed.train, args=(str(data), str(folder), asdict(settings), seconds, disk))
        process.start()
        return process

    return start


@pytest.fixture(scope="module")
def unbroken(life: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training, by nobody disturbed."""
    folder = tmp_path_factory.mktemp("unbroken")
    process = life(folder)
    process.join()
    assert process.exitcode == 0
    assert not (folder / "resume").exists()
    return folder


def _steps(folder: Path) -> list[list[int]]:
    """What each life did: `epoch * STEPS + step`, from 1."""
    found: dict[str, list[int]] = {}
    for line in (folder / "steps").read_text().splitlines() if (folder / "steps").exists() else []:
        process, epoch, step = line.split()
        found.setdefault(process, []).append(int(epoch) * STEPS + int(step))
    return list(found.values())


def _kill_somewhere(process: Any, folder: Path, rng: random.Random) -> None:
    """Kills a life a random moment after a random number of steps of its own, or lets it end."""
    lives, wanted = len(_steps(folder)), rng.randint(0, 4)
    while process.is_alive():
        mine = _steps(folder)[lives:]
        if mine and len(mine[0]) > wanted:
            time.sleep(rng.uniform(0, 0.02))
            process.kill()
            break
        time.sleep(0.001)
    process.join()


def _killed_until_done(life: Callable[..., Any], folder: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(kills):
        process = life(folder)
        _kill_somewhere(process, folder, rng)
        assert process.exitcode != 0
    last = life(folder)
    last.join()
    assert last.exitcode == 0


def _hold_against(folder: Path, unbroken: Path, kills: int) -> None:
    assert list_files(folder / "full") == list_files(unbroken / "full")
    lives = _steps(folder)
    assert len(lives) == kills + 1
    for before, after in itertools.pairwise(lives):
        assert before[-1] <= after[0] <= before[-1] + 1  # at most the one step is done again
    assert sum(life[-1] % STEPS != 0 for life in lives[:-1]) >= kills // 2  # most of them in the middle of an epoch
    assert not (folder / "resume").exists()


def test_a_killed_training_ends_with_the_bytes_of_an_unbroken_one(
    life: Callable[..., Any], unbroken: Path, tmp_path: Path
) -> None:
    _killed_until_done(life, tmp_path / "killed", 3, seed=1)
    _hold_against(tmp_path / "killed", unbroken, 3)


def test_on_an_empty_disk_a_training_goes_on_by_what_was_kept_elsewhere(
    life: Callable[..., Any], unbroken: Path, tmp_path: Path
) -> None:
    folder, rng, lives = tmp_path / "killed", random.Random(6), itertools.count()

    def pod(folder: Path) -> Any:
        return life(folder, disk=f"disk-{next(lives)}")

    _kill_somewhere(pod(folder), folder, rng)
    last = pod(folder)
    last.join()
    assert last.exitcode == 0
    _hold_against(folder, unbroken, 1)
    assert list((folder / "kept" / "resume").iterdir()) == []


@pytest.mark.long
def test_twenty_kills_at_random_moments_change_no_bit(life: Callable[..., Any], unbroken: Path, tmp_path: Path) -> None:
    for seed in (2, 3, 4, 5):
        _killed_until_done(life, tmp_path / f"killed-{seed}", 5, seed)
        _hold_against(tmp_path / f"killed-{seed}", unbroken, 5)


def _compiled() -> Any:
    keras.utils.set_random_seed(3)
    model: Any = killed.build(seed=1)
    compile_model(model, killed.SETTINGS, OwnCode(), 40)
    model.evaluate(np.ones((2, 4), np.float32), np.zeros(2), verbose=0)
    return model


class Odd(keras.callbacks.Callback):
    """State of every kind: what is plain is kept, and what is not is left as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Any = {"best": [np.ones(3), (1, np.float32(2.5))], 4: {"deep": None}, "nan": float("inf")}
        self.file: Any = object()
        self.half: Any = [1, object()]


def test_what_is_plain_of_callbacks_is_kept_with_all_variables(tmp_path: Path) -> None:
    model = _compiled()
    stopping = keras.callbacks.EarlyStopping(min_delta=0.5, restore_best_weights=True)
    callbacks = [Odd(), stopping]
    stopping.set_model(model)
    stopping.on_train_begin()
    stopping.on_epoch_end(0, {"val_loss": 2.0})
    Checkpoints(tmp_path).save(Place(2, 7), model, callbacks)
    kept_best: Any = stopping.best_weights
    best = [value.copy() for value in kept_best]

    again: Any = _compiled()
    new: list[Any] = [Odd(), keras.callbacks.EarlyStopping(min_delta=0.5, restore_best_weights=True)]
    for variable in (*again.variables, *again.optimizer.variables, *again.metrics_variables):
        variable.assign(np.ones_like(variable))
    new[0].kept, new[0].half = "other", "mine"
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.find(again, new) == Place(2, 7)
    new[1].set_model(again)
    new[1].on_train_begin()
    checkpoints.restore(again, new)
    for kind in ("variables", "metrics_variables"):
        for one, other in zip(getattr(model, kind), getattr(again, kind), strict=True):
            np.testing.assert_array_equal(one, other)
    for one, other in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    kept: Any = vars(new[0])["kept"]
    np.testing.assert_array_equal(kept["best"][0], np.ones(3))
    assert kept["best"][1] == (1, 2.5) and type(kept["best"][1][1]) is np.float32
    assert kept[4] == {"deep": None} and kept["nan"] == float("inf")
    assert new[0].half == "mine"
    assert (new[1].best, new[1].wait) == (2.0, 0)
    for one, other in zip(best, new[1].best_weights, strict=True):
        np.testing.assert_array_equal(one, other)
    new[1].on_epoch_end(1, {"val_loss": 1.8})  # better, but by less than 0.5
    assert (new[1].best, new[1].wait) == (2.0, 1)


def _damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _later_form(path: Path) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    text = arrays["state"].tobytes().replace(b'"form": 1', b'"form": 2')
    np.savez(path, **{**arrays, "state": np.frombuffer(text, np.uint8)})


def _pickled(path: Path) -> None:
    np.savez(path, state=np.array([Odd], object), allow_pickle=True)


@pytest.mark.parametrize("change", [_damage, _empty, _flip, _later_form, _pickled])
def test_a_checkpoint_that_is_damaged_or_of_another_form_is_told_and_left(
    change: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = _compiled()
    Checkpoints(tmp_path).save(Place(2, 7), model, [])
    [path] = tmp_path.iterdir()
    change(path)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.find(model, []) == Place()
    assert "it starts anew" in caplog.text
    before = model.get_weights()
    checkpoints.restore(model, [])
    assert all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))


def test_a_checkpoint_of_another_model_or_of_other_callbacks_is_told_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Checkpoints(tmp_path).save(Place(1, 1), _compiled(), [])
    assert Checkpoints(tmp_path).find(_compiled(), [Odd()]) == Place()
    assert "other callbacks" in caplog.text
    wider: Any = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    compile_model(wider, killed.SETTINGS, OwnCode(), 40)
    assert Checkpoints(tmp_path).find(wider, []) == Place()
    assert "other variables of the model" in caplog.text


def test_checkpoints_are_due_by_the_clock_and_lie_by_what_training_depends_on(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, 0.0).is_due()
    seldom = Checkpoints(tmp_path, 0.2)
    assert not seldom.is_due()
    time.sleep(0.25)
    assert seldom.is_due()
    one, other = place_of(tmp_path, {"seed": 1, "split": "a"}), place_of(tmp_path, {"split": "a", "seed": 2})
    assert one.parent == other.parent == tmp_path
    assert one != other
    assert one == place_of(str(tmp_path), {"split": "a", "seed": 1})


def _epochs_in_event_files(folder: Path) -> list[int]:
    found: list[int] = []
    for path in sorted((folder / "logs" / "train").glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            found += [event.step for value in event.summary.value if value.tag == "epoch_loss"]
    return found


@pytest.mark.parametrize("patience", [5, 1], ids=["to the last epoch", "stopped early"])
def test_what_was_trained_to_its_end_is_not_trained_again(
    patience: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies when it writes what it trained: averages of weights, and the best ones, are made once."""
    stream = make_stream(tmp_path / "data", killed.arrays())
    told: Any = {
        "optimizer": {"class_name": "Adam", "config": {"use_ema": True, "ema_momentum": 0.8}},
        "early_stopping": {"patience": patience, "min_delta": 0.3 if patience == 1 else 0},
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 0.05,
        "seed": 1,
    }

    def train(name: str, checkpoints: Checkpoints | None) -> Any:
        places = tmp_path / name / "logs", tmp_path / name / "full"
        return full_model.train(
            killed.build, {}, stream, stream, "label", TrainTable(**told), *places, checkpoints=checkpoints
        )

    unbroken = train("unbroken", None)
    assert (len(unbroken.history["loss"]) < 4) == (patience == 1)
    checkpoints = Checkpoints(tmp_path / "resume", 0.0)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
        patch.setattr(full_model, "_write", _no_space)
        train("first", checkpoints)
    with monkeypatch.context() as patch:
        patch.setattr(Batches, "epoch", _no_space)
        train("second", Checkpoints(tmp_path / "resume", 0.0))
    assert list_files(tmp_path / "second" / "full") == list_files(tmp_path / "unbroken" / "full")
    assert _epochs_in_event_files(tmp_path / "second") == list(range(len(unbroken.history["loss"])))


def _no_space(*arguments: Any) -> None:
    raise OSError("no space left")


def test_on_a_full_disk_the_checkpoint_before_stays_and_no_half_one_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "resume"
    weights = [np.arange(4000.0)]
    resume._write(folder, {"step": 1}, weights)
    before = list_files(folder)
    with full(folder, room=500), pytest.raises(NoSpace, match=r"resume'\. Received: no space left on device"):
        resume._write(folder, {"step": 2}, weights)
    assert list_files(folder) == before
    assert resume._read(folder / "checkpoint.npz")[0]["step"] == 1
    os.utime(folder, (1, 1))
    Checkpoints(folder)
    assert folder.stat().st_mtime > 1, "by which a gc knows that a training relies on it again"
    resume._write(folder, {"step": 3}, weights)
    assert resume._read(folder / "checkpoint.npz")[0]["step"] == 3
