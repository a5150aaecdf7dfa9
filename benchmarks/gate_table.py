"""The table of the gate's error rates: how many runs of each kind were blessed, and what one must know to read that.

    results/gate.json   {"schema": 1, "name", "question", "command", "commit", "measured_at", "machine",
                         KIND: {"runs", "blessed", "lower", "upper"}, …, "facts": {what: value}}

`lower` and `upper` are the Clopper-Pearson interval of 95 % for the share of runs that are blessed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.gate_kinds import Pair, Pools, Truth
from benchmarks.gate_plan import SHIPPED, Outcome, PieceSpec, Plan, Run
from benchmarks.record import Fact

Judged = Sequence[tuple[Run, Outcome]]
Gains = Mapping[PieceSpec, Truth]
_OTHER_BOUNDS = (0.0, 0.005, 0.0075, 0.01, 0.015)


def counted(judged: Judged) -> dict[str, dict[str, Any]]:
    """The rates of each kind, in the order in which kinds appear."""
    kinds = dict.fromkeys(run.kind for run, _ in judged)
    return {kind: rate([outcome.blessed for run, outcome in judged if run.kind == kind]) for kind in kinds}


def rate(blessed: Sequence[bool]) -> dict[str, Any]:
    """How many of the runs were blessed, with the Clopper-Pearson interval of 95 % for their share."""
    interval = stats.binomtest(sum(blessed), len(blessed)).proportion_ci(0.95, "exact")
    return {
        "runs": len(blessed),
        "blessed": sum(blessed),
        "lower": round(float(interval.low), 4),
        "upper": round(float(interval.high), 4),
    }


def facts_of(plan: Plan, judged: Judged, pools: Pools, pairs: Sequence[Pair], gains: Gains) -> dict[str, Fact]:
    """What was simulated, how runs depend on each other, and what is true of the pieces."""
    return {
        **_design(plan),
        "pieces of each kind": _list([plan.random, *(len(pools[kind]) for kind in pools), len(pairs)]),
        "true gains over from scratch, points": _true_gains(plan, pools, gains),
        "true differences of the worse ones, points": _true_differences(judged, pairs),
        "standard error of a run's gain, points": _range([_error(outcome) for _, outcome in judged]),
        "blessed with another least gain": other_bounds(judged),
        "blessed on all / some / none of a piece's blocks": _agreement(judged),
    }


def _design(plan: Plan) -> dict[str, Fact]:
    sizes = plan.sizes
    return {
        "rule": (
            f"lower end of the gain's interval of {SHIPPED.confidence:.0%} above {_points(SHIPPED.min_gain)} points; "
            "frozen features not significantly worse than random ones; an incumbent only where the kind says so"
        ),
        "a run": (
            f"{sizes.seeds} seeds, shots {_list(sizes.shots)} of {sizes.pool} a class, {sizes.test} test examples, "
            f"learning rates {_list(sizes.learning_rates)}, {sizes.steps} steps of {sizes.batch_size}"
        ),
        "how runs depend on each other": (
            f"there are {plan.blocks} blocks, each with a test split, a pool, seeds and controls of its own, and runs "
            f"of one block share these ({plan.random // plan.blocks} of random weights). A piece with random weights "
            f"is judged once; a trained one, or a pair, on {plan.runs_each} blocks. The interval takes runs for "
            "independent, so for trained ones it is too narrow by as much as the runs of a piece agree"
        ),
    }


def _true_gains(plan: Plan, pools: Pools, gains: Gains) -> str:
    sizes, blocks = plan.sizes, plan.truth_blocks
    bands = [f"{kind} {_range([gains[piece].mean for piece in pieces])}" for kind, pieces in pools.items()]
    errors = [gains[piece].error for pieces in pools.values() for piece in pieces]
    return (
        f"{'; '.join(bands)}; measured on {blocks} other blocks, {blocks * sizes.seeds} seeds and "
        f"{blocks * sizes.held_out} held-out examples, with a standard error of {_range(errors)}"
    )


def _true_differences(judged: Judged, pairs: Sequence[Pair]) -> str:
    worse = [outcome for run, outcome in judged if run.incumbent]
    otherwise = sum("non_inferiority" not in outcome.refused_by and not outcome.blessed for outcome in worse)
    return (
        f"{_range([pair.worse_by.mean for pair in pairs])}, with a standard error of "
        f"{_range([pair.worse_by.error for pair in pairs])}; the margin is set to that, or to its half. No gain over "
        f"from scratch is asked of them (min_gain -1); refused by another rule than the incumbent's: {otherwise} runs"
    )


def batch_norm_facts(plan: Plan, judged: Judged, pools: Pools, gains: Gains) -> dict[str, Fact]:
    """What is true of the pieces with BatchNorm, and how far two ways to re-estimate its statistics agree."""
    ours = [(run, outcome) for run, outcome in judged if not run.one_batch]
    theirs = [outcome for run, outcome in judged if run.one_batch]
    pairs = [(run, one, other) for (run, one), other in zip(ours, theirs, strict=True)]
    others = [run.kind.removesuffix("_batches") for run, one, other in pairs if one.blessed != other.blessed]
    counts = ", ".join(f"{kind} {others.count(kind)}" for kind in dict.fromkeys(others))
    return {
        "with BatchNorm: pieces": (
            f"as above, with BatchNorm of momentum 0.99 after each dense layer; {plan.random} with random weights and "
            f"{_list([len(pool) for pool in pools.values()])} useful ones; {_true_gains(plan, pools, gains)}"
        ),
        "with BatchNorm: gain in batches less gain in one batch, points": _range(
            [one.estimate - other.estimate for _, one, other in pairs]
        ),
        "with BatchNorm: runs of another verdict": f"{len(others)} of {len(pairs)}{f' ({counts})' if counts else ''}",
        "with BatchNorm: blessed with another least gain": other_bounds(judged),
    }


def truth_facts(random_gains: Sequence[Truth], blessed: Sequence[Truth]) -> dict[str, Fact]:
    """How much untrained pieces truly differ, and what is true of those that were blessed."""
    means = np.array([gain.mean for gain in random_gains])
    noise = float(np.mean([gain.error**2 for gain in random_gains]))
    spread = np.sqrt(max(0.0, means.var(ddof=1) - noise))
    return {
        "true gains of random weights, points": f"{_range(means)}, standard deviation {_points(float(spread))}",
        "true gains of the blessed ones among them, points": _list([_points(t.mean) for t in blessed]) or "none",
    }


def other_bounds(judged: Judged) -> str:
    """How many runs of each kind would be blessed if more or less were asked of the gain."""
    found: list[str] = []
    for kind in dict.fromkeys(run.kind for run, _ in judged if not run.incumbent):
        outcomes = [outcome for run, outcome in judged if run.kind == kind]
        counts = [sum(_blessed_at(outcome, bound) for outcome in outcomes) for bound in _OTHER_BOUNDS]
        found.append(f"{kind} {' / '.join(map(str, counts))} of {len(outcomes)}")
    return f"{', '.join(found)} (with {' / '.join(map(_points, _OTHER_BOUNDS))} points)"


def _blessed_at(outcome: Outcome, bound: float) -> bool:
    return outcome.low > bound and not set(outcome.refused_by) - {"superiority"}


def _agreement(judged: Judged) -> str:
    found: list[str] = []
    for kind in dict.fromkeys(run.kind for run, _ in judged if run.kind != "random"):
        by_piece: dict[PieceSpec, list[bool]] = {}
        for run, outcome in judged:
            if run.kind == kind:
                by_piece.setdefault(run.piece, []).append(outcome.blessed)
        all_of, none_of = (sum(test(values) for values in by_piece.values()) for test in (all, _none))
        found.append(f"{kind} {all_of} / {len(by_piece) - all_of - none_of} / {none_of}")
    return ", ".join(found)


def _none(values: Sequence[bool]) -> bool:
    return not any(values)


def _error(outcome: Outcome) -> float:
    """Half of the interval, as a standard error."""
    return (outcome.high - outcome.low) / (2 * float(stats.norm.ppf((1 + SHIPPED.confidence) / 2)))


def _range(values: Any) -> str:
    """Least, median and greatest, in points."""
    if not len(values):
        return "none"
    return " / ".join(_points(float(value)) for value in np.quantile(values, [0, 0.5, 1])) + " (least / median / most)"


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


def _list(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))
