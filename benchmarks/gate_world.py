"""A world whose truth can be measured: as many labelled examples as one likes, of one upstream and one downstream task.

    z ~ N(0, 1)^10 ──► features tanh(z P + b) ──► class: the largest of some weighted sums of them
         └───────────► inputs   tanh(z A) B + noise, 24 numbers

Both tasks name classes by other sums of the *same* features, so what is learned upstream is of use downstream. Examples
near the border of two downstream classes are left out, as between digits there is next to nothing.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piecehub.transfer.tasks import Task

INPUTS = 24
UPSTREAM_CLASSES = 24
DOWNSTREAM_CLASSES = 5

_LATENT, _MIXED, _FEATURES = 10, 32, 24
_MIXING, _BENDING, _NOISE = 1.5, 1.2, 0.1
_MARGIN = 0.8
_CALIBRATION = 20_000
_CLASSES = range(DOWNSTREAM_CLASSES)
# The streams of random numbers of one world; a block's number follows.
_UPSTREAM, _POOL, _TEST = 1, 2, 3

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """The generator; equal seeds are equal worlds."""

    seed: int = 7

    def upstream(self, number: int, examples: int) -> tuple[Rows, Labels]:
        """Inputs `[examples, 24] float32` and their upstream classes; each number is a draw of its own."""
        generator = np.random.default_rng([self.seed, _UPSTREAM, number])
        latent = generator.normal(size=(examples, _LATENT))
        return self._inputs(generator, latent), self._sums(latent, upstream=True).argmax(axis=1)

    def downstream(self, block: int, pool: int, test: int) -> Task:
        """A task with `pool` examples a class to draw shots from and `test` in all; no two blocks share an example."""
        parts = [self._draw(np.random.default_rng([self.seed, _POOL, block, c]), pool, c) for c in _CLASSES]
        test_x, test_y = self._draw(np.random.default_rng([self.seed, _TEST, block]), test, None)
        pool_x, pool_y = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Task.from_arrays("world", pool_x, pool_y, test_x, test_y)

    def _draw(self, generator: np.random.Generator, count: int, wanted: int | None) -> tuple[Rows, Labels]:
        """`count` downstream examples of one class, or of all of them as they come."""
        kept: list[Floats] = []
        while sum(map(len, kept)) < count:
            latent = generator.normal(size=(4 * count + 100, _LATENT))
            sums = self._sums(latent, upstream=False)
            largest = np.sort(sums, axis=1)[:, -2:]
            clear = largest[:, 1] - largest[:, 0] > _MARGIN
            kept.append(latent[clear & (wanted is None or sums.argmax(axis=1) == wanted)])
        latent = np.concatenate(kept)[:count]
        return self._inputs(generator, latent), self._sums(latent, upstream=False).argmax(axis=1)

    def _inputs(self, generator: np.random.Generator, latent: Floats) -> Rows:
        fixed = _fixed(self.seed)
        noise = _NOISE * generator.normal(size=(len(latent), INPUTS))
        return (np.tanh(latent @ fixed["mixing"]) @ fixed["unmixing"] + noise).astype(np.float32)

    def _sums(self, latent: Floats, *, upstream: bool) -> Floats:
        """The weighted sums `[examples, classes]`, each with mean 0 and deviation 1 over the world."""
        which, fixed = "upstream" if upstream else "downstream", _fixed(self.seed)
        features = np.tanh(latent @ fixed["bending"] + fixed["bias"])
        return (features @ fixed[which] - fixed[f"{which}_mean"]) / fixed[f"{which}_sd"]


@lru_cache(maxsize=2)
def _fixed(seed: int) -> dict[str, Any]:
    """The weights that make a world."""
    draw = np.random.default_rng([seed, 0]).normal
    fixed: dict[str, Any] = {
        "mixing": draw(size=(_LATENT, _MIXED)) * _MIXING / np.sqrt(_LATENT),
        "unmixing": draw(size=(_MIXED, INPUTS)) / np.sqrt(_MIXED),
        "bending": draw(size=(_LATENT, _FEATURES)) * _BENDING / np.sqrt(_LATENT),
        "bias": draw(size=_FEATURES) * 0.5,
        "upstream": draw(size=(_FEATURES, UPSTREAM_CLASSES)),
        "downstream": draw(size=(_FEATURES, DOWNSTREAM_CLASSES)),
    }
    features = np.tanh(draw(size=(_CALIBRATION, _LATENT)) @ fixed["bending"] + fixed["bias"])
    for which in ("upstream", "downstream"):
        sums = features @ fixed[which]
        fixed |= {f"{which}_mean": sums.mean(axis=0), f"{which}_sd": sums.std(axis=0)}
    return fixed
