"""The simulation of the gate, as small as it can be and still go through every step."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench_gate, gate_kinds, gate_table, make_results
from benchmarks.gate_kinds import Truth
from benchmarks.gate_plan import SHIPPED, Outcome, PieceSpec, Plan, Run
from benchmarks.gate_world import DOWNSTREAM_CLASSES, World
from piecehub.transfer.tasks import draw_shots

ROOT = Path(__file__).resolve().parents[2]
KINDS = [
    "random",
    "useful",
    "useful_2_points",
    "useful_1_point",
    "worse_by_margin",
    "worse_by_twice_the_margin",
]
PLAN = replace(bench_gate.TINY, repeated=1)


class Killed(Exception):
    """What ends a simulation in the middle."""


class CrewOfOne:
    """Works in this process, and is killed after some items."""

    def __init__(self, cache, items_to_live=10_000, sizes=PLAN.sizes):
        from benchmarks.gate_lab import Lab

        self.lab, self.left = Lab(cache, sizes), items_to_live

    def each(self, what, work, items):
        found = []
        for item in items:
            if self.left == 0:
                raise Killed(what)
            self.left -= 1
            found.append(work(self.lab, item))
        return found


def files(folder):
    """Files by their inodes: one that is written again has another one, one that is only used has another time."""
    return {p.relative_to(folder).as_posix(): p.stat().st_ino for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """What an uninterrupted simulation found, and the folder of what it keeps."""
    cache = tmp_path_factory.mktemp("whole")
    return bench_gate.simulate(PLAN, CrewOfOne(cache)), cache


def test_every_kind_is_counted_and_the_product_itself_finds_the_same(simulated):
    found, _ = simulated
    assert list(found) == [*KINDS, "facts"]
    for kind in KINDS:
        assert found[kind].keys() == {"runs", "blessed", "lower", "upper"}
        assert 0 <= found[kind]["lower"] <= found[kind]["blessed"] / found[kind]["runs"] <= found[kind]["upper"] <= 1
    assert found["random"]["runs"] == PLAN.random
    assert found["facts"]["runs repeated through `evaluate` and the pool, with equal numbers"] == "1 of 1"


def test_killed_in_the_middle_it_goes_on_and_comes_to_the_same(simulated, tmp_path):
    without = replace(PLAN, repeated=0)
    with pytest.raises(Killed):
        bench_gate.simulate(without, CrewOfOne(tmp_path, items_to_live=12))
    kept = files(tmp_path)
    found = bench_gate.simulate(without, CrewOfOne(tmp_path))
    again = files(tmp_path)
    assert len(kept) < len(again) and all(again[name] == inode for name, inode in kept.items())
    repeated = "runs repeated through `evaluate` and the pool, with equal numbers"
    whole = {key: value for key, value in simulated[0]["facts"].items() if key != repeated}
    assert found == {**simulated[0], "facts": {**whole, repeated: "0 of 0"}}


@pytest.mark.long
def test_a_network_with_batch_norm_is_judged_in_both_ways_and_in_batches_as_the_product_does(tmp_path):
    # 50 shots of the larger count: two batches of 25, or one of 50.
    sizes = replace(PLAN.sizes, pool=14, shots=(2, 10))
    plan = replace(bench_gate.TINY_BATCH_NORM, sizes=sizes)
    found = bench_gate.simulate_batch_norm(plan, CrewOfOne(tmp_path, sizes=sizes))
    kinds = [f"{kind}_batch_norm_{way}" for kind in ("random", "useful") for way in ("batches", "one_batch")]
    assert list(found) == [*kinds, "facts"]
    assert [found[kind]["runs"] for kind in kinds] == [3, 3, 4, 4]
    assert found["facts"]["with BatchNorm: runs repeated through `evaluate` and the pool, with equal numbers"] == (
        "1 of 1"
    )
    differences = found["facts"]["with BatchNorm: gain in batches less gain in one batch, points"]
    assert differences != "0.00 / 0.00 / 0.00 (least / median / most)"


def test_a_part_stands_beside_what_the_file_has_of_the_other_one(tmp_path):
    def facts():
        return json.loads((tmp_path / "gate.json").read_text())["facts"]

    rate = gate_table.rate([False] * 4)
    bench_gate.lay("batch_norm", {"random_batch_norm_batches": rate, "facts": {"b": 1}}, tmp_path / "gate.json")
    bench_gate.lay("plain", {"random": rate, "facts": {"a": 1}}, tmp_path / "gate.json")
    first = json.loads((tmp_path / "gate.json").read_text())
    assert {"random", "random_batch_norm_batches"} <= first.keys() and {"a", "b"} <= facts().keys()
    bench_gate.lay("batch_norm", {"random_batch_norm_batches": rate, "facts": {"b": 2}}, tmp_path / "gate.json")
    again = json.loads((tmp_path / "gate.json").read_text())
    assert again["measured_at"] == first["measured_at"] and facts()["b"] == 2 and facts()["a"] == 1
    bench_gate.lay("plain", {"random": gate_table.rate([True] * 4), "facts": {"a": 2}}, tmp_path / "gate.json")
    assert json.loads((tmp_path / "gate.json").read_text())["random"]["blessed"] == 4 and facts()["b"] == 2


@pytest.mark.long
def test_the_command_writes_the_file_and_the_page_shows_it(simulated, tmp_path):
    command = [sys.executable, "-m", "benchmarks.bench_gate", "--tiny", "--workers", "1", "--to", str(tmp_path)]
    subprocess.run([*command, "--cache", str(simulated[1])], cwd=ROOT, check=True, capture_output=True)
    value = json.loads((tmp_path / "gate.json").read_text())
    assert {kind: value[kind] for kind in KINDS} == {kind: simulated[0][kind] for kind in KINDS}
    assert value["command"] == "python -m benchmarks.bench_gate"
    assert {"schema", "name", "commit", "measured_at", "machine"} <= value.keys()
    page = make_results.render([value])
    assert f"| random | {PLAN.random} | {value['random']['blessed']} |" in page
    assert "- how runs depend on each other: there are 2 blocks" in page


def test_blocks_share_no_example_and_no_seed():
    one, other = (World().downstream(block, 8, 60) for block in (0, 1))
    rows = [set(map(bytes, np.concatenate([task.pool_x[:], task.test_x[:]]))) for task in (one, other)]
    assert not rows[0] & rows[1] and len(rows[0]) == DOWNSTREAM_CLASSES * 8 + 60
    assert not set(PLAN.sizes.protocol(0).seeds) & set(PLAN.sizes.protocol(1).seeds)
    assert len(draw_shots(one, 5, seed=1)) == 5 * DOWNSTREAM_CLASSES


def test_the_interval_is_that_of_clopper_and_pearson():
    # None of n: the upper end is 1 - 0.025^(1/n).
    none = gate_table.rate([False] * 200)
    assert none == {"runs": 200, "blessed": 0, "lower": 0.0, "upper": round(1 - 0.025 ** (1 / 200), 4)}
    all_of = gate_table.rate([True] * 200)
    assert all_of["lower"] == round(0.025 ** (1 / 200), 4) and all_of["upper"] == 1


def test_pieces_are_sorted_by_what_is_true_of_them_and_each_kind_has_its_full_number_of_runs():
    plan = Plan(pool=2)
    gains = {PieceSpec(i, 1): Truth(gain, 0.0) for i, gain in enumerate((0.05, 0.02, 0.01, 0.028, 0.04, 0.06))}
    pools = gate_kinds.pools_of(plan, gains)
    numbers = {kind: [piece.number for piece in pool] for kind, pool in pools.items()}
    assert numbers == {"useful": [0, 4], "useful_2_points": [1], "useful_1_point": [2]}
    runs = gate_kinds.trained_runs(plan, pools)
    assert len(runs) == len({(run.piece, run.block) for run in runs}) == 4 * plan.runs_each
    assert len(gate_kinds.random_runs(plan)) == 200


def test_a_candidate_is_judged_where_its_incumbent_is_and_the_margin_is_what_it_is_worse_by():
    plan = Plan(blocks=4, runs_each=2, pool=9)
    scores = {PieceSpec(i, 1): np.array([level, level + 0.01]) for i, level in enumerate((0.9, 0.9, 0.88, 0.86))}
    pools = {"useful": list(scores), "useful_2_points": [], "useful_1_point": []}
    pairs = {pair.candidate.number: pair for pair in gate_kinds.pairs_of(plan, pools, scores)}
    # Places 0 and 2 share blocks, and 1 and 3; the better ones of these are nobody's worse candidate.
    assert {number: pair.incumbent.number for number, pair in pairs.items()} == {2: 0, 3: 1}
    assert pairs[3].worse_by.mean == pytest.approx(0.04)
    runs = [run for run in gate_kinds.worse_runs(plan, list(pairs.values())) if run.piece.number == 3]
    assert [run.block for run in runs] == [101, 103, 101, 103]
    margins = {run.kind: run.rule.non_inferiority_margin for run in runs}
    assert margins == pytest.approx({"worse_by_margin": 0.04, "worse_by_twice_the_margin": 0.02})


def test_another_least_gain_is_counted_from_the_same_runs():
    run = Run("random", PieceSpec(1, 0), 0, SHIPPED)
    lows = {0.012: (), 0.007: (), 0.002: ("superiority",), -0.01: ("superiority",), 0.02: ("features",)}
    judged = [(run, Outcome(not refused, low, low, low, refused)) for low, refused in lows.items()]
    assert gate_table.other_bounds(judged) == (
        "random 3 / 2 / 1 / 1 / 0 of 5 (with 0.00 / 0.50 / 0.75 / 1.00 / 1.50 points)"
    )


def test_the_documentation_tells_what_the_simulation_found():
    found = json.loads((ROOT / "benchmarks" / "results" / "gate.json").read_text(encoding="utf-8"))
    lines = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|") and " of " in line and line.endswith("% |")]
    rates = [found[kind] for kind in KINDS]
    assert [line.split("|")[2:4] for line in table] == [
        [f" {rate['blessed']} of {rate['runs']} ", f" {100 * rate['lower']:.1f} % to {100 * rate['upper']:.1f} % "]
        for rate in rates
    ]
