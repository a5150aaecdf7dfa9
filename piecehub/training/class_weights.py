"""How much the examples of each class count."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from piecehub.errors import TrainingError
from piecehub.examples.features import Features
from piecehub.examples.stream import Stream
from piecehub.facts.tables import TrainTable


def class_weights(model: Any, settings: TrainTable, stream: Stream, label: str) -> dict[int, float] | None:
    """A weight for each class that there is, as Keras' `fit` takes it; None if all count alike."""
    told = settings.class_weight
    if told is None:
        return None
    outputs = getattr(model, "output_shape", None)
    known = outputs[-1] if isinstance(outputs, tuple) and not settings.loss else None
    counts = {} if known and isinstance(told, dict) else _counts(stream, label)
    weights = {int(key): value for key, value in told.items()} if isinstance(told, dict) else _balanced(counts)
    return {each: float(weights.get(each, 1.0)) for each in range(max(known or 0, 1 + max((*weights, *counts))))}


def balanced(stream: Stream, label: str) -> dict[int, float]:
    """Classes by the inverse of how often they are: examples / (classes * examples of the class).

    The rule is scikit-learn's (`sklearn.utils.class_weight.compute_class_weight`).
    """
    return _balanced(_counts(stream, label))


def most_frequent(stream: Stream, label: str) -> float:
    """The share of the most frequent class, which always naming it gets right."""
    counts = _counts(stream, label)
    return max(counts.values()) / sum(counts.values())


def _balanced(counts: Mapping[int, int]) -> dict[int, float]:
    return {each: sum(counts.values()) / (len(counts) * count) for each, count in counts.items()}


def _counts(stream: Stream, label: str) -> dict[int, int]:
    """How often each class is, by a pass for which nothing else is read of an example, unless it has to be decoded."""
    if stream.decode is None and label in stream.features.specs:
        stream = replace(stream, features=Features({label: stream.features.specs[label]}))
    counts: Counter[int] = Counter()
    for batch in stream.as_arrays():
        found = _one_each(batch[label])
        if found.ndim != 1 or (found != np.round(found)).any() or (found < 0).any():
            raise TrainingError(
                f"Expected a class, a whole number from 0, in each example for 'train.class_weight'. Received: other "
                f"values in '{label}'."
            )
        counts.update(found.astype(int).tolist())
    return dict(counts)


def _one_each(values: np.ndarray) -> np.ndarray:
    """`[batch]` of `[batch, 1]`."""
    return values.reshape(-1) if values.size == len(values) else values
