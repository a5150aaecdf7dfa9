"""BatchNorm statistics that fit the shots, whatever momentum the piece was built with.

After few steps running statistics still hold much of their start. With Keras' default momentum 0.99 and 200 steps this
costs the control, whose start is (0, 1), 5 to 6 points, and the piece nothing: a gain that is not there. A running
statistic s becomes m * s + (1 - m) * b in one call with `training=True`, where m is the momentum and b the statistic of
the batch. A call from s = 0 gives s0 = (1 - m) * b, a call from s = 1 gives s1 = m + s0; so m = s1 - s0 and
b = s0 / (1 - m). Nothing of the piece needs to be known for it.

**What is estimated.** In inference a layer normalizes by its running mean and variance, which are to be those of all
shots. All shots in one call would give them, and would take as much memory as all their activations: 0.7 MB an example
of 96 x 96 pixels. So they are called in batches of the training's size, and what the batches had is pooled:

    mean       the batches' means, weighted by their rows
    variance   the batches' variances, weighted alike, and the variance of the batches' means around the pooled one

For a layer that sees no other BatchNorm layer before it this is exactly the mean and the variance of all shots, however
they are dealt to batches. A deeper layer sees inputs that were normalized by their own batch, as in training. Its
statistics are those of training's activations with the final weights: what Keras' running ones come to if training goes
on and the weights stand still, but for the variance of the means, which Keras leaves out and population statistics have
("precise BatchNorm", Wu and Johnson, "Rethinking Batch in BatchNorm", 2021). They depend a little on how rows are dealt
out, so rows are dealt out anew in each of two passes, and all batches are pooled. Shots are sorted by class and must
be dealt out: a batch of one class would be normalized by that class.

A variance is known by its place: it follows its mean, in one shape, and is negative in no batch. Should the means of
something spread more than means of batches do, it is not taken for that variance's mean, and the variance is the
weighted mean of the batches' own.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Array = NDArray[np.float64]
Arrays = list[Array]
Places = NDArray[np.int64]
# Calls the piece with `training=True` on the examples at some places.
TrainCall = Callable[[Places], Any]

_NOISY_PAIRS = 8
_PASSES = 2
# A mean and a variance of fewer rows say little, whatever batch a training takes.
_LEAST_ROWS = 32
# Means of n rows have a variance of 1 / n of the rows' own; by chance several times that.
_LARGEST_SPREAD = 4.0
# Above it nothing moved worth the name, or the variable is a counter (s1 - s0 = 1).
_LARGEST_MOMENTUM = 1 - 1e-6


def batches(examples: int, batch_size: int, seed: int) -> list[Places]:
    """The places of the examples, dealt to batches of at most `batch_size` (or 32) that differ by one row at most.

    Where they fit into one batch, that is all. Else they are dealt out twice, in two orders that seed and number fix.
    """
    count = -(-examples // max(batch_size, _LEAST_ROWS))
    if count == 1:
        return [np.arange(examples)]
    generator = np.random.default_rng([seed, examples, count])
    orders = [generator.permutation(examples) for _ in range(_PASSES)]
    return [part for order in orders for part in np.array_split(order, count)]


def reestimate(
    train_call: TrainCall, dealt: Sequence[Places], variables: Sequence[Any], trainable: Sequence[Any]
) -> int:
    """Sets each running statistic to its value on the examples in `dealt`, the places of each batch.

    A statistic is a non-trainable float variable that a call with `training=True` moves as above; all other
    variables keep their values. Where dropout makes two equal calls differ, several are averaged.

    Args:
        train_call: calls the piece with `training=True` on one batch.
        dealt: of `batches`.
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
    from_zero, from_one, calls = _mean_of_pairs(partial(train_call, dealt[0]), variables, moving)
    others = [_means([_called(partial(train_call, places), moving, 0.0) for _ in range(calls)]) for places in dealt[1:]]
    _assign(variables, before)
    # One momentum for a variable: the median is exact where single differences lose digits.
    momenta = [
        float(np.median(one - zero)) if zero.size else 1.0 for zero, one in zip(from_zero, from_one, strict=True)
    ]
    seen = [np.stack(values) for values in zip(from_zero, *others, strict=True)]
    found = [
        (variable, values / (1 - momentum))
        for variable, momentum, values in zip(moving, momenta, seen, strict=True)
        if np.isfinite(values).all() and -1e-6 <= momentum < _LARGEST_MOMENTUM
    ]
    pooled = _pooled([values for _, values in found], np.array([len(places) for places in dealt], np.float64))
    for (variable, _), value in zip(found, pooled, strict=True):
        variable.assign(tf.cast(value, variable.dtype))
    return len(found)


def _pooled(statistics: Sequence[Array], rows: Array) -> Arrays:
    """The statistics of all examples, of those of batches, `[batches, …]` each, in the order of the variables."""
    means = [np.average(values, axis=0, weights=rows) if len(rows) > 1 else values[0] for values in statistics]
    place = 1
    while place < len(means) and len(rows) > 1:
        spread = _spread(statistics[place - 1], means[place - 1], statistics[place], means[place], rows)
        if spread is not None:
            means[place] = means[place] + spread
        place += 1 if spread is None else 2
    return means


def _spread(of_means: Array, mean: Array, of_variances: Array, variance: Array, rows: Array) -> Array | None:
    """The variance of the batches' means, if the two statistics are a mean and its variance."""
    if of_means.shape != of_variances.shape or (of_variances < 0).any():
        return None
    spread = np.average((of_means - mean) ** 2, axis=0, weights=rows)
    told = (variance > 0) & (spread > 0)
    share = float(np.median(spread[told] / variance[told])) if told.any() else 0.0
    return spread if share <= _LARGEST_SPREAD / rows.mean() else None


def _mean_of_pairs(
    call: Callable[[], Any], variables: Sequence[Any], moving: Sequence[Any]
) -> tuple[Arrays, Arrays, int]:
    """The statistics after a call from 0 and after one from 1, and of how many calls a mean must be made.

    It is one where two equal pairs are equal; else these are means over several.
    """
    pairs = [_pair(call, variables, moving), _pair(call, variables, moving)]
    noisy = not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(pairs[0][0], pairs[1][0], strict=True))
    if noisy:
        pairs += [_pair(call, variables, moving) for _ in range(_NOISY_PAIRS - 2)]
    from_zero, from_one = zip(*pairs, strict=True)
    return _means(from_zero), _means(from_one), _NOISY_PAIRS if noisy else 1


def _pair(call: Callable[[], Any], variables: Sequence[Any], moving: Sequence[Any]) -> tuple[Arrays, Arrays]:
    """The statistics after a call from 0 and after one from 1, both with the same dropout.

    The state of a random generator is a variable too: put back between the two, and gone on from pair to pair.
    """
    state = [v.numpy() for v in variables]
    from_zero = _called(call, moving, 0.0)
    _assign(variables, state)
    return from_zero, _called(call, moving, 1.0)


def _called(call: Callable[[], Any], moving: Sequence[Any], start: float) -> Arrays:
    for variable in moving:
        variable.assign(tf.cast(tf.fill(variable.shape, start), variable.dtype))
    call()
    return [variable.numpy().astype(np.float64) for variable in moving]


def _means(passes: Sequence[Arrays]) -> Arrays:
    return [np.mean(values, axis=0) for values in zip(*passes, strict=True)]


def _assign(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
