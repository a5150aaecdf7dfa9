"""A tiny training in a process of its own, which somebody may kill; it notes each step as it is done."""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np

from piecehub.examples.stream import Stream
from piecehub.facts.kept import kept_by
from piecehub.facts.tables import TrainTable
from piecehub.store.keeping import InBucket
from piecehub.store.posix import PosixBackend
from piecehub.training import full_model
from piecehub.training.resume import Checkpoints
from tests.streams import features_of, make_stream

SETTINGS = TrainTable(
    epochs=5, batch_size=8, learning_rate=0.05, seed=1, schedule={"class_name": "CosineDecay"},
    early_stopping={"patience": 3, "min_delta": 0.01}, class_weight={"1": 2.0}, gradient_clip={"clipnorm": 1.0},
)  # fmt: skip


def arrays() -> dict[str, np.ndarray]:
    """Sixty-one rows of four numbers, with a class that is hard to tell."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(61, 4)).astype(np.float32)
    return {"x": x, "label": ((x.sum(1) + rng.normal(size=61)) > 0).astype(np.int64)}


def write_data(folder: Path) -> None:
    """The two splits of it."""
    make_stream(folder, arrays())
    make_stream(folder, arrays(), "eval")


def build(*, seed: int) -> keras.Model:
    """Has all that has state: dropout, running statistics, an optimizer with moments."""
    inputs = keras.Input((4,), name="x")
    x = keras.layers.BatchNormalization()(keras.layers.Dense(6, "tanh")(inputs))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dropout(0.3, seed=seed)(x)))


def train(data: str, folder: str, settings: dict[str, Any], seconds: float, disk: str = "") -> None:
    """Trains to the end, into `folder/full`; goes on where the one before was killed.

    With a name of a disk it has that one, which is empty, and what it keeps of it lies in `folder/kept`.
    """
    steps = os.open(f"{folder}/steps", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(epoch: int, step: int) -> None:
        os.write(steps, f"{os.getpid()} {epoch} {step}\n".encode())

    _note_steps(note)
    place = Path(folder, disk).resolve()
    streams = [Stream.open(f"{data}/examples-{split}", split, features_of(arrays())) for split in ("train", "eval")]
    with kept_by(InBucket({place: PosixBackend(Path(folder, "kept"))} if disk else {})):
        full_model.train(
            build, {}, streams[0], streams[1], "label", TrainTable(**settings), Path(folder, "logs"),
            Path(folder, "full"), checkpoints=Checkpoints(place / "resume", seconds),
        )  # fmt: skip


def _note_steps(note: Any) -> None:
    from piecehub.training.progress import Progress

    tell = Progress.after_step

    def after_step(self: Progress, epoch: int, step: int, logs: Any) -> None:
        note(epoch, step)
        tell(self, epoch, step, logs)

    Progress.after_step = after_step
