"""Labels as they were written, as what the trials compute with; what is not of the task's kind is refused."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from piecehub.errors import DataError
from piecehub.transfer.kinds import Kind

# The classes as text (none of a regression), and the labels of pool and test.
Read = tuple[tuple[str, ...], NDArray[Any], NDArray[Any]]


def read_labels(name: str, kind: Kind, pool: NDArray[Any], test: NDArray[Any]) -> Read:
    """Classes and labels of the task `name`, `[examples]`, or `[examples, labels]` where an example has several.

    Raises:
        DataError: if the pool has one class or one value only, the test part has a class that the pool lacks, or
            labels are not of the kind.
    """
    match kind:
        case "classification":
            return _numbered(name, pool, test)
        case "multi_label":
            return _zeros_and_ones(name, pool, test)
        case "regression":
            return _values(name, pool, test)


def _numbered(name: str, pool: NDArray[Any], test: NDArray[Any]) -> Read:
    """Classes as text, and each split's labels as their numbers."""
    classes, numbered = np.unique(pool, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"Expected at least 2 classes in the pool of '{name}'. Received: only '{classes[0]}'.")
    unknown = np.setdiff1d(test, classes)
    if unknown.size:
        raise DataError(
            f"Expected test labels of '{name}' that the pool has too. Received: '{unknown[0]}'; no example of it "
            "can be drawn, so add some to the pool or take it out of the test split."
        )
    text = tuple(c.decode("utf-8", "replace") if isinstance(c, bytes) else str(c) for c in classes)
    return text, numbered.astype(np.int64).reshape(-1), np.searchsorted(classes, test).astype(np.int64)


def _zeros_and_ones(name: str, pool: NDArray[Any], test: NDArray[Any]) -> Read:
    """The labels' numbers, and each split's 0s and 1s."""
    if pool.shape[1] != test.shape[1] or not all(np.isin(y, (0, 1)).all() for y in (pool, test)):
        raise DataError(
            f"Expected rows of 0 and 1, one for each label of '{name}', in pool and test. Received: shapes "
            f"{pool.shape} and {test.shape} of {pool.dtype}; mend the label, or the task's kind."
        )
    return tuple(map(str, range(pool.shape[1]))), pool.astype(np.int64), test.astype(np.int64)


def _values(name: str, pool: NDArray[Any], test: NDArray[Any]) -> Read:
    """No classes, and each split's finite values."""
    if not all(y.dtype.kind in "iuf" and np.isfinite(y).all() for y in (pool, test)):
        raise DataError(f"Expected finite numbers as labels of the regression '{name}'. Received: {pool.dtype}.")
    if np.ptp(pool) == 0 or np.ptp(test) == 0:
        raise DataError(f"Expected different values of '{name}' in pool and test. Received: one value only.")
    return (), pool.astype(np.float64), test.astype(np.float64)
