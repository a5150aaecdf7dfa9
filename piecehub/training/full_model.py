"""The full model: built by the recipe, trained here, and kept so that it can be restored.

weights/               checkpoint (drawn in piecehub/training/weights.py)
facts.json             history, losses and accuracy, optimizer's configuration, counts
learning_curves.svg    loss and accuracy by epoch
preview.json           the same, for the pages
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from piecehub.errors import DataError, TrainingError
from piecehub.examples.stream import Stream
from piecehub.facts.tables import TrainTable
from piecehub.tensors.whole_folder import whole_folder
from piecehub.training import checkpoint, curves, epochs, own_fit, weights
from piecehub.training.batches import Batches, in_order
from piecehub.training.building import blank, build_models, feature_specs, knows_its_input, model_output
from piecehub.training.callbacks import callbacks_of, early_stopping, quiet_stopping_is_an_error
from piecehub.training.class_weights import class_weights, most_frequent
from piecehub.training.compiling import compile_model, make_optimizer
from piecehub.training.decoding import RecipeDecode
from piecehub.training.determinism import deterministic_operations
from piecehub.training.devices import Devices
from piecehub.training.labels import may_be_fractions, refuse_labels
from piecehub.training.own_code import OwnCode
from piecehub.training.pairing import pairing
from piecehub.training.precision import precision
from piecehub.training.progress import Progress
from piecehub.training.recipe_modules import recipe_code
from piecehub.training.resume import Checkpoints

Build = Callable[..., keras.Model]


@dataclass(frozen=True)
class TrainFacts:
    """What training gave.

    Attributes:
        history: by metric, one number an epoch; metrics of the evaluation split begin with `val_`.
        train: loss and accuracy of the finished model on the training split (no dropout), as Keras names them; empty
            where there were no examples.
        evaluation: the same on the evaluation split.
        optimizer: its configuration, as Keras serializes it; empty if a `fit` of the recipe's own had none of Keras'.
        parameters: how many numbers the full model holds.
        train_examples: how many examples it saw an epoch.
        eval_examples: how many it was evaluated on.
        settings: what `train` was told.
        devices: on what it ran: their kind, and how many copies of the model there were.
        decode: how examples were decoded (`decoding.RecipeDecode.facts`); empty if they were not.
        majority: the share of the most frequent class in the evaluation split; None for what is no plain classifier.
    """

    history: dict[str, list[float]]
    train: dict[str, float]
    evaluation: dict[str, float]
    optimizer: dict[str, Any]
    parameters: int
    train_examples: int
    eval_examples: int
    settings: dict[str, Any]
    devices: dict[str, Any]
    decode: dict[str, str]
    majority: float | None = None


def build_full_model(build: Build, build_kwargs: Mapping[str, Any], seed: int) -> keras.Model:
    """The full model that `build` makes (`build_models`), with its weights.

    Raises:
        TrainingError: if `build` raises, or returns no Keras model with weights.
    """
    return build_models(build, build_kwargs, seed).full


def refuse_settings(settings: TrainTable, own: OwnCode) -> None:
    """Passes if Keras takes what the settings say of optimizer, schedule and stopping: nothing is trained for it.

    Raises:
        TrainingError: naming what it refuses.
    """
    if not own.fit:
        make_optimizer(settings, own, steps=1000)
        early_stopping(settings)


def train(
    build: Build,
    build_kwargs: Mapping[str, Any],
    train_stream: Stream,
    eval_stream: Stream,
    label: str,
    settings: TrainTable,
    log_dir: Path,
    out_dir: Path,
    own: OwnCode | None = None,
    checkpoints: Checkpoints | None = None,
    devices: Devices | None = None,
    start: Path | None = None,
) -> TrainFacts:
    """Trains a full model and writes it to `out_dir`; equal arguments give equal bytes there, in any process.

    Args:
        build: the recipe's function; without a loss of its own its model ends in logits, `[batch, classes] float32`.
        build_kwargs: its arguments, but for `seed`.
        train_stream: the examples to train on.
        eval_stream: those of the evaluation split.
        label: which feature is the class, an integer from 0; empty if there is none, and `y_true` is 0.
        settings: what changes the result.
        log_dir: where TensorBoard's event files go.
        out_dir: a folder that is empty or does not exist.
        own: the recipe's functions that the settings name.
        checkpoints: of this training, where it goes on if it was killed; removed when it has ended well.
        devices: on which it runs; None is what TensorFlow does by itself.
        start: weights to start from (piecehub/training/checkpoint.py); None is those that `build` gives.

    Raises:
        DataError: if an example cannot be parsed or decoded, or labels are no classes of the model.
        TrainingError: if the model cannot be built or trained, or diverges.
    """
    own, devices = own or OwnCode(), devices or Devices()
    with deterministic_operations(), precision(settings.precision):
        with recipe_code("'decode' to take the examples", TrainingError):
            features = feature_specs(train_stream.element_spec, label, settings.sample_weight)
        _refuse_sparse(train_stream, devices)
        model = build_models(build, build_kwargs, settings.seed, features, devices.scope).full
        if start:
            checkpoint.restore(model, start)
        labels = _Labels(model, features, label if own.loss is None else "", (train_stream, eval_stream))
        labels.refuse_fractions()
        with devices.scope(), _told(labels, train_stream, eval_stream):
            work = _work(model, train_stream, eval_stream, label, settings, own)
            fit = _own_fit if own.fit else _fit
            history = fit(work, settings, own, log_dir, checkpoints)
            majority = most_frequent(eval_stream, labels.label) if labels.label and not own.fit else None
            facts = replace(_facts(work, settings, history, devices), majority=majority)
    found = (value for values in facts.history.values() for value in values)
    if not np.isfinite([*facts.train.values(), *facts.evaluation.values(), *found]).all():
        labels.refuse()  # beyond the classes a loss is NaN where a GPU computes it
        raise TrainingError("Expected a finite loss. Received: one that diverged; lower the learning rate.")
    _write(model, facts, out_dir)
    if checkpoints:
        checkpoints.remove()
    return facts


def keep(
    build: Build,
    build_kwargs: Mapping[str, Any],
    specs: Mapping[str, Any],
    label: str,
    settings: TrainTable,
    out_dir: Path,
    start: Path | None = None,
) -> TrainFacts:
    """Writes a full model with the weights that it comes with, where there are no examples to train it on.

    Args:
        build: as of `train`, and so are `build_kwargs`, `label`, `settings`, `out_dir` and `start`.
        build_kwargs: see there.
        specs: of the features that examples would have (`Stream.specs_of`).
        label: see there.
        settings: see there; of them the seed and the precision count.
        out_dir: see there.
        start: see there.

    Raises:
        TrainingError: if the model cannot be built.
        PieceError: if the weights are not those of the model.
    """
    with deterministic_operations(), precision(settings.precision):
        features = feature_specs(specs, label, settings.sample_weight)
        model = build_models(build, build_kwargs, settings.seed, features).full
        if start:
            checkpoint.restore(model, start)
    facts = TrainFacts(
        history={},
        train={},
        evaluation={},
        optimizer={},
        parameters=model.count_params(),
        train_examples=0,
        eval_examples=0,
        settings=settings.entries(),
        devices={},
        decode={},
    )
    _write(model, facts, out_dir)
    return facts


def restore(build: Build, build_kwargs: Mapping[str, Any], seed: int, folder: Path) -> keras.Model:
    """The full model that `train` wrote to `folder`, with its weights."""
    model = build_full_model(build, build_kwargs, seed)
    weights.load(model, folder / "weights")
    return model


def read_facts(folder: Path) -> dict[str, Any]:
    """`facts.json` of a full model, as plain JSON (see `TrainFacts`)."""
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def _refuse_sparse(stream: Stream, devices: Devices) -> None:
    """TensorFlow 2.21 hands no sparse tensor to several replicas (tensorflow/python/distribute/values.py)."""
    sparse = [name for name, spec in stream.element_spec.items() if isinstance(spec, tf.SparseTensorSpec)]
    if sparse and devices.replicas > 1:
        raise TrainingError(
            f"Expected one device for a sparse feature, as TensorFlow shares none between several. Received: "
            f"{devices.replicas}, and the feature '{sparse[0]}'; make it dense or ragged in 'decode', or take one."
        )


@dataclass(frozen=True)
class _Labels:
    """The classes of all examples, held against what the model ends in; `label` is empty where there are none."""

    model: Any
    features: Any
    label: str
    streams: tuple[Stream, ...]

    def refuse_fractions(self) -> None:
        """Looks before training where TensorFlow would make other classes of the labels without a word."""
        if self.label and any(may_be_fractions(stream, self.label) for stream in self.streams):
            self.refuse()

    def refuse(self) -> None:
        """Looks at every label; raises DataError at one that is no class of the model."""
        if not self.label:
            return
        output: Any = model_output(self.model) if knows_its_input(self.model) else self.model(blank(self.features))
        for stream in self.streams:
            refuse_labels(stream, self.label, output.shape[-1] if hasattr(output, "shape") else None)


@contextmanager
def _told(labels: _Labels, *streams: Stream) -> Iterator[None]:
    """Errors of the recipe's code become one sentence; those that come of an example are the example's."""
    with recipe_code("the full model to train", TrainingError):
        try:
            yield
        except tf.errors.OpError as error:
            if found := next(filter(None, (stream.fault() for stream in streams)), None):
                raise DataError(found) from error
            labels.refuse()
            raise


@dataclass(frozen=True)
class _Work:
    """A model, and what it is trained and evaluated on."""

    model: Any
    batches: Batches
    held_out: Stream
    label: str

    def evaluation(self) -> Any:
        return in_order(self.held_out, self.batches.pair, self.batches.batch_size)

    def training(self) -> Any:
        return in_order(self.batches.stream, self.batches.pair, self.batches.batch_size)


def _work(
    model: Any, train_stream: Stream, eval_stream: Stream, label: str, settings: TrainTable, own: OwnCode
) -> _Work:
    pair = pairing(model, train_stream.element_spec, label, settings.sample_weight)
    batches = Batches(train_stream, pair, settings.batch_size, settings.seed, settings.steps_per_epoch, own.augment)
    return _Work(model, batches, eval_stream, label)


def _fit(
    work: _Work, settings: TrainTable, own: OwnCode, log_dir: Path, checkpoints: Checkpoints | None
) -> Mapping[str, list[Any]]:
    """Trains the model; returns what was recorded of each epoch."""
    steps = work.batches.steps
    compile_model(work.model, settings, own, settings.epochs * steps)
    weighing = class_weights(work.model, settings, work.batches.stream, work.label)
    progress = Progress(settings.epochs, steps, settings.batch_size)
    callbacks = epochs.LastingCallbacks(
        callbacks_of(settings, own, log_dir), work.model, settings.epochs, steps, checkpoints, [progress]
    )
    with quiet_stopping_is_an_error():
        epochs.fit(work.model, work.batches, work.evaluation(), settings.epochs, callbacks, weighing)
    return callbacks.history.history


def _own_fit(
    work: _Work, settings: TrainTable, own: OwnCode, log_dir: Path, checkpoints: Checkpoints | None
) -> Mapping[str, list[Any]]:
    """The same by the recipe's own function."""
    return own_fit.run(work.model, work.batches, work.held_out, settings, own, log_dir, checkpoints)


