"""Kinds of downstream tasks: what a head says of an example, and how right that is.

    kind            labels                      head                  metric      an example's score
    classification  [n] int64, 0 to classes-1   a logit per class     accuracy    1 if the largest logit is the label's
    multi_label     [n, labels] of 0 and 1      a logit per label     f1          F1 of the labels with logits above 0
    regression      [n] float64                 one value             r2          1 - (y - p)^2 / variance of all test y

An example's score is at most 1, and its mean over the examples is the metric: scikit-learn's accuracy_score, its
f1_score(average="samples") and its r2_score. So every kind is compared in the same way, paired by example.
"""

from collections.abc import Sequence
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from piecehub.errors import DataError

Kind = Literal["classification", "multi_label", "regression"]
METRICS: dict[Kind, str] = {"classification": "accuracy", "multi_label": "f1", "regression": "r2"}
Scores = NDArray[np.float64]


def check_kind(text: str) -> Kind:
    """`text` as a kind.

    Raises:
        DataError: if there is no such kind.
    """
    if text not in get_args(Kind):
        raise DataError(f"Expected a task of kind {', '.join(METRICS)}. Received: '{text}'.")
    return cast(Kind, text)


def predictions(kind: Kind, outputs: NDArray[Any]) -> NDArray[Any]:
    """What the head's outputs `[…, examples, width]` say: a class, 0s and 1s, or a value, `[…, examples(, labels)]`."""
    match kind:
        case "classification":
            return outputs.argmax(axis=-1)
        case "multi_label":
            return (outputs > 0).astype(np.int64)
        case "regression":
            return outputs[..., 0]


def scores(kind: Kind, labels: NDArray[Any], predicted: NDArray[Any]) -> Scores:
    """How right each prediction is, `[…, examples] float64`.

    Args:
        kind: of the task.
        labels: `[examples(, labels)]`; of a regression those of the whole test part, whose variance is the measure.
        predicted: `[…, examples(, labels)]`, from `predictions`.
    """
    match kind:
        case "classification":
            return (predicted == labels).astype(np.float64)
        case "multi_label":
            both, either = (predicted * labels).sum(axis=-1), predicted.sum(axis=-1) + labels.sum(axis=-1)
            return np.where(either > 0, 2 * both / np.maximum(either, 1), 1.0)
        case "regression":
            return 1 - (labels - predicted.astype(np.float64)) ** 2 / np.var(labels)


def floor_outputs(kind: Kind, pool_labels: NDArray[Any], width: int, examples: int) -> NDArray[np.float32]:
    """What the floor says that looks at no input, `[examples, width]`: log-frequencies of classes, or the mean."""
    match kind:
        case "classification":
            said = np.log(np.maximum(np.bincount(pool_labels, minlength=width) / len(pool_labels), 1e-9))
        case "multi_label":
            share = np.clip(pool_labels.mean(axis=0), 1e-9, 1 - 1e-9)
            said = np.log(share / (1 - share))
        case "regression":
            said = np.array([pool_labels.mean()])
    return np.broadcast_to(said, (examples, width)).astype(np.float32)


def probabilities(kind: Kind, outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Probabilities of several models' logits, `[models, examples, width]`; of a regression the values as they are."""
    values = np.stack(outputs).astype(np.float64)
    match kind:
        case "classification":
            powers = np.exp(values - values.max(axis=-1, keepdims=True))
            values = powers / powers.sum(axis=-1, keepdims=True)
        case "multi_label":
            values = 1 / (1 + np.exp(-np.clip(values, -80, 80)))
        case "regression":
            pass
    return values.astype(np.float32)
