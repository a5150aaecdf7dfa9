"""Linear models on frozen features or raw inputs: what feature extraction trains, and the floor that needs no piece.

A classification gets multinomial logistic regression, several labels one logistic regression each, values ridge
regression, by scikit-learn.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from piecehub.transfer.kinds import Kind

Floats = NDArray[np.float32]
Head = tuple[NDArray[np.float64], NDArray[np.float64]]

# A label that all shots have, or none, says so with a logit of this size: a share of 0.993.
_CERTAIN = 5.0


def fit(features: Floats, labels: NDArray[Any], inverse_regularization: float, kind: Kind = "classification") -> Head:
    """Weights `[width, outputs]` and bias `[outputs]` of the linear model.

    The features are centred and divided by *one* number, their root mean square, so that the same grid of C fits
    every piece whatever the scale of its output, and directions keep their relation to each other.
    """
    values = features.astype(np.float64)
    centre = values.mean(axis=0)
    values -= centre  # in place, as raw inputs are large
    scale = float(np.sqrt(np.mean(values**2))) or 1.0
    values /= scale
    kernel, bias = _fit(values, labels, inverse_regularization, kind)
    kernel = kernel / scale
    return kernel, bias - centre @ kernel


def logits(features: Floats, head: Head) -> Floats:
    """`[examples, outputs] float32`."""
    kernel, bias = head
    return (features.astype(np.float64) @ kernel + bias).astype(np.float32)


def _fit(values: Any, labels: NDArray[Any], inverse_regularization: float, kind: Kind) -> Head:
    match kind:
        case "classification":
            return _logistic(values, labels, inverse_regularization)
        case "multi_label":
            heads = [_one_label(values, labels[:, i], inverse_regularization) for i in range(labels.shape[1])]
            return np.stack([kernel for kernel, _ in heads], axis=1), np.array([bias for _, bias in heads])
        case "regression":
            return _ridge(values, labels, inverse_regularization)


def _logistic(values: Any, labels: NDArray[Any], inverse_regularization: float) -> Head:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=inverse_regularization, max_iter=1000).fit(values, labels)
    kernel, bias = np.asarray(model.coef_).T, np.asarray(model.intercept_)
    if kernel.shape[1] == 1:  # scikit-learn keeps one column for two classes
        return np.hstack([-kernel / 2, kernel / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    return kernel, bias


def _one_label(values: Any, labels: NDArray[Any], inverse_regularization: float) -> tuple[NDArray[np.float64], float]:
    from sklearn.linear_model import LogisticRegression

    if np.ptp(labels) == 0:
        return np.zeros(values.shape[1]), _CERTAIN if labels[0] else -_CERTAIN
    model = LogisticRegression(C=inverse_regularization, max_iter=1000).fit(values, labels)
    return np.asarray(model.coef_)[0], float(np.asarray(model.intercept_)[0])


def _ridge(values: Any, labels: NDArray[Any], inverse_regularization: float) -> Head:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=1 / inverse_regularization).fit(values, labels)
    return np.asarray(model.coef_).reshape(-1, 1), np.atleast_1d(np.asarray(model.intercept_))
