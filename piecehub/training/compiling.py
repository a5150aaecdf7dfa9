"""What is learned, and by which optimizer: the full model, compiled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from piecehub.facts.tables import TrainTable

Measure = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Objective:
    """What is learned, where it is no classification: `(y_true, y_pred) -> [batch] float32` each.

    Attributes:
        loss: what is made small, of each example.
        accuracy: how right the model is with each example, 0 to 1.
    """

    loss: Measure
    accuracy: Measure


def compile_model(model: Any, settings: TrainTable, objective: Objective | None) -> None:
    """Compiles the full model, and makes its optimizer's variables."""
    optimizer: Any = keras.optimizers.get(settings.optimizer)
    optimizer.learning_rate = settings.learning_rate
    loss, metric = _measures(objective)
    # XLA draws other random numbers, so the result would depend on the machine.
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric], jit_compile=False)
    model.optimizer.build(model.trainable_variables)


def _measures(objective: Objective | None) -> tuple[Any, Any]:
    """The loss, and the metric `accuracy`."""
    if objective is None:
        classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return classes, keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    return objective.loss, keras.metrics.MeanMetricWrapper(objective.accuracy, name="accuracy")
