"""Intervals that hold for new seeds *and* new test examples.

Rows of all seeds are not independent: they share the test examples, and each seed shares its shots. So both are
resampled, by multinomial weights (Owen 2007, the pigeonhole bootstrap). An interval over rows or over examples only
blesses an untrained piece too often.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piecehub.transfer.kinds import Kind

REPLICATES = 10_000
CONFIDENCE = 0.95
CURVE_SHOTS = 25
_SEED = 20_240_229
_BLOCK = 1_000
# Of a table in double precision, at a time; and of bytes that are held in memory.
_CELLS, _HELD_BYTES = 5_000_000, 64 * 2**20

Array = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval; `p_superior` is the share of replicates above 0, ties half."""

    estimate: float
    low: float
    high: float
    p_superior: float


def two_way_bootstrap(
    differences: Array, replicates: int = REPLICATES, seed: int = _SEED, confidence: float = CONFIDENCE
) -> Interval:
    """The mean of `differences` `[seeds, examples]` with its interval over both axes.

    One seed and one example are a legal input, whose interval then knows nothing of that axis.

    Raises:
        ValueError: if `differences` is not a filled table.
    """
    means = two_way_means(differences, replicates, seed)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    superior = np.mean(means > 0) + np.mean(means == 0) / 2
    return Interval(float(np.mean(differences)), float(low), float(high), float(superior))


def one_sided(differences: Array, confidence: float = CONFIDENCE) -> Interval:
    """The mean of `differences` `[seeds, examples]`, with the one-sided lower bound of that confidence as its `low`.

    The lower end of a two-sided interval of 90 % is a one-sided bound of 95 %.
    """
    return two_way_bootstrap(differences, confidence=2 * confidence - 1)


def p_value(differences: Array, bound: float, replicates: int = REPLICATES, seed: int = _SEED) -> float:
    """One-sided, of "the mean is not above `bound`": the share of replicates that are not, never 0."""
    means = two_way_means(differences, replicates, seed)
    return float((1 + np.sum(means <= bound)) / (1 + len(means)))


def two_way_means(differences: Array, replicates: int = REPLICATES, seed: int = _SEED) -> NDArray[np.float64]:
    """The mean of `differences` `[seeds, examples]` in each replicate, `[replicates]`; equal shapes share weights."""
    values = np.asarray(differences, np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"Expected differences of shape [seeds, examples]. Received: shape {values.shape}.")
    seed_weights, example_weights = _weights(*values.shape, replicates, seed)
    block = max(1, min(_BLOCK, _CELLS // values.shape[1]))
    return (
        np.concatenate(
            [
                np.einsum("bt,bt->b", (seed_weights[i : i + block] @ values), example_weights[i : i + block])
                for i in range(0, replicates, block)
            ]
        )
        / values.size
    )


def curve_shots(shots: Sequence[int], kind: Kind = "classification") -> tuple[int, ...]:
    """The shot counts that a task is judged by: of a classification those up to 25 a class, or the smallest.

    Of other kinds, whose shots are examples in all, every count.
    """
    if kind != "classification":
        return tuple(shots)
    return tuple(count for count in shots if count <= CURVE_SHOTS) or (min(shots),)


def curve_average(values: Array, shots: Sequence[int], kind: Kind = "classification") -> NDArray[np.float64]:
    """`values` `[shots, seeds, examples]` averaged over `curve_shots`, `[seeds, examples]`.

    The shot counts of a seed are nested, so they are averaged before seeds are resampled.
    """
    chosen = [list(shots).index(count) for count in curve_shots(shots, kind)]
    return np.asarray(values, np.float64)[chosen].mean(axis=0)


def holm(p_values: Sequence[float], level: float) -> tuple[bool, ...]:
    """Which hypotheses are rejected by Holm's step-down rule (1979), at a family-wise error of `level`."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = [False] * len(p_values)
    for rank, index in enumerate(order):
        if p_values[index] > level / (len(p_values) - rank):
            break
        rejected[index] = True
    return tuple(rejected)


@lru_cache(maxsize=2)
def _weights(seeds: int, examples: int, replicates: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """How often each replicate draws each seed and each example; drawing them is most of a bootstrap's time."""
    generator = np.random.default_rng(seed)
    seed_weights = generator.multinomial(seeds, np.full(seeds, 1 / seeds), replicates).astype(np.float64)
    # A count above 255 has no probability worth the name: its mean is 1.
    found, block = _table(replicates, examples), max(1, min(_BLOCK, _CELLS // examples))
    for i in range(0, replicates, block):
        some = found[i : i + block]
        some[:] = generator.multinomial(examples, np.full(examples, 1 / examples), len(some))
    return seed_weights, found


def _table(rows: int, columns: int) -> NDArray[np.uint8]:
    """A table to be filled; a large one lies in a file that has no name, and is gone with it."""
    if rows * columns <= _HELD_BYTES:
        return np.empty((rows, columns), np.uint8)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=(rows, columns))
