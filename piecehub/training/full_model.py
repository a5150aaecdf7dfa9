"""The full model: built by the recipe, trained here, and kept so that it can be restored.

weights/               checkpoint (drawn in piecehub/training/weights.py)
facts.json             history, losses and accuracy, optimizer's configuration, counts
learning_curves.svg    loss and accuracy by epoch
preview.json           the same, for the pages
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from piecehub.errors import TrainingError
from piecehub.tensors.whole_folder import whole_folder
from piecehub.training import curves, weights
from piecehub.training.building import build_models, knows_its_input, model_input, model_output
from piecehub.training.determinism import deterministic_operations
from piecehub.training.event_files import EventFiles
from piecehub.training.labels import refuse_no_classes
from piecehub.training.recipe_modules import recipe_code

Build = Callable[..., keras.Model]
Arrays = Mapping[str, np.ndarray]
Measure = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class TrainSettings:
    """How to train; `epochs` 0 keeps the random weights, `optimizer` is a name that Keras knows."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    optimizer: str = "adam"


@dataclass(frozen=True)
class Objective:
    """What is learned, where it is no classification: `(y_true, y_pred) -> [batch] float32` each.

    Attributes:
        loss: what is made small, of each example.
        accuracy: how right the model is with each example, 0 to 1.
    """

    loss: Measure
    accuracy: Measure


@dataclass(frozen=True)
class TrainFacts:
    """What training gave.

    Attributes:
        history: by metric, one number an epoch; metrics of the evaluation split begin with `val_`.
        train: loss and accuracy of the finished model on the training split (no dropout), as Keras names them.
        evaluation: the same on the evaluation split.
        optimizer: its configuration, as Keras serializes it.
        parameters: how many numbers the full model holds.
        train_examples: how many examples it saw an epoch.
        eval_examples: how many it was evaluated on.
        settings: what `train` was told.
    """

    history: dict[str, list[float]]
    train: dict[str, float]
    evaluation: dict[str, float]
    optimizer: dict[str, Any]
    parameters: int
    train_examples: int
    eval_examples: int
    settings: TrainSettings


def build_full_model(build: Build, build_kwargs: Mapping[str, Any], seed: int) -> keras.Model:
    """The full model that `build` makes (`build_models`), with its weights.

    Raises:
        TrainingError: if `build` raises, or returns no Keras model with weights.
    """
    return build_models(build, build_kwargs, seed).full


def train(
    build: Build,
    build_kwargs: Mapping[str, Any],
    train_arrays: Arrays,
    eval_arrays: Arrays,
    label: str,
    settings: TrainSettings,
    log_dir: Path,
    out_dir: Path,
    objective: Objective | None = None,
) -> TrainFacts:
    """Trains a full model and writes it to `out_dir`; equal arguments give equal bytes there, in any process.

    Args:
        build: the recipe's function; without an `objective` its model ends in logits, `[batch, classes] float32`.
        build_kwargs: its arguments, but for `seed`.
        train_arrays: features and label by name, `[examples, …]`, in a canonical order.
        eval_arrays: the same for the evaluation split.
        label: which of them is the class, an integer from 0; empty if there is none, and `y_true` is 0.
        settings: the numbers that change the result.
        log_dir: where TensorBoard's event files go.
        out_dir: a folder that is empty or does not exist.
        objective: what is learned; None learns the class.

    Raises:
        TrainingError: if the model cannot be built or trained, or diverges.
        DataError: if labels are no classes of the model.
    """
    with deterministic_operations():
        model = build_full_model(build, build_kwargs, settings.seed)
        _compile(model, settings, objective)
        with recipe_code("the full model to train", TrainingError):
            pairs = _pair(model, train_arrays, label), _pair(model, eval_arrays, label)
            if label and objective is None:
                classes = _classes(model, pairs[0][0])
                refuse_no_classes("train", train_arrays[label], classes)
                refuse_no_classes("eval", eval_arrays[label], classes)
            facts = _fit(model, *pairs, settings, log_dir)
    epochs = (value for values in facts.history.values() for value in values)
    if not np.isfinite([*facts.train.values(), *facts.evaluation.values(), *epochs]).all():
        raise TrainingError("Expected a finite loss. Received: one that diverged; lower the learning rate.")
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


