"""D24 and D25: statistics that a piece gathers in training and reads at inference, as batch normalization does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.conformance.loaded import Loaded, flat
from piecehub.conformance.pace import affordable, paced
from piecehub.conformance.passes import Gradient, seen_of, some_loss, trained
from piecehub.conformance.verdict import Verdict, held, names, nothing, short

_CALLS, _LEAST_CALLS = 40, 4
_ALL_BYTES = 1 << 31  # of activations, in all calls: a large model makes fewer
_LARGEST_SLOPE = 1 + 1e-3
_NO_DECAY = 1 - 1e-6
_NOISE = 0.5
_UNBOUNDED = 1e6  # times what a statistic and one were at the start
_NO_TRAINING = nothing("No call with training=True.")


@dataclass(frozen=True)
class Line:
    """What a call in training makes of a statistic s, on one and the same batch: `slope * s + offset`.

    Attributes:
        slope: the median over the statistic's numbers; the momentum of a moving average.
        spread: the largest distance of a single number's slope from it; infinite if there is no number for it.
        offset: what it makes of 0.
    """

    slope: float
    spread: float
    offset: np.ndarray


def follow_the_batch(loaded: Loaded) -> Verdict:
    """D24: a statistic that inference reads, and training does not, is written in training.

    Batch normalization takes the statistics of the batch in training and running ones at inference. If nothing moves
    those, then what is served after fine-tuning is not what was trained. What training reads too, as a frozen layer's
    weights and statistics, may stay as it is.
    """
    if not loaded.has_training:
        return _NO_TRAINING
    moved = {variable.ref() for variable in moved_floats(loaded)}
    trainable = {variable.ref() for variable in loaded.trainable_variables}
    still = [v for v in loaded.captured if v.dtype.is_floating and v.ref() not in moved | trainable]
    stale = _not_read_in_training(loaded, read_at_inference(loaded, still))
    if stale:
        received = f"{names(stale)}, which only inference reads and nothing writes"
        return short("running statistics that training writes", received, "update them where training=True")
    return held(f"{len(moved)} variables move in training; inference reads no statistic that nothing writes.")


def stay_bounded(loaded: Loaded) -> Verdict:
    """D25: a statistic settles while the same batch comes again and again."""
    if not loaded.has_training:
        return _NO_TRAINING
    statistics = moved_floats(loaded)
    if not statistics:
        return held("No statistic moves in training.")
    expected, remedy = "running statistics that settle on one and the same batch", "look at how they are updated"
    lines = _by_ref(statistics, loaded.once(moved_lines))
    if steep := [v for v in statistics if abs(lines[v.ref()].slope) > _LARGEST_SLOPE]:
        slope = lines[steep[0].ref()].slope
        return short(expected, f"{names(steep[:1])}, which a call multiplies by {slope:.4g}", remedy)
    if sums := _sums(loaded, statistics, lines):
        return short(expected, f"{names(sums)} that add up without end", remedy)
    calls = affordable(_CALLS, loaded.examples * loaded.activation_bytes, _ALL_BYTES, at_least=_LEAST_CALLS)
    if sick := _after_calls(loaded, statistics, calls):
        return short(expected, f"{names(sick[:1])}, out of all bounds after {calls} calls", remedy)
    return held(f"{len(statistics)} statistics settle.")


def moved_floats(loaded: Loaded) -> list[tf.Variable]:
    """The variables of floats that a forward pass in training changes, but for trainable ones (D13)."""
    trainable = {variable.ref() for variable in loaded.trainable_variables}
    return [v for v in loaded.once(trained).moved if v.dtype.is_floating and v.ref() not in trainable]


def lines_of(loaded: Loaded, statistics: Sequence[tf.Variable], seed: int = 0) -> list[Line]:
    """The line of each statistic, from a call where it is 0 and one where it is 1; variables are as before then.

    All are set at once. Where one does not bear 0 or 1, as the vector of a spectral normalization, and so spoils
    others, each is tried by itself.
    """
    found = _lines(loaded, statistics, seed)
    if all(np.isfinite(line.spread) and line.spread < _NOISE for line in found):
        return found
    return [_lines(loaded, [variable], seed)[0] for variable in statistics]


def read_at_inference(loaded: Loaded, variables: Sequence[tf.Variable]) -> list[tf.Variable]:
    """Those that move an output at inference."""
    gradients = _gradients(loaded, variables, loaded.obj)
    return [v for v, gradient in zip(variables, gradients, strict=True) if gradient.exists and not gradient.is_zero]


def moved_lines(loaded: Loaded) -> list[Line]:
    """The lines of `moved_floats`; for `Loaded.once`."""
    return lines_of(loaded, moved_floats(loaded))


def _lines(loaded: Loaded, statistics: Sequence[tf.Variable], seed: int) -> list[Line]:
    inputs = loaded.draw(loaded.examples, seed)
    results: list[list[np.ndarray]] = []
    for start in (0.0, 1.0):
        with loaded.unchanged():
            for variable in statistics:
                variable.assign(tf.cast(tf.fill(tf.shape(variable), start), variable.dtype))
            loaded.train(inputs)
            results.append([variable.numpy().astype("f8") for variable in statistics])
    return [_line(zero, one) for zero, one in zip(*results, strict=True)]


def _line(zero: np.ndarray, one: np.ndarray) -> Line:
    """Statistics of noise (dropout before) make the median exact enough."""
    if zero.shape != one.shape or not zero.size:
        return Line(1.0, 0.0, zero)
    differences = one - zero
    slope = float(np.median(differences))
    spread = float(np.max(np.abs(differences - slope)))
    return Line(slope, spread if np.isfinite(spread) else float("inf"), zero)


def _not_read_in_training(loaded: Loaded, variables: Sequence[tf.Variable]) -> list[tf.Variable]:
    """Those that no output in training depends on.

    No gradient says so by itself. A gradient of 0 does not: that of a bias before batch normalization is 0 up to
    rounding. Then the outputs must be the same to the last bit, whatever the variable is.
    """
    gradients = _gradients(loaded, variables, loaded.train)
    return [
        variable
        for variable, gradient in zip(variables, gradients, strict=True)
        if not gradient.exists or (gradient.is_zero and _is_ignored(loaded, variable))
    ]


def _is_ignored(loaded: Loaded, variable: tf.Variable) -> bool:
    inputs = loaded.draw(loaded.examples)
    with loaded.unchanged() as before:
        first = flat(loaded.train(inputs))
        loaded.restore(before)
        variable.assign_add(tf.ones_like(variable))
        second = flat(loaded.train(inputs))
    return all(np.array_equal(first[name], second[name]) for name in first)


def _gradients(loaded: Loaded, variables: Sequence[tf.Variable], call: Callable[[Any], Any]) -> tuple[Gradient, ...]:
    """Of some loss on the outputs, by each variable."""
    if not variables:
        return ()
    with loaded.unchanged(), tf.GradientTape() as tape:
        tape.watch(variables)
        loss = some_loss(call(loaded.draw(loaded.examples)))
    return seen_of(tape.gradient(loss, variables))


def _sums(loaded: Loaded, statistics: Sequence[tf.Variable], lines: dict[Any, Line]) -> list[tf.Variable]:
    """Statistics that nothing decays, and that inference reads.

    Counters do that too, as some pieces have one. Where inference reads a counter, it may divide by it, so that sums
    beside it are parts of a mean.
    """
    added = [v for v in statistics if lines[v.ref()].slope > _NO_DECAY and np.any(lines[v.ref()].offset)]
    read = read_at_inference(loaded, added)
    others = _by_ref(read, lines_of(loaded, read, seed=1)) if read else {}
    counts = [v for v in read if np.array_equal(lines[v.ref()].offset, others[v.ref()].offset)]
    return [] if counts else read


def _after_calls(loaded: Loaded, statistics: Sequence[tf.Variable], calls: int) -> list[tf.Variable]:
    """The statistics that are not finite, or beyond all measure, after many calls on one batch."""
    inputs = loaded.draw(loaded.examples)
    with loaded.unchanged():
        limits = [_UNBOUNDED * (1 + _largest(variable)) for variable in statistics]
        for _ in paced(calls):
            loaded.train(inputs)
        return [v for v, limit in zip(statistics, limits, strict=True) if not _largest(v) <= limit]


def _largest(variable: tf.Variable) -> float:
    return float(np.max(np.abs(variable.numpy().astype("f8")), initial=0.0))


def _by_ref(variables: Sequence[tf.Variable], lines: Sequence[Line]) -> dict[Any, Line]:
    return {variable.ref(): line for variable, line in zip(variables, lines, strict=True)}
