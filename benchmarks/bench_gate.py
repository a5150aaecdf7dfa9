"""How often the publishing gate errs: 200 runs of each kind, through the product's trials, evidence and `judge`.

    python -m benchmarks.bench_gate [--workers 2] [--cache build/gate] [--to benchmarks/results]
    python -m benchmarks.bench_gate --part batch_norm   # only that one; what gate.json has of the other stays
    python -m benchmarks.bench_gate --runs 40           # so many runs of each kind, into <cache>/gate.some.json

Killed and started again it goes on where it was, so it may be run in pieces. Kinds: pieces with random weights; pieces
whose true gain over from scratch is 3 points or more, about 2, about 1; and pieces that are truly worse than the
incumbent by the margin, or by twice the margin. What is true of a piece is measured on other examples and seeds than
any run of the gate sees.

The part `batch_norm` has another network, with BatchNorm of momentum 0.99; useful is 2 points or more there. Each of
its runs is judged twice: with statistics that are re-estimated in batches, as the product does, and with all shots in
one batch. The gate's errors must be the same.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import gate_kinds, gate_table
from benchmarks.gate_crew import Crew, crew
from benchmarks.gate_kinds import Truth
from benchmarks.gate_plan import Floats, Network, Outcome, PieceSpec, Plan, Run, Sizes
from benchmarks.record import RESULTS, stamp, write_table

if TYPE_CHECKING:
    from benchmarks.gate_lab import Lab

_QUESTION = "how often the gate blesses what it should not, and what it should"
# Pieces that are trained before it is asked whether they are enough.
_BATCH = 40
# As small as it can be and still go through every step.
TINY = Plan(
    Sizes(
        pool=8,
        test=60,
        held_out=100,
        seeds=5,
        shots=(2, 5),
        learning_rates=(0.01,),
        steps=5,
        inverse_regularization=(1.0,),
    ),
    random=3,
    trained=3,
    upstream_steps=(20, 200),
    pool=3,
    blocks=2,
    runs_each=2,
    truth_blocks=1,
    repeated=1,
    bands=(("useful", -1.0, 1.0), ("useful_2_points", -1.0, 1.0), ("useful_1_point", -1.0, 1.0)),
)
# The other network is asked what it may change: whether random weights are blessed, and useful ones are not. From
# scratch it learns more than the plain one, and no upstream training gains 3 points over that.
BATCH_NORM = Plan(trained=160, upstream_steps=(900, 3000), bands=(("useful", 0.02, 1.0),), network="batch_norm")
TINY_BATCH_NORM = replace(TINY, trained=2, pool=2, bands=(("useful", -1.0, 1.0),), network="batch_norm")


def simulate(plan: Plan, team: Crew) -> dict[str, Any]:
    """The rates of each kind, and facts."""
    team.each("pieces", _export, [PieceSpec(0, 0)])  # the one that others are loaded into
    judged = _judge(team, gate_kinds.random_runs(plan))
    scratch = _true_scores(team, plan, [plan.network])[0]
    trained = _train(team, plan, scratch)
    gains = {piece: Truth.of(scores, scratch) for piece, scores in trained.items()}
    pools = gate_kinds.pools_of(plan, gains)
    judged += _judge(team, gate_kinds.trained_runs(plan, pools))
    pairs = gate_kinds.pairs_of(plan, pools, trained)
    judged += _judge(team, gate_kinds.worse_runs(plan, pairs))
    facts = gate_table.facts_of(plan, judged, pools, pairs, gains)
    facts |= _truth_of_random(team, plan, judged, scratch)
    facts["runs repeated through `evaluate` and the pool, with equal numbers"] = _repeat(team, plan, judged)
    return {**gate_table.counted(judged), "facts": facts}


def simulate_batch_norm(plan: Plan, team: Crew) -> dict[str, Any]:
    """The rates of random and of useful pieces of a network with BatchNorm, re-estimated in two ways; and facts."""
    team.each("pieces", _export, [PieceSpec(0, 0, plan.network)])
    judged = _judge(team, _in_both_ways(gate_kinds.random_runs(plan)))
    scratch = _true_scores(team, plan, [plan.network])[0]
    gains = {piece: Truth.of(scores, scratch) for piece, scores in _train(team, plan, scratch).items()}
    pools = gate_kinds.pools_of(plan, gains)
    judged += _judge(team, _in_both_ways(gate_kinds.trained_runs(plan, pools)))
    facts = gate_table.batch_norm_facts(plan, judged, pools, gains)
    ours = [(run, outcome) for run, outcome in judged if not run.one_batch]
    facts["with BatchNorm: runs repeated through `evaluate` and the pool, with equal numbers"] = _repeat(
        team, plan, ours
    )
    return {**gate_table.counted(judged), "facts": facts}


def _in_both_ways(runs: Sequence[Run]) -> list[Run]:
    """Each run with batches, and then with one batch."""
    return [
        replace(run, kind=f"{run.kind}_batch_norm_{way}", one_batch=way == "one_batch")
        for run in runs
        for way in ("batches", "one_batch")
    ]


def _judge(team: Crew, runs: Sequence[Run]) -> list[tuple[Run, Outcome]]:
    kinds = ", ".join(dict.fromkeys(run.kind for run in runs))
    judged = list(zip(runs, team.each(f"gate runs ({kinds})", _verdict, runs), strict=True))
    print(gate_table.counted(judged), flush=True)
    return judged


def _train(team: Crew, plan: Plan, scratch: Floats) -> dict[PieceSpec, Floats]:
    """Trained pieces with their true scores, one batch after the other until every pool is full."""
    found: dict[PieceSpec, Floats] = {}
    step = min(_BATCH, plan.pool)
    for start in range(0, plan.trained, step):
        batch = plan.trained_pieces[start : start + step]
        found |= zip(batch, _true_scores(team, plan, batch), strict=True)
        gains = {piece: Truth.of(scores, scratch) for piece, scores in found.items()}
        sizes = {kind: len(pieces) for kind, pieces in gate_kinds.pools_of(plan, gains).items()}
        print(sizes, flush=True)
        if min(sizes.values()) == plan.pool:
            break
    return found


def _true_scores(team: Crew, plan: Plan, pieces: Sequence[PieceSpec | Network]) -> list[Floats]:
    """Of each piece, or of a network from scratch, the scores over the seeds of all blocks of truth, `[seeds]`."""
    found = team.each("what is true", _truth, [(piece, block) for block in plan.truths for piece in pieces])
    by_block = np.reshape(found, (len(plan.truths), len(pieces), -1))
    return list(np.concatenate(list(by_block), axis=1))


def _truth_of_random(team: Crew, plan: Plan, judged: gate_table.Judged, scratch: Floats) -> dict[str, Any]:
    blessed = [run.piece for run, outcome in judged if run.kind == "random" and outcome.blessed]
    pieces = plan.random_pieces[: plan.pool]
    found = [Truth.of(scores, scratch) for scores in _true_scores(team, plan, [*pieces, *blessed])]
    return gate_table.truth_facts(found[: len(pieces)], found[len(pieces) :])


def _repeat(team: Crew, plan: Plan, judged: gate_table.Judged) -> str:
    """Runs of all kinds again, by what the pipeline calls; each must come out the same."""
    some = [judged[i * len(judged) // plan.repeated] for i in range(plan.repeated)]
    again = team.each("repeated", _verdict_of_the_product, [run for run, _ in some])
    return f"{sum(outcome == other for (_, outcome), other in zip(some, again, strict=True))} of {len(some)}"


def _export(lab: "Lab", spec: PieceSpec) -> None:
    lab.export(spec)


def _verdict(lab: "Lab", run: Run) -> Outcome:
    return lab.verdict(run)


def _verdict_of_the_product(lab: "Lab", run: Run) -> Outcome:
    return lab.verdict_of_the_product(run)


def _truth(lab: "Lab", item: tuple[PieceSpec | Network, int]) -> Floats:
    return lab.truth(*item)


_PARTS: dict[str, tuple[Plan, Plan, Callable[[Plan, Crew], dict[str, Any]]]] = {
    "plain": (Plan(), TINY, simulate),
    "batch_norm": (BATCH_NORM, TINY_BATCH_NORM, simulate_batch_norm),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates and writes `gate.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cache", type=Path, default=Path("build/gate"))
    parser.add_argument("--to", type=Path, default=RESULTS)
    parser.add_argument("--part", choices=_PARTS, help="Only this; the other part of a standing gate.json stays.")
    parser.add_argument("--runs", type=int, help="Of each kind, at most; no result, but a look at what comes out.")
    parser.add_argument("--tiny", action="store_true", help="As small as can be, to see that it works; means nothing.")
    given = parser.parse_args(arguments)
    target = given.to / "gate.json" if given.runs is None else given.cache / "gate.some.json"
    for part in [given.part] if given.part else _PARTS:
        whole, tiny, run = _PARTS[part]
        plan = tiny if given.tiny else whole if given.runs is None else _some(whole, given.runs)
        with crew(given.workers, given.cache.resolve(), plan.sizes) as team:
            lay(part, run(plan, team), target)


def _some(plan: Plan, runs: int) -> Plan:
    return replace(plan, random=min(runs, plan.random), pool=min(-(-runs // plan.runs_each), plan.pool))


def lay(part: str, found: Mapping[str, Any], target: Path) -> None:
    """Writes what a part found, in place of what the file has of it and beside what it has of the other one."""
    standing = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
    mark, facts = stamp("gate", _QUESTION), {**standing.pop("facts", {}), **found["facts"]}
    if part == "batch_norm":
        facts["with BatchNorm: measured"] = f"at commit {mark['commit']}, {mark['measured_at']}"
    head = {**mark, **standing} if part == "batch_norm" else {**standing, **mark}
    write_table({**head, **found, "facts": facts}, target)


if __name__ == "__main__":
    main()
