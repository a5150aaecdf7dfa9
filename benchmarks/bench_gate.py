"""How often the publishing gate errs: 200 runs of each kind, through the product's trials, evidence and `judge`.

    python -m benchmarks.bench_gate [--workers 2] [--cache build/gate] [--to benchmarks/results]

Killed and started again it goes on where it was. Kinds: pieces with random weights; pieces whose true gain over from
scratch is 3 points or more, about 2, about 1; and pieces that are truly worse than the incumbent by the margin, or by
twice the margin. What is true of a piece is measured on other examples and seeds than any run of the gate sees.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import gate_kinds, gate_table
from benchmarks.gate_crew import Crew, crew
from benchmarks.gate_kinds import Truth
from benchmarks.gate_plan import Floats, Outcome, PieceSpec, Plan, Run, Sizes
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


def simulate(plan: Plan, team: Crew) -> dict[str, Any]:
    """The rates of each kind, and facts."""
    team.each("pieces", _export, [PieceSpec(0, 0)])  # the one that others are loaded into
    judged = _judge(team, gate_kinds.random_runs(plan))
    scratch = _true_scores(team, plan, [None])[0]
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


def _judge(team: Crew, runs: Sequence[Run]) -> list[tuple[Run, Outcome]]:
    kinds = ", ".join(dict.fromkeys(run.kind for run in runs))
    judged = list(zip(runs, team.each(f"gate runs ({kinds})", _verdict, runs), strict=True))
    print(gate_table.counted(judged), flush=True)
    return judged


def _train(team: Crew, plan: Plan, scratch: Floats) -> dict[PieceSpec, Floats]:
    """Trained pieces with their true scores, one batch after the other until every pool is full."""
    found: dict[PieceSpec, Floats] = {}
    for start in range(0, plan.trained, _BATCH):
        batch = plan.trained_pieces[start : start + _BATCH]
        found |= zip(batch, _true_scores(team, plan, batch), strict=True)
        gains = {piece: Truth.of(scores, scratch) for piece, scores in found.items()}
        sizes = {kind: len(pieces) for kind, pieces in gate_kinds.pools_of(plan, gains).items()}
        print(sizes, flush=True)
        if min(sizes.values()) == plan.pool:
            break
    return found


def _true_scores(team: Crew, plan: Plan, pieces: Sequence[PieceSpec | None]) -> list[Floats]:
    """Of each piece the scores over the seeds of all blocks of truth, `[seeds]`."""
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


def _truth(lab: "Lab", item: tuple[PieceSpec | None, int]) -> Floats:
    return lab.truth(*item)


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates and writes `gate.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cache", type=Path, default=Path("build/gate"))
    parser.add_argument("--to", type=Path, default=RESULTS)
    parser.add_argument("--tiny", action="store_true", help="As small as can be, to see that it works; means nothing.")
    given = parser.parse_args(arguments)
    plan = TINY if given.tiny else Plan()
    with crew(given.workers, given.cache.resolve(), plan.sizes) as team:
        found = simulate(plan, team)
    write_table({**stamp("gate", _QUESTION), **found}, given.to / "gate.json")


if __name__ == "__main__":
    main()