def _compile(model: Any, settings: TrainSettings, objective: Objective | None) -> None:
    optimizer: Any = keras.optimizers.get(settings.optimizer)
    optimizer.learning_rate = settings.learning_rate
    loss, metric = _measures(objective)
    # XLA draws other random numbers, so the result would depend on the machine.
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric], jit_compile=False)


def _measures(objective: Objective | None) -> tuple[Any, Any]:
    """The loss, and the metric `accuracy`."""
    if objective is None:
        classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return classes, keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    return objective.loss, keras.metrics.MeanMetricWrapper(objective.accuracy, name="accuracy")


def _pair(model: Any, arrays: Arrays, label: str) -> tuple[Any, np.ndarray]:
    """Inputs in the form that `model` takes, and labels `[examples]`, which are 0 where there is no label.

    Features are found by the names of the model's inputs; if there is one of each, names need not agree.

    Raises:
        TrainingError: if the label or an input has no feature.
    """
    features = {name: _tensor(array) for name, array in arrays.items() if name != label}
    names = _input_names(model, list(features))
    wanted = list(features) if len(names) == len(features) == 1 else names
    missing = [name for name in (*wanted, *filter(None, [label])) if name not in arrays]
    if missing:
        raise TrainingError(
            f"Expected a feature for each input of the full model, and the label. Received: no '{missing[0]}' among "
            f"{', '.join(sorted(arrays))}; name inputs like features."
        )
    chosen = [features[name] for name in wanted]
    labels = arrays[label].reshape(-1) if label else np.zeros(len(next(iter(arrays.values()))), np.float32)
    if _takes_dict(model, len(chosen)):
        return dict(zip(names, chosen, strict=True)), labels
    return (chosen[0] if len(chosen) == 1 else chosen), labels


def _input_names(model: Any, features: list[str]) -> list[str]:
    """The names of the model's inputs; a subclassed model is called on all features, as it was built (`building`)."""
    if not knows_its_input(model):
        return features
    given = model_input(model)
    return list(given) if isinstance(given, dict) else [tensor.name for tensor in model.inputs]


def _classes(model: Any, inputs: Any) -> int | None:
    """How many logits the model ends in; None of several outputs. One that has no Input tells it by a call."""
    one = keras.tree.map_structure(lambda values: values[:1], inputs)
    output = model_output(model) if knows_its_input(model) else model(one, training=False)
    return output.shape[-1] if hasattr(output, "shape") else None


def _takes_dict(model: Any, inputs: int) -> bool:
    return isinstance(model_input(model), dict) if knows_its_input(model) else inputs > 1


def _tensor(array: np.ndarray) -> Any:
    """Texts as a tensor: Keras takes no arrays of objects."""
    return tf.constant(array) if array.dtype.kind == "O" else array


def _fit(
    model: Any,
    train_pair: tuple[Any, np.ndarray],
    eval_pair: tuple[Any, np.ndarray],
    settings: TrainSettings,
    log_dir: Path,
) -> TrainFacts:
    history = model.fit(
        *train_pair,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        validation_data=eval_pair,
        callbacks=[EventFiles(log_dir)],
        verbose=0,
    ).history
    return TrainFacts(
        history={name: [float(value) for value in values] for name, values in history.items()},
        train=_evaluate(model, train_pair, settings),
        evaluation=_evaluate(model, eval_pair, settings),
        optimizer=cast(dict[str, Any], keras.optimizers.serialize(model.optimizer)),
        parameters=model.count_params(),
        train_examples=len(train_pair[1]),
        eval_examples=len(eval_pair[1]),
        settings=settings,
    )


def _evaluate(model: Any, pair: tuple[Any, np.ndarray], settings: TrainSettings) -> dict[str, float]:
    numbers = model.evaluate(*pair, batch_size=settings.batch_size, verbose=0, return_dict=True)
    return {name: float(value) for name, value in numbers.items()}


def _write(model: keras.Model, facts: TrainFacts, out_dir: Path) -> None:
    with whole_folder(out_dir) as folder:
        weights.save(model, folder / "weights")
        text = json.dumps(asdict(facts), indent=2, sort_keys=True)
        (folder / "facts.json").write_text(text + "\n", encoding="utf-8")
        curves.write(facts.history, folder)
