"""How much the examples of each class count."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from piecehub.errors import TrainingError
from piecehub.examples.features import Features
from piecehub.examples.stream import Stream
from piecehub.facts.tables import TrainTable


def class_weights(model: Any, settings: TrainTable, stream: Stream, label: str) -> dict[int, float] | None:
    """A weight for each class that the model knows, as Keras' `fit` takes it; None if all count alike."""
    told = settings.class_weight
    if told is None:
        return None
    weights = {int(key): value for key, value in told.items()} if isinstance(told, dict) else balanced(stream, label)
    outputs = getattr(model, "output_shape", None)
    classes = outputs[-1] if isinstance(outputs, tuple) and settings.loss == "" else None
    return {each: float(weights.get(each, 1.0)) for each in range(max(classes or 0, *(key + 1 for key in weights)))}


def balanced(stream: Stream, label: str) -> dict[int, float]:
    """Classes by the inverse of how often they are: examples / (classes * examples of the class).

    The rule is scikit-learn's (`sklearn.utils.class_weight.compute_class_weight`). Labels are counted in a pass of its
    own, for which nothing else is read of an example unless it has to be decoded.
    """
    if stream.decode is None and label in stream.features.specs:
        stream = replace(stream, features=Features({label: stream.features.specs[label]}))
    counts: Counter[int] = Counter()
    for batch in stream.as_arrays():
        found = _one_each(batch[label])
        if found.ndim != 1 or (found != np.round(found)).any():
            raise TrainingError(
                f"Expected a class, a whole number, in each example for 'train.class_weight'. Received: other values "
                f"in '{label}'."
            )
        counts.update(found.astype(int).tolist())
    return {each: len(stream) / (len(counts) * count) for each, count in counts.items()}


def _one_each(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1) if values.size == len(values) else values