def _facts(work: _Work, settings: TrainTable, history: Mapping[str, list[Any]], devices: Devices) -> TrainFacts:
    # Where Keras scales the loss, the optimizer that was asked for is inside the one that does.
    optimizer = getattr(work.model.optimizer, "inner_optimizer", work.model.optimizer)
    known = isinstance(optimizer, keras.optimizers.Optimizer)
    decode = work.batches.stream.decode
    return TrainFacts(
        history={name: [float(value) for value in values] for name, values in history.items()},
        train=_evaluate(work.model, work.training()),
        evaluation=_evaluate(work.model, work.evaluation()),
        optimizer=cast(dict[str, Any], keras.optimizers.serialize(optimizer)) if known else {},
        parameters=work.model.count_params(),
        train_examples=len(work.batches.stream),
        eval_examples=len(work.held_out),
        settings=settings.entries(),
        devices=devices.facts(),
        decode=decode.facts() if isinstance(decode, RecipeDecode) else {},
    )


def _evaluate(model: Any, dataset: Any) -> dict[str, float]:
    numbers = model.evaluate(dataset, verbose=0, return_dict=True)
    return {name: float(value) for name, value in numbers.items()}


def _write(model: keras.Model, facts: TrainFacts, out_dir: Path) -> None:
    with whole_folder(out_dir) as folder:
        weights.save(model, folder / "weights")
        text = json.dumps(asdict(facts), indent=2, sort_keys=True)
        (folder / "facts.json").write_text(text + "\n", encoding="utf-8")
        curves.write(facts.history, folder)
