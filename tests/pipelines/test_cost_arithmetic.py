"""From little to all: the arithmetic of a run's cost, on numbers that were made up."""

import subprocess
import sys
from dataclasses import replace

import pytest

from piecehub.facts.plan import Component, MadeOf, Plan, State
from piecehub.transfer.protocol import MODES, Protocol
from pipelines.cost import table
from pipelines.cost.arithmetic import (
    Cost,
    Part,
    ProbeTimes,
    TrainingTimes,
    TrialTimes,
    all_trials,
    line,
    parallel,
    told_earlier,
    training_times,
    with_workers,
)

PROTOCOL = Protocol((5, 25), (0, 1, 2), (0.001, 0.003), 200, 32, (0.1, 1.0, 10.0), (8, 32, 128))
NOTHING = {name: ProbeTimes(0.0, 0.0, 0.0) for name, mode in MODES.items() if mode.training == "probe"}
FREE = TrialTimes(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, NOTHING)


def test_twice_the_epochs_are_twice_what_depends_on_epochs() -> None:
    times = TrainingTimes(fixed_s=5.0, epoch_s=0.5, step_s=0.01, look_s=0.004)
    looked = (90 + 20) * 0.004
    once, twice = (times.total_s(epochs, 90, 90, 20) - 5.0 - looked for epochs in (10, 20))
    assert once == pytest.approx(10 * (0.5 + 90 * 0.01 + 20 * 0.004))
    assert twice == pytest.approx(2 * once)
    assert times.total_s(0, 90, 90, 20) == pytest.approx(5.0 + looked)


def _marks(steps: int, looks: int, first_s: float) -> tuple[list[tuple[str, float]], float]:
    """Two epochs: a step takes 0.1, a look 0.03, an epoch 0.7 beside them, the first of each `first_s` more."""
    marks, now = [], 2.0
    for epoch in range(2):
        marks.append(("epoch", now))
        now += 0.7 / 2
        for what, count, each in (("step", steps, 0.1), ("look", looks, 0.03)):
            for number in range(count):
                now += each + (first_s if not (epoch or number) else 0.0)
                marks.append((what, now))
        now += 0.7 / 2
        marks.append(("end", now))
    return marks, now + 1.5 + (steps + looks) * 0.03


def test_a_short_training_tells_what_a_step_takes_without_what_is_done_once() -> None:
    marks, total = _marks(24, 8, first_s=3.0)
    found = training_times(marks, total, 24, 8)
    assert (found.step_s, found.look_s, found.epoch_s) == pytest.approx((0.1, 0.03, 0.7))
    assert found.fixed_s == pytest.approx(2.0 + 2 * 3.0 + 1.5)  # before the first epoch, both traces, and to write it
    assert found.total_s(2, 24, 24, 8) == pytest.approx(total)  # of itself it says what it took


def test_a_training_of_one_step_and_one_without_any_have_times_too() -> None:
    marks, total = _marks(1, 1, first_s=0.0)
    found = training_times(marks, total, 1, 1)
    assert found.step_s == pytest.approx(0.1 + 0.35) and found.look_s == pytest.approx(0.03)
    assert found.total_s(2, 1, 1, 1) == pytest.approx(total)
    assert training_times([], 4.0, 0, 0) == TrainingTimes(4.0, 0.0, 0.0, 0.0)


def test_trials_are_counted_as_the_protocol_has_them() -> None:
    # Three modes train, with two rates; three fit, with three settings; two numbers of shots, three seeds.
    assert all_trials(PROTOCOL) == (3 * 2 + 3 * 3) * 2 * 3 + 2 * 3
    assert replace(FREE, tuning_s=1.0).total_s(PROTOCOL, 2) == pytest.approx(3 * 2 * 2 * 3 + 2 * 3)
    assert replace(FREE, head_s=1.0).total_s(PROTOCOL, 2) == pytest.approx(2 * 2 * 3)
    fits = {name: ProbeTimes(0.0, 1.0, 3.0) for name in NOTHING}
    assert replace(FREE, probes=fits).total_s(PROTOCOL, 2) == pytest.approx(3 * 3 * 2 * 3 * 2.0)


def test_twice_the_steps_are_twice_the_steps_and_nothing_else() -> None:
    times = replace(FREE, tuning_s=0.2, step_s=0.01, start_s=5.0)
    twice = replace(PROTOCOL, steps=2 * PROTOCOL.steps)
    without = replace(times, step_s=0.0).total_s(PROTOCOL, 2)
    assert times.total_s(twice, 2) - without == pytest.approx(2 * (times.total_s(PROTOCOL, 2) - without))
    # Another batch size costs what its examples do: 8 / 32 and 128 / 32 of a step.
    assert replace(FREE, step_s=1.0).total_s(PROTOCOL, 2) == pytest.approx(200 * (36 + 3 * (0.25 + 4)))


