"""Groups of test examples, by the values of a feature: on which sites, devices or languages a piece helps.

A recipe names the features (`[[task]] slices`). TFMA slices its evaluation by them (`metrics`); evidence holds the same
slices with the intervals that ours have, paired over seeds and test examples.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piecehub.errors import DataError
from piecehub.facts.reference import CONTROLS
from piecehub.transfer import statistics
from piecehub.transfer.kinds import Kind
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.statistics import holm

# A feature of more values than these tells examples apart, not groups of them.
MOST_VALUES = 50
# An interval over fewer examples says nothing of others, so nobody is warned by one.
LEAST_EXAMPLES = 10
_DIGITS = 6


@dataclass(frozen=True)
class Slice:
    """A mode and its control on the test examples whose feature has a value, over the curve.

    Attributes:
        examples: how many there are.
        mean, control_mean: the metric, a share of 1.
        gain, low, high: the difference, paired, with its 95 % interval.
        p_worse: one-sided, of "the mode is not worse than its control".
    """

    feature: str
    value: str
    mode: str
    examples: int
    mean: float
    control_mean: float
    gain: float
    low: float
    high: float
    p_worse: float


def slice_values(task: str, test: Mapping[str, Any], names: Iterable[str]) -> dict[str, NDArray[np.str_]]:
    """For each feature the values of the test part as texts, `[examples]`.

    Raises:
        DataError: if there is no such feature, or it has no text or whole number in each example, or too many values.
    """
    return {name: _values(task, test, name) for name in names}


def measured(
    values: Mapping[str, NDArray[np.str_]], scores: Mapping[str, NDArray[np.float64]], protocol: Protocol, kind: Kind
) -> tuple[Slice, ...]:
    """What each mode that a gate may judge gains on each slice.

    Args:
        values: of each feature, `[examples]`.
        scores: by mode, `[shots, seeds, examples]`.
        protocol: of the trials.
        kind: of the task.
    """
    curves = {mode: statistics.curve_average(table, protocol.shots, kind) for mode, table in scores.items()}
    return tuple(
        _slice(feature, str(value), mode, curves[mode][:, column == value], curves[control][:, column == value])
        for feature, column in values.items()
        for value in np.unique(column)
        for mode, control in CONTROLS.items()
        if mode in curves and control in curves
    )


def lost(slices: Iterable[Slice], mode: str, level: float) -> list[Slice]:
    """Those on which a mode is worse than its control: at a family-wise error of `level`, by Holm's rule."""
    known = [found for found in slices if found.mode == mode and found.examples >= LEAST_EXAMPLES]
    worse = holm([found.p_worse for found in known], level)
    return [found for found, is_worse in zip(known, worse, strict=True) if is_worse]


def _values(task: str, test: Mapping[str, Any], name: str) -> NDArray[np.str_]:
    if name not in test:
        raise DataError(
            f"Expected the feature '{name}' of 'task.slices' in the examples of '{task}'. Received: "
            f"{', '.join(sorted(test))}; mend the name, or the schema."
        )
    column = np.asarray(test[name][:])
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1 or column.dtype.kind not in "iubSUO" or _is_of_arrays(column):
        raise DataError(
            f"Expected a text or a whole number in each example for the slices '{name}' of '{task}'. Received: "
            f"{column.dtype} of shape {column.shape}; make groups of it in 'decode'."
        )
    texts = np.array(
        [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in column.tolist()]
    )
    if (count := len(np.unique(texts))) > MOST_VALUES:
        raise DataError(
            f"Expected at most {MOST_VALUES} values of the slices '{name}' of '{task}'. Received: {count}; make groups "
            "of them in 'decode'."
        )
    return texts


def _is_of_arrays(column: NDArray[Any]) -> bool:
    return column.dtype.kind == "O" and any(not isinstance(one, str | bytes) for one in column.tolist())


def _slice(feature: str, value: str, mode: str, scores: NDArray[np.float64], control: NDArray[np.float64]) -> Slice:
    interval = statistics.two_way_bootstrap(scores - control)
    p_worse = statistics.p_value(control - scores, 0.0)
    numbers = (scores.mean(), control.mean(), interval.estimate, interval.low, interval.high, p_worse)
    return Slice(feature, value, mode, scores.shape[1], *(round(float(number), _DIGITS) for number in numbers))
