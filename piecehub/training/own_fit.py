"""A recipe's own `fit(training)`, for those who have a `train.py`: what it is given, and what it reports.

Data, order, decoding, augmentation, precision, devices and seed are as in our own training. What it does with them is
its own: the finished weights are those that the model has when it returns, and losses are measured by us afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import keras

from piecehub.errors import TrainingError
from piecehub.examples.stream import Augment, Stream
from piecehub.facts.progress import Count, Progress, tell
from piecehub.facts.tables import TrainTable
from piecehub.training.batches import Batches, in_order
from piecehub.training.compiling import measures
from piecehub.training.event_files import EventFiles
from piecehub.training.own_code import OwnCode
from piecehub.training.pairing import Pairing
from piecehub.training.recipe_modules import recipe_code
from piecehub.training.resume import Checkpoints


@dataclass(frozen=True)
class Split:
    """Examples as batches `(x, y)`, or `(x, y, weight)`, as `model.fit` takes them; `len(split)` counts them."""

    _stream: Stream
    _pair: Pairing
    _seed: int
    _steps_per_epoch: int | None = None
    _augment: Augment | None = None

    def __len__(self) -> int:
        """How many examples it has."""
        return len(self._stream)

    def batches(self, batch_size: int, epoch: int, skip: int = 0) -> Any:
        """A `tf.data.Dataset` of the batches of an epoch, from 0, in an order of its own, without the first `skip`.

        Of the training split they are augmented, and as many as `steps_per_epoch` says, if the recipe says so.
        """
        batches = Batches(self._stream, self._pair, batch_size, self._seed, self._steps_per_epoch, self._augment)
        return batches.epoch(epoch, skip)

    def in_order(self, batch_size: int) -> Any:
        """A `tf.data.Dataset` of all batches, once, always in the same order and not augmented."""
        return in_order(self._stream, self._pair, batch_size)


class Report(Protocol):
    """Tells the run how far it is."""

    def __call__(self, *, epoch: int, loss: float, **metrics: float) -> None:
        """Numbers of an epoch that is done, from 0; names that begin with `val_` are of the evaluation split."""
        ...


@dataclass(frozen=True)
class Training:
    """What a recipe's own `fit` is given (`[train] fit`, docs/training.md).

    Attributes:
        model: built, with its first weights, and not compiled.
        train: the training split.
        evaluation: the other one.
        settings: the recipe's `[train]`, as attributes: `settings.epochs`, `settings.learning_rate`, …
        log_folder: for what a person reads afterwards; TensorBoard finds event files below it.
        resume_folder: for checkpoints of your own. A killed training finds it again as it was, as long as nothing has
            changed that training depends on; it is gone when `fit` has returned. Where the disk goes with a killed pod,
            it is found as it was at the last `report`.
        report: to be called after each epoch, as `report(epoch=0, loss=0.5, val_loss=0.6, accuracy=0.8)`. What is
            reported becomes the history, the learning curves, event files, and what the run says of its progress.

    Example:
        >>> def fit(training: piecehub.Training) -> None:
        ...     model, settings = training.model, training.settings
        ...     model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        ...     for epoch in range(settings.epochs):
        ...         found = model.fit(training.train.batches(settings.batch_size, epoch), verbose=0)
        ...         held_out = model.evaluate(training.evaluation.in_order(settings.batch_size), verbose=0)
        ...         training.report(epoch=epoch, loss=found.history["loss"][0], val_loss=held_out)
    """

    model: keras.Model
    train: Split
    evaluation: Split
    settings: TrainTable
    log_folder: Path
    resume_folder: Path
    report: Report


def run(
    model: Any, batches: Batches, held_out: Stream, settings: TrainTable, own: OwnCode, log_dir: Path,
    checkpoints: Checkpoints | None,
) -> dict[str, list[float]]:  # fmt: skip
    """Calls the recipe's `fit`, and leaves the model compiled for being evaluated; returns what was reported."""
    assert own.fit
    reports = _Reports(settings.epochs, log_dir, checkpoints)
    split = Split(batches.stream, batches.pair, batches.seed, batches.steps_per_epoch, batches.augment)
    with _folder(checkpoints) as resume_folder, recipe_code(f"'{settings.fit}' to train the model", TrainingError):
        evaluation = Split(held_out, batches.pair, batches.seed)
        own.fit(Training(model, split, evaluation, settings, log_dir, resume_folder, reports))
    reports.end()
    loss, metric = measures(own)
    optimizer: Any = getattr(model, "optimizer", None)
    model.compile(optimizer, loss, metrics=[metric], jit_compile=False)
    return reports.history()


@contextmanager
def _folder(checkpoints: Checkpoints | None) -> Iterator[Path]:
    """The folder that a killed training finds again; one that it does not where nobody keeps any."""
    if checkpoints:
        folder = checkpoints.folder / "own"
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    else:
        with TemporaryDirectory(prefix="piecehub-fit-") as name:
            yield Path(name)


class _Reports:
    """What was reported, by epoch."""

    def __init__(self, epochs: int, log_dir: Path, checkpoints: Checkpoints | None) -> None:
        self._epochs, self._events, self._checkpoints = epochs, EventFiles(log_dir), checkpoints
        self._found: dict[int, dict[str, float]] = {}

    def __call__(self, *, epoch: int, loss: float, **metrics: float) -> None:
        try:
            found = {"loss": float(loss), **{name: float(value) for name, value in metrics.items()}}
        except (TypeError, ValueError) as error:
            raise TrainingError(f"Expected numbers in 'report'. Received: {error}.") from error
        self._found[int(epoch)] = found
        self._events.write(int(epoch), found)
        if self._checkpoints:
            self._checkpoints.keep()
        tell(Progress(counts=(Count("epoch", epoch + 1, self._epochs),), numbers=found))

    def history(self) -> dict[str, list[float]]:
        """By metric, in the order of epochs."""
        by_epoch = [self._found[epoch] for epoch in sorted(self._found)]
        names = dict.fromkeys(name for found in by_epoch for name in found)
        return {name: [found[name] for found in by_epoch if name in found] for name in names}

    def end(self) -> None:
        """Closes the event files."""
        self._events.close()
