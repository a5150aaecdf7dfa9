"""Each entry of `[train]`, held against a plain Keras script that uses the same: weights and history are equal."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from piecehub.errors import TrainingError
from piecehub.facts.tables import KERAS_OPTIMIZERS, TrainTable
from piecehub.training import full_model
from piecehub.training.determinism import deterministic_operations
from piecehub.training.own_code import OwnCode
from pipelines.recipe import training_checks
from tests.streams import make_stream

ROWS, BATCH, STEPS = 41, 8, 6


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Rows of four numbers, with one of three classes, which are not equally many, and a weight."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 4)).astype(np.float32)
    label = np.digitize(x.sum(1) + rng.normal(size=ROWS), [0.5, 1.5]).astype(np.int64)
    arrays = {"x": x, "label": label, "importance": rng.random(ROWS).astype(np.float32)}
    return make_stream(tmp_path_factory.mktemp("rows"), arrays)


def build(*, seed: int) -> Any:
    inputs = keras.Input((4,), name="x")
    x = keras.layers.Dropout(0.2, seed=seed)(keras.layers.Dense(8, "tanh")(inputs))
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.BatchNormalization()(x)))


def _augment(features: Any, seed: Any) -> Any:
    return {**features, "x": features["x"] + tf.random.stateless_normal([4], seed)}


def _loss(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.mean(keras.ops.square(y_pred - keras.ops.cast(y_true[:, None], "float32")), axis=-1)


def _near(y_true: Any, y_pred: Any) -> Any:
    off: Any = keras.ops.abs(y_pred[:, 0] - keras.ops.cast(y_true, "float32"))
    return keras.ops.cast(off < 0.5, "float32")


def _plateau() -> Any:
    return [keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=0, min_delta=0.05)]


def _falling() -> Any:
    return [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)]


CLASSES = {"class_weight": {"0": 0.5, "2": 4.0}}
RATE: Any = 0.05
ADAM: Any = lambda: keras.optimizers.Adam(RATE)  # noqa: E731
_schedules: Any = keras.optimizers.schedules
_optimizers: Any = keras.optimizers


@dataclass(frozen=True)
class Option:
    """What a recipe says, and what a plain Keras script says for it."""

    told: dict[str, Any]
    optimizer: Callable[[], Any] = ADAM
    fit: dict[str, Any] = field(default_factory=dict[str, Any])
    callbacks: Callable[[], list[Any]] = list
    own: OwnCode = field(default_factory=OwnCode)
    precision: str = "float32"
    weight: str = ""
    steps: int = STEPS


OPTIONS = {
    "a name": Option({"optimizer": "sgd"}, lambda: keras.optimizers.SGD(RATE)),
    "a table": Option(
        {"optimizer": {"class_name": "SGD", "config": {"momentum": 0.9, "nesterov": True}}},
        lambda: keras.optimizers.SGD(RATE, momentum=0.9, nesterov=True),
    ),
    "a table with its rate": Option(
        {"optimizer": {"class_name": "Lion", "config": {"learning_rate": 0.01}}, "learning_rate": None},
        lambda: keras.optimizers.Lion(0.01),
    ),
    "moving averages": Option(
        {"optimizer": {"class_name": "Adam", "config": {"use_ema": True, "ema_momentum": 0.9}}},
        lambda: keras.optimizers.Adam(RATE, use_ema=True, ema_momentum=0.9),
    ),
    "a function": Option(
        {"optimizer": "make"},
        lambda: keras.optimizers.AdamW(RATE, weight_decay=0.1),
        own=OwnCode(optimizer=lambda learning_rate: keras.optimizers.AdamW(learning_rate, weight_decay=0.1)),
    ),
    "cosine": Option(
        {"schedule": {"class_name": "CosineDecay"}},
        lambda: _optimizers.Adam(_schedules.CosineDecay(RATE, 3 * STEPS)),
    ),
    "cosine after a warm-up": Option(
        {
            "schedule": {"class_name": "CosineDecay", "config": {"warmup_target": 0.1, "warmup_steps": 4}},
            "learning_rate": 0.001,
        },
        lambda: _optimizers.Adam(_schedules.CosineDecay(0.001, 3 * STEPS - 4, warmup_target=0.1, warmup_steps=4)),
    ),
    "steps": Option(
        {
            "schedule": {"class_name": "PiecewiseConstantDecay", "config": {"boundaries": [5], "values": [0.1, 0.01]}},
            "learning_rate": None,
        },
        lambda: _optimizers.Adam(_schedules.PiecewiseConstantDecay([5], [0.1, 0.01])),
    ),
    "clipnorm": Option({"gradient_clip": {"clipnorm": 0.1}}, lambda: keras.optimizers.Adam(RATE, clipnorm=0.1)),
    "global_clipnorm": Option(
        {"gradient_clip": {"global_clipnorm": 0.1}}, lambda: keras.optimizers.Adam(RATE, global_clipnorm=0.1)
    ),
    "clipvalue": Option({"gradient_clip": {"clipvalue": 0.01}}, lambda: keras.optimizers.Adam(RATE, clipvalue=0.01)),
    "early stopping": Option(
        {"early_stopping": {"patience": 2, "min_delta": 0.01}, "learning_rate": 0.5, "epochs": 12},
        lambda: keras.optimizers.Adam(0.5),
        {"epochs": 12},
        lambda: [keras.callbacks.EarlyStopping(patience=2, min_delta=0.01, restore_best_weights=True)],
    ),
    "class weights": Option(CLASSES, fit={"class_weight": {0: 0.5, 1: 1.0, 2: 4.0}}),
    "sample weights": Option({"sample_weight": "importance"}, weight="importance"),
    "steps of an epoch": Option({"steps_per_epoch": 4}, steps=4),
    "bfloat16": Option({"precision": "mixed_bfloat16"}, precision="mixed_bfloat16"),
    "float16": Option({"precision": "mixed_float16"}, precision="mixed_float16"),
    "callbacks": Option({"callbacks": "make"}, callbacks=_falling, own=OwnCode(callbacks=_falling)),
    "a plateau": Option({"callbacks": "make"}, callbacks=_plateau, own=OwnCode(callbacks=_plateau)),
    "augment": Option({"augment": "change"}, own=OwnCode(augment=_augment)),
    "a loss": Option({"loss": "loss", "accuracy": "near"}, own=OwnCode(loss=_loss, accuracy=_near)),
}


def _settings(told: dict[str, Any]) -> TrainTable:
    return TrainTable(**{"epochs": 3, "batch_size": BATCH, "learning_rate": RATE, "seed": 1, **told})


def _plain(stream: Any, option: Option) -> tuple[list[Any], dict[str, Any]]:
    """A plain Keras script, on the batches of several passes one after the other."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(option.precision)
    model = build(seed=1)
    keras.config.set_dtype_policy("float32")
    loss: Any = option.own.loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metric: Any = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    if option.own.accuracy:
        metric = keras.metrics.MeanMetricWrapper(option.own.accuracy, name="accuracy")
    model.compile(option.optimizer(), loss, metrics=[metric], jit_compile=False)
    names = ["x", "label", *filter(None, [option.weight])]
    dataset = stream.shuffled(1, 0, BATCH, 0, option.own.augment)
    for number in range(1, 12):
        dataset = dataset.concatenate(stream.shuffled(1, number, BATCH, 0, option.own.augment))
    rows, held_out = (data.map(lambda b: tuple(b[name] for name in names)) for data in (dataset, stream.in_order(8)))
    told = {"epochs": 3, "steps_per_epoch": option.steps, **option.fit}
    history = model.fit(rows, validation_data=held_out, callbacks=option.callbacks(), shuffle=False, verbose=0, **told)
    return [variable.numpy() for variable in model.variables], history.history


