"""A short training of the full model by the run's own code, timed step by step."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from piecehub.examples.features import Features
from piecehub.examples.ingest import ingest
from piecehub.examples.layout import split_folder
from piecehub.examples.stream import Decode, Stream
from piecehub.extraction.piece import parent_keyword
from piecehub.facts.tables import TrainTable
from piecehub.training import full_model as training
from piecehub.training.batches import steps
from piecehub.training.decoding import decode_of
from piecehub.training.devices import find_devices
from piecehub.training.own_code import OwnCode
from piecehub.training.recipe_modules import get_function, load_module
from piecehub.training.resume import Checkpoints
from pipelines.cost.arithmetic import TrainingTimes, training_times
from pipelines.cost.sample import Sampled, take_sample
from pipelines.cost.stopwatch import Stopwatch
from pipelines.recipe.tables import LoadedRecipe

STEPS, LOOKS = 24, 8  # of an epoch, and of an evaluation
_EPOCHS = 2  # the first traces


@dataclass(frozen=True)
class Trained:
    """What the short training gave: `source` says what it was, `folder` holds the full model."""

    folder: Path
    cpu_s: float
    source: str


def rehearse(
    loaded: LoadedRecipe, examples: Path, splits: dict[str, Sampled], devices: str, parent: Path | None,
    stopwatch: Stopwatch, scratch: Path,
) -> Trained:  # fmt: skip
    """Trains the full model for a few steps, and tells what all of them take.

    Args:
        loaded: the recipe.
        examples: those that were ingested.
        splits: what part of all those are.
        devices: on which it is trained.
        parent: the published piece that the recipe starts from.
        stopwatch: is told of the training.
        scratch: where everything is written.
    """
    config = loaded.config
    streams = _few(loaded, examples, config.train.batch_size, scratch / "few")
    told = replace(TrainTable.of(config.train), epochs=min(_EPOCHS, config.train.epochs), steps_per_epoch=None)
    trial = _Short(loaded, streams, devices, parent, scratch)
    pass_steps, looks = (splits[name].all_records / told.batch_size for name in ("train", "eval"))
    an_epoch = config.train.steps_per_epoch or pass_steps
    with stopwatch.during("training"):
        marks = trial.train(told, scratch / "full_model")
    took = stopwatch.last.cpu_s
    few, few_looks = (steps(len(stream), told.batch_size) for stream in streams)
    if marks or not told.epochs:
        times = training_times(marks, took, few, few_looks)
    else:
        times = _of_own_fit(trial, told, took, few, stopwatch, scratch / "longer")
    source = f"{few} of at most {config.train.epochs * an_epoch:,.0f} steps"
    return Trained(scratch / "full_model", times.total_s(config.train.epochs, an_epoch, pass_steps, looks), source)


def keep(loaded: LoadedRecipe, parent: Path | None, stopwatch: Stopwatch, scratch: Path) -> Trained:
    """The full model with the weights that it comes with, where there are no examples to train it on: all of it."""
    config, model = loaded.config, loaded.config.model
    features = Features.of_schema(str(loaded.folder / config.data.schema))
    decode = decode_of(loaded.folder, model.read_by(config.data.decode))
    with stopwatch.during("training"):
        training.keep(
            get_function(load_module(loaded.folder, model.module), model.function),
            {**model.arguments, **parent_keyword(parent)},
            Stream.specs_of(features, decode),
            config.data.label,
            TrainTable.of(config.train),
            scratch / "full_model",
            loaded.folder / model.checkpoint if model.checkpoint else None,
        )
    return Trained(scratch / "full_model", stopwatch.last.cpu_s, "all of it")


def _few(loaded: LoadedRecipe, examples: Path, batch_size: int, folder: Path) -> tuple[Stream, Stream]:
    """As many records of both splits as the short training takes."""
    config = loaded.config
    for split, batches in (("train", STEPS), ("eval", LOOKS)):
        records = Path(split_folder(str(examples), split))
        take_sample(records, folder / "records" / split, most_records=batches * batch_size)
    ingest(str(folder / "records"), ("train", "eval"), folder / "examples")
    features = Features.of_schema(str(loaded.folder / config.data.schema))
    decode: Decode | None = decode_of(loaded.folder, config.model.read_by(config.data.decode))
    train, held_out = (Stream.open(str(folder / "examples"), split, features, decode) for split in ("train", "eval"))
    return train, held_out


@dataclass(frozen=True)
class _Short:
    loaded: LoadedRecipe
    streams: tuple[Stream, Stream]
    devices: str
    parent: Path | None
    scratch: Path

    def train(self, told: TrainTable, out: Path) -> list[tuple[str, float]]:
        """Trains into `out`; returns what happened when, by the processor's clock: nothing of a `fit` of its own."""
        config, timer = self.loaded.config, _Timer()
        module = load_module(self.loaded.folder, config.model.module)
        own = OwnCode.of(module, told)
        training.train(
            get_function(module, config.model.function),
            {**config.model.arguments, **parent_keyword(self.parent)},
            *self.streams,
            config.data.label,
            told,
            out.with_name(f"{out.name}-logs"),
            out,
            own if own.fit else replace(own, callbacks=_with(timer, own.callbacks)),
            Checkpoints(out.with_name(f"{out.name}-resume")),
            find_devices(self.devices),
            self.loaded.folder / config.model.checkpoint if config.model.checkpoint else None,
        )
        return timer.marks


def _of_own_fit(
    trial: _Short, told: TrainTable, took: float, few: int, stopwatch: Stopwatch, out: Path
) -> TrainingTimes:
    """A recipe's own `fit` tells of no step: what an epoch more takes is divided by its steps."""
    with stopwatch.during("training"):
        trial.train(replace(told, epochs=told.epochs + 2), out)
    each = max(0.0, stopwatch.last.cpu_s - took) / 2
    return TrainingTimes(max(0.0, took - told.epochs * each), 0.0, each / few, 0.0)


def _with(timer: "_Timer", own: Callable[[], Any] | None) -> Callable[[], Any]:
    def both() -> list[Any]:
        made = own() if own else []
        return [*(made if isinstance(made, list | tuple) else [made]), timer]

    return both


class _Timer(keras.callbacks.Callback):
    """Notes the processor's clock at each step, and at each batch of an evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[tuple[str, float]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._mark("epoch")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._mark("step")

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._mark("look")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._mark("end")

    def _mark(self, what: str) -> None:
        self.marks.append((what, time.process_time()))
