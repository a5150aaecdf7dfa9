"""When a schedule fires: cron of six fields, held against what it says, and against seconds counted one by one."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from piecehub.errors import RecipeError
from pipelines.operating.cron import as_the_server_reads, read_cron, zone_of

MONDAY = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("0 0 3 * * *", "2026-12-01T03:00:00"),
        ("30 15 12 * * *", "2026-11-30T12:15:30"),
        ("0 */20 * * * ?", "2026-11-30T12:20:00"),
        ("0 0 3 * * SUN", "2026-12-06T03:00:00"),
        ("0 0 3 ? * mon-fri", "2026-12-01T03:00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00"),
        ("0 0 0 13 * 5", "2026-12-04T00:00:00"),  # either day suffices
        ("0 5/25 8-10,22 1 JAN *", "2027-01-01T08:05:00"),
        ("0 3 * * *", "2026-12-01T03:00:00"),  # `0 3 * * *` of cron
    ],
)
def test_the_first_firing_after_a_moment(expression, first):
    assert read_cron(expression).next_after(MONDAY) == datetime.fromisoformat(f"{first}+00:00")


def test_firings_are_those_that_counting_seconds_finds():
    cron = read_cron("*/40 7,31 1-3 * 11,12 tue")
    found, moment = [], MONDAY
    for _ in range(12):
        moment = cron.next_after(moment)
        found.append(moment)
    counted, at = [], MONDAY
    while len(counted) < 12:
        at += timedelta(seconds=1)
        if at.weekday() == 1 and at.second in (0, 40) and at.minute in (7, 31) and at.hour in (1, 2, 3):
            counted.append(at)
    assert found == counted
    assert all(cron.fires_at(at) for at in found)


def test_a_time_zone_moves_the_firing_and_summer_does_not_move_the_clock():
    cron, berlin = read_cron("0 0 3 * * *"), ZoneInfo("Europe/Berlin")
    assert cron.next_after(datetime(2026, 1, 10, tzinfo=UTC), berlin) == datetime(2026, 1, 10, 2, tzinfo=UTC)
    assert cron.next_after(datetime(2026, 7, 10, tzinfo=UTC), berlin) == datetime(2026, 7, 10, 1, tzinfo=UTC)


def test_five_fields_are_the_usual_five_and_the_server_gets_six():
    read = read_cron("15 3 * * 1")
    assert (read.text, read.had_five) == ("0 15 3 * * 1", True)
    assert not read_cron("0 15 3 * * 1").had_five


def test_what_stands_on_a_server_is_read_as_that_reads_it():
    assert as_the_server_reads("0 3 * * *").next_after(MONDAY) == MONDAY.replace(minute=3)
    assert as_the_server_reads("0 0 3 * * *") == read_cron("0 0 3 * * *")
    assert as_the_server_reads("@every 1h") is None
    assert as_the_server_reads("") is None


@pytest.mark.parametrize(
    "expression",
    ["", "0 3 * *", "0 0 24 * * *", "60 0 3 * * *", "0 0 3 0 * *", "0 0 3 * 13 *", "0 0 3 * * 7", "0 0 5-3 * * *"],
)
def test_what_the_server_would_refuse_is_refused(expression):
    with pytest.raises(RecipeError, match="Expected"):
        read_cron(expression)


@pytest.mark.parametrize("expression", ["0 0 3 * * mo", "0 0 */0 * * *", "0 0 *-3 * * *", "@daily", "0 0 3 * jan-x *"])
def test_words_that_mean_nothing_are_refused(expression):
    with pytest.raises(RecipeError, match="Expected"):
        read_cron(expression)


def test_an_expression_that_never_fires_is_refused():
    with pytest.raises(RecipeError, match="whose days no month has"):
        read_cron("0 0 3 30 2 *")


def test_a_time_zone_that_there_is_not_is_refused():
    for name in ("Mars/Olympus", "../etc/passwd", "/etc/localtime"):
        with pytest.raises(RecipeError, match="Expected a time zone"):
            zone_of(name)
