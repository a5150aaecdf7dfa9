"""BatchNorm statistics that fit the shots, whatever momentum the piece was built with.

After few steps running statistics still hold much of their start. With Keras' default momentum 0.99 and 200 steps this
costs the control, whose start is (0, 1), 5 to 6 points, and the piece nothing: a gain that is not there. A running
statistic s becomes m * s + (1 - m) * b in one call with `training=True`, where m is the momentum and b the statistic of
the batch. A call from s = 0 gives s0 = (1 - m) * b, a call from s = 1 gives s1 = m + s0; so m = s1 - s0 and
b = s0 / (1 - m). Nothing of the piece needs to be known for it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Arrays = list[NDArray[np.float64]]

_NOISY_PAIRS = 8
# Above it nothing moved worth the name, or the variable is a counter (s1 - s0 = 1).
_LARGEST_MOMENTUM = 1 - 1e-6


def reestimate(train_call: Callable[[], Any], variables: Sequence[Any], trainable: Sequence[Any]) -> int:
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
    moving = [v for v in variables if id(v) not in trained and v.dtype.is_floating]
    if not moving:
        return 0
    from_zero, from_one = _mean_of_passes(train_call, variables, moving)
    _assign(variables, before)
    count = 0
    for variable, zero, one in zip(moving, from_zero, from_one, strict=True):
        # One momentum for a variable: the median is exact where single differences lose digits.
        momentum = float(np.median(one - zero)) if zero.size else 1.0
        if np.isfinite(zero).all() and -1e-6 <= momentum < _LARGEST_MOMENTUM:
            variable.assign(tf.cast(zero / (1 - momentum), variable.dtype))
            count += 1
    return count


def _mean_of_passes(
    train_call: Callable[[], Any], variables: Sequence[Any], moving: Sequence[Any]
) -> tuple[Arrays, Arrays]:
    """The statistics after a pass from 0 and after one from 1; their means over several pairs if two pairs differ."""
    pairs = [_pair(train_call, variables, moving), _pair(train_call, variables, moving)]
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(pairs[0][0], pairs[1][0], strict=True)):
        pairs += [_pair(train_call, variables, moving) for _ in range(_NOISY_PAIRS - 2)]
    from_zero, from_one = zip(*pairs, strict=True)
    return _means(from_zero), _means(from_one)


def _pair(train_call: Callable[[], Any], variables: Sequence[Any], moving: Sequence[Any]) -> tuple[Arrays, Arrays]:
    """The statistics after a pass from 0 and after one from 1, both with the same dropout.

    The state of a random generator is a variable too: put back between the two, and gone on from pair to pair.
    """
    state = [v.numpy() for v in variables]
    from_zero = _pass(train_call, moving, 0.0)
    _assign(variables, state)
    return from_zero, _pass(train_call, moving, 1.0)


def _pass(train_call: Callable[[], Any], moving: Sequence[Any], start: float) -> Arrays:
    for variable in moving:
        variable.assign(tf.cast(tf.fill(variable.shape, start), variable.dtype))
    train_call()
    return [variable.numpy().astype(np.float64) for variable in moving]


def _means(passes: Sequence[Arrays]) -> Arrays:
    return [np.mean(values, axis=0) for values in zip(*passes, strict=True)]


def _assign(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
