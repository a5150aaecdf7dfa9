"""How far a piece of work is: what is told, when, and in which forms."""

import json
import time

import pytest

from piecehub.facts import progress
from piecehub.facts.progress import Count, Meter, Progress, phase, progress_to, tell
from piecehub.facts.quantities import cpu_hours, duration, size

TRAINING = Progress(
    counts=(Count("epoch", 3, 20), Count("step", 120, 285)),
    numbers={"loss": 0.4123},
    rate=2310.4,
    rate_unit="examples",
    left_s=80.4,
)
TRIAL = Progress(
    detail="fine-tuning, 5 examples", counts=(Count("trial", 34, 80),), rate=2.14, rate_unit="trials", left_s=22
)
PACKING = Progress("packing", "", (Count("bytes", 410_000_000, 1_200_000_000),), {}, 85e6, "bytes", 9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands until the test moves it."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (TRAINING, "epoch 3 of 20, step 120 of 285, loss 0.412, 2,310 examples/s, 1 min 20 s left"),
        (TRIAL, "trial 34 of 80, 2.1 trials/s, 22 s left: fine-tuning, 5 examples"),
        (PACKING, "packing: 410 MB of 1.2 GB, 85 MB/s, 9 s left"),
        (Progress("comparing", "", (Count("examples", 1200),)), "comparing: 1,200 examples"),
        (Progress(counts=(Count("trial", 3, 80),), rate=0.2, rate_unit="trials"), "trial 3 of 80, 12 trials/min"),
        (Progress(), ""),
    ],
)
def test_a_value_is_a_line_for_a_person(value: Progress, text: str) -> None:
    assert value.text == text


@pytest.mark.parametrize("value", [TRAINING, TRIAL, PACKING, Progress(), Progress(left_s=0)])
def test_a_value_is_read_from_json_as_it_was_written(value: Progress) -> None:
    assert Progress.from_json(json.loads(json.dumps(value.to_json()))) == value


def test_what_is_empty_is_left_out_of_the_json() -> None:
    assert Progress("packing", counts=(Count("bytes", 5),)).to_json() == {
        "phase": "packing",
        "counts": [{"unit": "bytes", "at": 5}],
    }


def test_the_share_counts_epochs_and_steps_within_the_one_that_goes_on() -> None:
    assert TRAINING.share == pytest.approx((2 + 120 / 285) / 20)
    assert TRIAL.share == pytest.approx(34 / 80)
    assert Progress(counts=(Count("examples", 1200),)).share is None


def test_what_is_told_goes_to_who_listens_and_to_nobody_else() -> None:
    told: list[Progress] = []
    tell(TRIAL)
    with progress_to(told.append):
        tell(TRIAL)
    tell(TRIAL)
    assert told == [TRIAL]


def test_an_error_inside_ends_the_listening() -> None:
    told: list[Progress] = []
    with pytest.raises(ZeroDivisionError), progress_to(told.append):
        raise ZeroDivisionError
    tell(TRIAL)
    assert told == []


def test_it_is_told_once_a_second_at_most_but_what_is_complete_is(clock: list[float]) -> None:
    told: list[Progress] = []
    with progress_to(told.append):
        for step in range(25):
            clock[0] = 100.0 + 0.1 * step
            tell(Progress(counts=(Count("step", step, 24),)))
    assert [value.counts[0].at for value in told] == [0, 10, 20, 24]


def test_a_phase_is_told_when_it_begins_and_ends_however_soon(clock: list[float]) -> None:
    told: list[str] = []
    with progress_to(lambda value: told.append(value.text)):
        with phase("packing"):
            tell(Progress(counts=(Count("step", 1, 2),)))  # within the second: left out
        with phase("reading back"):
            pass
    assert told == ["packing", "", "reading back", ""]


def test_the_outer_phase_goes_on_where_one_within_it_ends() -> None:
    heard: list[str] = []
    with progress_to(lambda value: heard.append(value.phase)), phase("outer"), phase("inner"):
        pass
    assert heard == ["outer", "inner", "outer", ""]


def test_that_a_phase_ended_is_not_told_of_one_that_failed() -> None:
    told: list[str] = []
    with pytest.raises(ZeroDivisionError), progress_to(lambda value: told.append(value.text)), phase("packing"):
        raise ZeroDivisionError
    assert told == ["packing"]


def test_a_meter_tells_how_fast_it_goes_and_how_long_the_rest_takes(clock: list[float]) -> None:
    told: list[Progress] = []
    with progress_to(told.append):
        meter = Meter("trial", 80)
        for done in range(1, 35):
            meter.at(done, "fine-tuning")
            clock[0] += 0.5
    assert told[0] == Progress("", "fine-tuning", (Count("trial", 1, 80),), {}, 0.0, "trials", None)
    assert told[-1].text == "trial 33 of 80, 2.0 trials/s, 24 s left: fine-tuning"


def test_a_meter_looks_back_half_a_minute_only(clock: list[float]) -> None:
    told: list[Progress] = []
    with progress_to(told.append):
        meter = Meter("bytes", 100_000)
        for seconds_each in (10, 10, 10, 1, 1, *[1] * 30):  # the beginning was slow
            clock[0] += seconds_each
            meter.add(100)
    assert told[-1].rate == pytest.approx(100, rel=0.01)


def test_a_meter_that_nobody_listens_to_costs_little() -> None:
    meter, began = Meter("bytes", 1 << 40), time.process_time()
    for _ in range(100_000):
        meter.add(1 << 14)
    assert time.process_time() - began < 1
    assert progress._listener.get() is progress._nobody


@pytest.mark.parametrize(("seconds", "text"), [(48.4, "48 s"), (80, "1 min 20 s"), (7500, "2 h 5 min")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("size_bytes", "text"), [(517, "517 bytes"), (12_345, "12 kB"), (1.24e9, "1.2 GB")])
def test_sizes_are_for_people(size_bytes: float, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.21, "3.2 CPU-seconds"), (36, "0.01 CPU-hours"), (9000, "2.5 CPU-hours")]
)
def test_the_time_of_processors_is_for_people(seconds: float, text: str) -> None:
    assert cpu_hours(seconds) == text
