"""BatchNorm statistics that fit the shots, whatever momentum the piece was built with.

After few steps running statistics still hold much of their start. With Keras' default momentum 0.99 and 200 steps this costs
the control, whose start is (0, 1), 5 to 6 points, and the piece nothing: a gain that is not there. A running
statistic s becomes m * s + (1 - m) * b in one call with `training=True`, where m is the momentum and b the statistic of the
batch. A call from s = 0 gives s0 = (1 - m) * b, a call from s = 1 gives s1 = m + s0; so m = s1 - s0 and
b = s0 / (1 - m). Nothing of the piece needs to be known for it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

_NOISY_PASSES = 8
# Above it nothing moved worth the name, or the variable is a counter (s1 - s0 = 1).
_LARGEST_MOMENTUM = 1 - 1e-6


def reestimate(
    train_call: Callable[[], Any], variables: Sequence[tf.Variable], trainable: Sequence[tf.Variable]
) -> int:
    """Sets each running statistic to its value on the batch that `train_call` feeds.

    A statistic is a non-trainable float variable that a call with `training=True` moves as above; all other
    variables keep their values. Where dropout makes two equal passes differ, several are averaged.

    Args:
        train_call: calls the piece with `training=True` on one batch.
        variables: all variables of the piece.
        trainable: those of them that are trained.

    Returns:
        The number of variables that were set.
    """
    trained = {id(v) for v in trainable}
    before = [v.numpy() for v in variables]
    statistics = [i for i, v in enumerate(variables) if id(v) not in trained and v.dtype.is_floating]
    if not statistics:
        return 0
    started_at_zero = _mean_pass(train_call, variables, before, statistics, 0.0)
    started_at_one = _mean_pass(train_call, variables, before, statistics, 1.0)
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    count = 0
    for i, zero, one in zip(statistics, started_at_zero, started_at_one, strict=True):
        # One momentum for a variable: the median is exact where single differences lose digits.
        momentum = float(np.median(one - zero)) if zero.size else 1.0
        if np.isfinite(zero).all() and -1e-6 <= momentum < _LARGEST_MOMENTUM:
            variables[i].assign((zero / (1 - momentum)).astype(before[i].dtype))
            count += 1
    return count


def _mean_pass(
    train_call: Callable[[], Any],
    variables: Sequence[tf.Variable],
    before: Sequence[NDArray[Any]],
    statistics: Sequence[int],
    start: float,
) -> list[NDArray[np.float64]]:
    """The statistics after one pass from `start`; their mean over several passes if two differ."""
    passes = [_one_pass(train_call, variables, before, statistics, start)]
    # The state of a random generator is a variable too and goes on from pass to pass, so dropout differs.
    passes.append(_one_pass(train_call, variables, None, statistics, start))
    if all(np.array_equal(a, b) for a, b in zip(*passes, strict=True)):
        return passes[0]
    passes += [_one_pass(train_call, variables, None, statistics, start) for _ in range(_NOISY_PASSES - 2)]
    return [np.mean(values, axis=0) for values in zip(*passes, strict=True)]


def _one_pass(
    train_call: Callable[[], Any],
    variables: Sequence[tf.Variable],
    before: Sequence[NDArray[Any]] | None,
    statistics: Sequence[int],
    start: float,
) -> list[NDArray[np.float64]]:
    if before is not None:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
    for i in statistics:
        variables[i].assign(tf.fill(variables[i].shape, tf.cast(start, variables[i].dtype)))
    train_call()
    return [variables[i].numpy().astype(np.float64) for i in statistics]
