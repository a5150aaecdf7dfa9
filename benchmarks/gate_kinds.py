"""Which pieces are of which kind, by what is true of them, and the runs of each kind. Needs no TensorFlow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np

from benchmarks.gate_plan import SHIPPED, WORSE, Floats, PieceSpec, Plan, Run
from piecehub.transfer.rule import Rule

# By how much a candidate is worse than its incumbent, as near as there are pieces: the margin of the shipped recipes.
_WANTED_DIFFERENCE = SHIPPED.non_inferiority_margin
# So low that a gain over from scratch refuses nobody, where the question is whether the incumbent does.
_NO_GAIN_ASKED = -1.0

Pools = Mapping[str, Sequence[PieceSpec]]


@dataclass(frozen=True)
class Truth:
    """What is true of a piece: its mean difference, a share of 1, and the standard error of that."""

    mean: float
    error: float

    @classmethod
    def of(cls, scores: Floats, reference: Floats) -> "Truth":
        """The paired difference of two rows of scores `[seeds]`."""
        difference = scores - reference
        return cls(float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference))))


@dataclass(frozen=True)
class Pair:
    """A candidate that is worse than its incumbent; `place` names the blocks that both are judged on."""

    candidate: PieceSpec
    incumbent: PieceSpec
    place: int
    worse_by: Truth


def pools_of(plan: Plan, gains: Mapping[PieceSpec, Truth]) -> dict[str, list[PieceSpec]]:
    """The first pieces of each band of true gains."""
    return {
        kind: [piece for piece, gain in gains.items() if low <= gain.mean < high][: plan.pool]
        for kind, low, high in plan.bands
    }


def random_runs(plan: Plan) -> list[Run]:
    """Each piece with random weights once, dealt to the blocks."""
    return [Run("random", piece, block, SHIPPED) for piece, block in zip(plan.random_pieces, cycle(plan.gate_blocks))]


def trained_runs(plan: Plan, pools: Pools) -> list[Run]:
    """Each piece of each pool on its blocks, without an incumbent."""
    return [
        Run(kind, piece, block, SHIPPED)
        for kind, pieces in pools.items()
        for place, piece in enumerate(pieces)
        for block in plan.blocks_of(place)
    ]


def pairs_of(plan: Plan, pools: Pools, scores: Mapping[PieceSpec, Floats]) -> list[Pair]:
    """Useful incumbents with candidates that are truly worse, each candidate once.

    Those pairs are taken whose difference is nearest to the shipped margin.
    """
    candidates = {piece: place for pieces in reversed(list(pools.values())) for place, piece in enumerate(pieces)}
    found = [_nearest(plan, candidate, place, pools["useful"], scores) for candidate, place in candidates.items()]
    worse = [pair for pair in found if pair and pair.worse_by.mean > 0]
    return sorted(worse, key=_distance)[: plan.pool]


def worse_runs(plan: Plan, pairs: Sequence[Pair]) -> list[Run]:
    """Each pair on its blocks, with the margin that makes it worse by just as much, or by twice as much."""
    asked = replace(SHIPPED, min_gain=_NO_GAIN_ASKED)
    return [
        Run(kind, pair.candidate, block, _with_margin(asked, pair.worse_by.mean / times), pair.incumbent)
        for kind, times in WORSE.items()
        for pair in pairs
        for block in plan.blocks_of(pair.place)
    ]


def _nearest(
    plan: Plan, candidate: PieceSpec, place: int, useful: Sequence[PieceSpec], scores: Mapping[PieceSpec, Floats]
) -> Pair | None:
    """The pair whose difference is nearest to what is wanted, among incumbents that are judged on the same blocks."""
    blocks = plan.blocks_of(place)
    others = [piece for i, piece in enumerate(useful) if plan.blocks_of(i) == blocks and piece != candidate]
    pairs = [Pair(candidate, other, place, Truth.of(scores[other], scores[candidate])) for other in others]
    return min(pairs, key=_distance, default=None)


def _distance(pair: Pair) -> float:
    return abs(pair.worse_by.mean - _WANTED_DIFFERENCE)


def _with_margin(rule: Rule, margin: float) -> Rule:
    return replace(rule, non_inferiority_margin=margin)
