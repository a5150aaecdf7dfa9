"""What is simulated: pieces, blocks of test split and seeds, and the runs of the gate on them. Needs no TensorFlow.

A *block* is a test split, a pool to draw shots from, and seeds, with their controls, that no other block has. Runs of
one block share all of these; that is how far they depend on each other beside being about one and the same piece.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from piecehub.transfer.protocol import Protocol
from piecehub.transfer.rule import Rule

Floats = NDArray[np.float64]
Network = Literal["plain", "batch_norm"]

# The rule of the recipes that the project ships. The least gain was chosen on 200 other pieces with random weights, of
# which half a point blessed 5 and three quarters 3; those here, and their blocks, are new.
SHIPPED = Rule(min_gain=0.0075, non_inferiority_margin=0.02)
# Kinds by true gain over from scratch, a share of 1: from, and below.
_BANDS = (("useful", 0.03, 1.0), ("useful_2_points", 0.015, 0.025), ("useful_1_point", 0.005, 0.015))
WORSE = {"worse_by_margin": 1.0, "worse_by_twice_the_margin": 2.0}
_FIRST_BLOCK, _FIRST_TRUTH_BLOCK = 100, 900
_FIRST_RANDOM, _FIRST_TRAINED = 1_000, 10_000


@dataclass(frozen=True)
class PieceSpec:
    """A piece: where it starts, and for how many steps it is trained upstream; 0 leaves its weights random."""

    number: int
    steps: int
    network: Network = "plain"


@dataclass(frozen=True)
class Sizes:
    """How large a task is, and how it is evaluated.

    Attributes:
        pool: examples a class to draw shots from.
        test: examples that a gate run looks at.
        held_out: examples of each block by which it is measured what is true.
        seeds: how many; each block has its own.
        shots, learning_rates, steps, batch_size, inverse_regularization: as of the protocol.
    """

    pool: int = 110
    test: int = 500
    held_out: int = 5_000
    seeds: int = 10
    shots: tuple[int, ...] = (5, 10, 25)
    learning_rates: tuple[float, ...] = (0.01,)
    steps: int = 100
    batch_size: int = 32
    inverse_regularization: tuple[float, ...] = (0.1, 1.0, 10.0)

    def protocol(self, block: int) -> Protocol:
        """The protocol of a block, with seeds that no other block has."""
        first = block * self.seeds + 1
        return Protocol(
            shots=self.shots,
            seeds=tuple(range(first, first + self.seeds)),
            learning_rates=self.learning_rates,
            steps=self.steps,
            batch_size=self.batch_size,
            inverse_regularization=self.inverse_regularization,
            sensitivity_batch_sizes=(),
        )


@dataclass(frozen=True)
class Plan:
    """How much is simulated.

    Attributes:
        sizes: of each task, and its protocol.
        random: pieces with random weights, each of which the gate judges once.
        trained: pieces to choose from, by what is true of them, at most; no more are made than the pools need.
        upstream_steps: how long they are trained, one after the other.
        pool: how many pieces of a kind are judged.
        blocks: of the gate.
        runs_each: on how many of the blocks a trained piece is judged.
        truth_blocks: on which nothing is judged.
        repeated: runs that are repeated through the product's `evaluate`.
        bands: kinds by true gain: a name, from where on, and below what.
        network: of all pieces.
    """

    sizes: Sizes = Sizes()
    random: int = 200
    trained: int = 320
    upstream_steps: tuple[int, ...] = (170, 200, 230, 260, 290, 320, 360, 500, 900, 3000)
    pool: int = 40
    blocks: int = 20
    runs_each: int = 5
    truth_blocks: int = 4
    repeated: int = 4
    bands: tuple[tuple[str, float, float], ...] = _BANDS
    network: Network = "plain"

    @property
    def random_pieces(self) -> list[PieceSpec]:
        """The pieces with random weights."""
        return [PieceSpec(_FIRST_RANDOM + number, 0, self.network) for number in range(self.random)]

    @property
    def trained_pieces(self) -> list[PieceSpec]:
        """The pieces to choose from."""
        steps = self.upstream_steps
        numbers = range(self.trained)
        return [PieceSpec(_FIRST_TRAINED + i, steps[i % len(steps)], self.network) for i in numbers]

    @property
    def truths(self) -> list[int]:
        """The blocks by which it is measured what is true."""
        return [_FIRST_TRUTH_BLOCK + number for number in range(self.truth_blocks)]

    def blocks_of(self, place: int) -> list[int]:
        """The blocks of the piece at that place of its pool; pieces of one `group` share them."""
        groups = self.blocks // self.runs_each
        return self.gate_blocks[place % groups :: groups]

    @property
    def gate_blocks(self) -> list[int]:
        """The blocks that the gate looks at."""
        return [_FIRST_BLOCK + number for number in range(self.blocks)]


@dataclass(frozen=True)
class Run:
    """One run of the gate.

    Attributes:
        one_batch: BatchNorm's statistics are re-estimated on all shots at once, and not in batches as the product does.
    """

    kind: str
    piece: PieceSpec
    block: int
    rule: Rule
    incumbent: PieceSpec | None = None
    one_batch: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a run found: whether the gate blessed, the gain with its interval, and which rules did not hold."""

    blessed: bool
    estimate: float
    low: float
    high: float
    refused_by: tuple[str, ...]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """An outcome from what `asdict` made of it and JSON kept."""
        return cls(**{**value, "refused_by": tuple(value["refused_by"])})
