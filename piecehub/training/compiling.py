"""What is learned, and by which optimizer: the full model, compiled."""

import inspect
from typing import Any

import keras

from piecehub.errors import TrainingError
from piecehub.facts.tables import TrainTable
from piecehub.training.own_code import OwnCode
from piecehub.training.recipe_modules import recipe_code

_schedules: Any = keras.optimizers.schedules
_CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")


def compile_model(model: Any, settings: TrainTable, own: OwnCode, steps: int) -> None:
    """Compiles the full model, and makes its optimizer's variables.

    Args:
        model: built.
        settings: how to train.
        own: the recipe's functions.
        steps: of the whole training, which a schedule may go by.

    Raises:
        TrainingError: if Keras refuses what the settings say of the optimizer.
    """
    loss, metric = measures(own)
    # XLA draws other random numbers, so the result would depend on the machine.
    model.compile(optimizer=make_optimizer(settings, own, steps), loss=loss, metrics=[metric], jit_compile=False)
    model.optimizer.build(model.trainable_variables)


def measures(own: OwnCode) -> tuple[Any, Any]:
    """The loss, and the metric `accuracy`."""
    if own.loss is None or own.accuracy is None:
        classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return classes, keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    return own.loss, keras.metrics.MeanMetricWrapper(own.accuracy, name="accuracy")


def make_optimizer(settings: TrainTable, own: OwnCode, steps: int) -> Any:
    """The optimizer that the settings tell; raises TrainingError if Keras refuses it."""
    rate = _schedule(settings, steps) if settings.schedule else settings.learning_rate
    with recipe_code("an optimizer of 'train.optimizer'", TrainingError):
        if own.optimizer:
            optimizer = own.optimizer(**({} if rate is None else {"learning_rate": rate}))
        else:
            told = settings.optimizer
            table = {"config": {}, **told} if isinstance(told, dict) else {"class_name": told, "config": {}}
            optimizer: Any = keras.optimizers.get(table)
            if rate is not None:
                optimizer.learning_rate = rate
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TrainingError(
            f"Expected 'train.optimizer' to give a Keras optimizer. Received: {type(optimizer).__name__}; return one."
        )
    for kind, value in (settings.gradient_clip or {}).items():
        _clip(optimizer, kind, value)
    return optimizer


def _clip(optimizer: Any, kind: str, value: float) -> None:
    if already := [name for name in _CLIPS if getattr(optimizer, name) is not None]:
        raise TrainingError(
            f"Expected gradients to be clipped in one way. Received: 'train.gradient_clip', and {already[0]} in "
            "'train.optimizer'."
        )
    setattr(optimizer, kind, value)


def _schedule(settings: TrainTable, steps: int) -> Any:
    """The schedule, with the learning rate and the length of the training filled in where its table lacks them."""
    told: dict[str, Any] = {"config": {}, **(settings.schedule or {})}
    kind = getattr(_schedules, told["class_name"], None)
    if not inspect.isclass(kind):
        names = ", ".join(sorted(name for name in dir(_schedules) if inspect.isclass(getattr(_schedules, name))))
        raise TrainingError(f"Expected 'train.schedule' to be one of {names}. Received: '{told['class_name']}'.")
    config = dict(told["config"])
    takes = inspect.signature(kind).parameters
    if settings.learning_rate is not None and "initial_learning_rate" in takes:
        config.setdefault("initial_learning_rate", settings.learning_rate)
    if "decay_steps" in takes:
        warmup = config.get("warmup_steps", 0) if "warmup_target" in config else 0
        config.setdefault("decay_steps", max(1, steps - warmup))
    with recipe_code(f"what {told['class_name']} takes in 'train.schedule'", TrainingError):
        return kind(**config)