def test_workers_load_the_model_once_each_in_both_rounds_and_have_memory_of_their_own() -> None:
    times = replace(FREE, start_s=4.0, worker_s=3.0, trace_s=1.0)
    assert times.total_s(PROTOCOL, 2) == pytest.approx(2 * 4.0 + 2 * 2 * (3.0 + 1.0))
    one_round = replace(PROTOCOL, sensitivity_batch_sizes=(32,), shots=(5,))
    assert times.total_s(one_round, 8) == pytest.approx(4.0 + 8 * 3.0)
    assert with_workers(1000, 200, 1, 8) == 1000 + 7 * 200 and with_workers(1000, 200, 1, 1) == 1000


def test_features_of_controls_are_computed_for_each_seed_and_worker_but_not_more_often_than_asked() -> None:
    features = {name: ProbeTimes(1.0, 0.0, 0.0) for name in NOTHING}
    times = replace(FREE, probes=features)
    assert times.total_s(PROTOCOL, 2) == pytest.approx(2 + 2 * 3 + 2)  # piece, controls of three seeds, raw inputs
    assert times.total_s(PROTOCOL, 64) == pytest.approx(3 * 18)


def test_fewer_trials_are_a_share_of_all() -> None:
    times = replace(FREE, tuning_s=1.0)
    assert times.total_s(PROTOCOL, 2, most_trials=48) == pytest.approx(times.total_s(PROTOCOL, 2) / 2)
    assert times.total_s(PROTOCOL, 2, most_trials=10**6) == times.total_s(PROTOCOL, 2)


def test_a_line_through_two_points() -> None:
    assert line(30, (10, 1.0), (20, 2.0)) == pytest.approx(3.0)
    assert line(5, (5, 1.0), (5, 2.0)) == 1.5 and line(0, (10, 1.0), (20, 3.0)) == 0.0


def test_another_program_on_the_machine_makes_no_part_longer() -> None:
    assert parallel(10.0, 40.0, 4) == 1.0 and parallel(10.0, 4.0, 4) == 2.5 and parallel(100.0, 1.0, 4) == 4.0


def _part(name: str, cpu_s: float, memory: int = 10, disk: int = 100) -> Part:
    return Part(name, cpu_s, cpu_s / 2, memory, disk, "timed")


def test_a_run_takes_the_sum_of_its_parts_and_the_memory_of_the_largest() -> None:
    cost = Cost((_part("data", 4.0, memory=50), _part("training", 6.0)), 2)
    assert (cost.cpu_s, cost.wall_s, cost.memory_bytes, cost.disk_bytes) == (10.0, 5.0, 50, 200)


def test_what_an_earlier_run_took_stands_for_a_part_if_all_of_it_was_told_the_same() -> None:
    parts = [_part("training", 6.0), _part("check", 5.0), _part("leakage", 1.0), _part("trials", 3.0)]
    measured = {
        "FullModelTrainer": 9.0,
        "FineTuneEvaluatorOne": 3.0,
        "FineTuneEvaluatorTwo": 5.0,
        "PieceExtractor": 1.0,
    }
    told = told_earlier([*parts, _part("piece", 2.0)], measured, "earlier")
    assert [part.cpu_s for part in told] == [
        9.0,
        5.0,
        2.0,
        6.0,
        2.0,
    ]  # the check is not known; of the piece its exporter is not known
    assert [part.source for part in told] == ["earlier", "timed", "earlier", "earlier", "timed"]
    assert told[0].wall_s == 4.5


def test_a_cost_is_a_table_with_totals_and_says_what_it_did_not_do() -> None:
    cost = Cost((_part("data", 4000.0, 2 * 10**9, 5 * 10**6), _part("training", 20000.0)), 4)
    first, now, *lines = table.text(cost, "digits", _plan(UpstreamExamples="run", FullModelTrainer="run")).splitlines()
    assert first == "digits: 6.67 CPU-hours, 3.3 h on 4 processors, 2.0 GB of memory, 5.0 MB of disk"
    assert now == "a run now: 6.67 CPU-hours, 3.3 h"
    assert lines[1].split() == ["part", "CPU", "time", "memory", "disk", "taken", "from"]
    assert lines[2].split() == ["data", "66.7", "min", "2.0", "GB", "5.0", "MB", "timed"]
    assert "Nothing was trained to its end, published or recorded" in lines[-1]


def test_what_comes_from_the_cache_costs_a_run_nothing_now() -> None:
    cost = Cost((_part("start", 10.0), _part("data", 4000.0), _part("training", 20000.0)), 4)
    only_data = table.text(cost, "digits", _plan(UpstreamExamples="run", FullModelTrainer="cache")).splitlines()[1]
    assert only_data == "a run now: 1.11 CPU-hours, 33.4 min; from the cache: training"
    idle = table.text(cost, "digits", _plan(UpstreamExamples="cache", HubPusher="idle")).splitlines()[1]
    assert idle == "a run now: nothing of that, for nothing has changed"


def _plan(**states: State) -> Plan:
    components = tuple(Component(name, state) for name, state in states.items())
    return Plan("digits", "r", "2026-11-30", "", (), (), components, MadeOf({}, "", {}, {}, {}, {}))


def test_the_arithmetic_imports_no_tensorflow() -> None:
    code = "import sys, pipelines.cost.arithmetic, pipelines.cost.table; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