# What shares its ways with another option of the table takes its time in `make test-long`.
_LONG = (
    *("a table with its rate", "steps", "cosine", "clipnorm", "clipvalue", "bfloat16", "callbacks", "a loss"),
    *("class weights", "a name"),
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in _LONG else []) for name in OPTIONS]
)
def test_an_option_does_what_keras_does(name: str, stream: Any, tmp_path: Path) -> None:
    option = OPTIONS[name]
    facts = full_model.train(
        build, {}, stream, stream, "label", _settings(option.told), tmp_path / "logs", tmp_path / "full", option.own
    )
    with deterministic_operations():
        expected, history = _plain(stream, option)
    found = full_model.restore(build, {}, 1, tmp_path / "full").variables
    for variable, value in zip(found, expected, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    assert facts.history == {key: [float(value) for value in values] for key, values in history.items()}
    assert keras.config.dtype_policy().name == "float32"
    if name == "early stopping":
        assert 2 < len(facts.history["val_loss"]) < 12
        assert facts.evaluation["loss"] == pytest.approx(min(facts.history["val_loss"]))


def test_every_entry_stands_in_the_table_above_or_has_a_test_of_its_own() -> None:
    here = {key for option in OPTIONS.values() for key in option.told}
    elsewhere = {"epochs", "batch_size", "seed", "fit"}
    assert here | elsewhere == set(TrainTable.__dataclass_fields__)


def test_balanced_weights_are_those_of_scikit_learn(stream: Any) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    from piecehub.training.class_weights import balanced

    labels = np.concatenate([batch["label"] for batch in stream.as_arrays()])
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    assert [balanced(stream, "label")[each] for each in range(3)] == pytest.approx(expected.tolist())
    assert len(set(expected)) == 3


def test_classes_that_a_model_does_not_tell_are_counted(stream: Any) -> None:
    from piecehub.training.class_weights import class_weights

    found = class_weights(object(), _settings({"class_weight": {"0": 2.0}}), stream, "label")
    assert found == {0: 2.0, 1: 1.0, 2: 1.0}


def test_balanced_weights_are_used(stream: Any, tmp_path: Path) -> None:
    from piecehub.training.class_weights import balanced

    one, other = (
        full_model.train(
            build, {}, stream, stream, "label", _settings({"class_weight": told, "epochs": 1}),
            tmp_path / name / "logs", tmp_path / name / "full",
        )
        for name, told in (("named", "balanced"), ("told", {str(k): v for k, v in balanced(stream, "label").items()}))
    )  # fmt: skip
    assert one.history == other.history


def test_what_the_recipe_knows_of_keras_is_what_keras_has() -> None:
    import inspect

    from keras.src.optimizers import ALL_OBJECTS

    known = {each.__name__.lower() for each in ALL_OBJECTS} - {"optimizer"}
    known -= {"lossscaleoptimizer", "multioptimizer", "optimizermap"}  # around others, which a name does not tell
    assert set(KERAS_OPTIMIZERS) == known
    takes = set(inspect.signature(keras.callbacks.EarlyStopping.__init__).parameters) - {"self"}
    assert set(training_checks.EARLY_STOPPING) == takes


@pytest.mark.parametrize(
    ("told", "own", "words"),
    [
        ({"optimizer": {"class_name": "Adamm"}}, {}, "an optimizer of 'train.optimizer'"),
        ({"optimizer": {"class_name": "Adam", "config": {"beta": 1}}}, {}, "an optimizer of 'train.optimizer'"),
        ({"optimizer": "make"}, {"optimizer": lambda learning_rate: "adam"}, "a Keras optimizer. Received: str"),
        ({"schedule": {"class_name": "Cosine"}}, {}, "one of CosineDecay, .*Received: 'Cosine'"),
        ({"schedule": {"class_name": "CosineDecay", "config": {"alph": 1}}}, {}, "takes in 'train.schedule'.*alph"),
        (
            {"early_stopping": {"patience": 1, "monitor": "val_f1", "mode": "max"}, "epochs": 2},
            {},
            "val_f1.*not available",
        ),
        ({"callbacks": "make"}, {"callbacks": lambda: [1]}, "a list of Keras callbacks. Received: a int"),
        ({"callbacks": "make"}, {"callbacks": lambda: keras.callbacks.BackupAndRestore("x")}, "without 'BackupAndR"),
        ({"sample_weight": "gone"}, {}, "no 'gone' among importance, label, x"),
        (
            {
                "optimizer": {"class_name": "Adam", "config": {"clipnorm": 1.0}},
                "gradient_clip": {"clipvalue": 1.0},
            },
            {},
            "clipped in one way",
        ),
    ],
)
def test_what_keras_refuses_is_one_sentence(
    told: dict[str, Any], own: dict[str, Any], words: str, stream: Any, tmp_path: Path
) -> None:
    places = tmp_path / "logs", tmp_path / "full"
    with pytest.raises(TrainingError, match=words) as caught:
        full_model.train(build, {}, stream, stream, "label", _settings(told), *places, OwnCode(**own))
    assert "\n" not in caught.value.sentence
    assert keras.config.dtype_policy().name == "float32"
