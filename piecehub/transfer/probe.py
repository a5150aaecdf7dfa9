"""Logistic regression on frozen features: what feature extraction trains."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Head = tuple[NDArray[np.float64], NDArray[np.float64]]


def fit(features: Floats, labels: NDArray[np.int64], inverse_regularization: float) -> Head:
    """Weights `[width, classes]` and bias `[classes]` of a multinomial logistic regression.

    The features are centred and divided by *one* number, their root mean square, so that the same grid of C fits
    every piece whatever the scale of its output, and directions keep their relation to each other.
    """
    from sklearn.linear_model import LogisticRegression

    values = features.astype(np.float64)
    centre = values.mean(axis=0)
    scale = float(np.sqrt(np.mean((values - centre) ** 2))) or 1.0
    model = LogisticRegression(C=inverse_regularization, max_iter=1000).fit((values - centre) / scale, labels)
    coefficients: NDArray[np.float64] = np.asarray(model.coef_)
    kernel, bias = coefficients.T / scale, np.asarray(model.intercept_)
    if kernel.shape[1] == 1:  # scikit-learn keeps one column for two classes
        kernel, bias = np.hstack([-kernel / 2, kernel / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    return kernel, bias - centre @ kernel


def logits(features: Floats, head: Head) -> Floats:
    """`[examples, classes] float32`."""
    kernel, bias = head
    return (features.astype(np.float64) @ kernel + bias).astype(np.float32)
