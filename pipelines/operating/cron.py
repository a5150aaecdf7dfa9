"""When a schedule fires: cron of six fields, seconds first, as Kubeflow's server reads it (robfig/cron 1.2).

    0 30 3 * * MON-FRI      second, minute, hour, day of month, month, day of week (0 is Sunday)

A field is `*` or `?`, or a list of values, ranges `a-b` and steps `*/n`, `a/n`, `a-b/n`; months and days have names.
If days of month and of week are both told, one of them suffices. The server would take five fields too, and read them
as second to month: here they are cron's usual five, and second 0.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from itertools import product
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from piecehub.errors import RecipeError

_MONTHS = {
    n: i
    for i, n in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1)
}
_DAYS = {n: i for i, n in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_NO_NAMES: Mapping[str, int] = {}
# Name, first and last value, and names of values.
_FIELDS = (
    ("second", 0, 59, _NO_NAMES),
    ("minute", 0, 59, _NO_NAMES),
    ("hour", 0, 23, _NO_NAMES),
    ("day of month", 1, 31, _NO_NAMES),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_PART = re.compile(r"(?P<low>[*?]|\w+)(?:-(?P<high>\w+))?(?:/(?P<step>\d+))?")
# The 29th of February on a given weekday comes once in 28 years, and once in 40 about the year 2100.
_DAYS_AHEAD = 366 * 41


@dataclass(frozen=True)
class Cron:
    """An expression that was read.

    Attributes:
        text: its six fields, a space between.
        had_five: whether the second was left out.
    """

    text: str
    had_five: bool
    _values: tuple[frozenset[int], ...]
    _any_day: tuple[bool, bool]

    def fires_at(self, moment: datetime) -> bool:
        """Whether a moment, in the time zone of the schedule, is one at which it fires."""
        second, minute, hour = self._values[:3]
        return moment.second in second and moment.minute in minute and moment.hour in hour and self._on(moment)

    def next_after(self, moment: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The first firing after a moment, in UTC; None if there is none for decades (the 30th of February)."""
        times = sorted(product(*(sorted(self._values[place]) for place in (2, 1, 0))))
        first = moment.astimezone(zone).date()
        for ahead in range(_DAYS_AHEAD):
            day = datetime.combine(first + timedelta(days=ahead), time(), zone)
            if not self._on(day):
                continue
            for hour, minute, second in times:
                found = day.replace(hour=hour, minute=minute, second=second).astimezone(UTC)
                if found > moment:
                    return found
        return None

    def _on(self, day: datetime) -> bool:
        days, months, weekdays = self._values[3:]
        of_month, of_week = day.day in days, (day.weekday() + 1) % 7 in weekdays
        suits = (of_month and of_week) if any(self._any_day) else (of_month or of_week)
        return day.month in months and suits


def read_cron(text: str) -> Cron:
    """Reads an expression.

    Raises:
        RecipeError: if the server would refuse it, or it never fires.
    """
    fields = text.split()
    if len(fields) not in (5, 6):
        raise RecipeError(
            "Expected a cron expression of six fields (second, minute, hour, day of month, month, day of week), as "
            f"'0 0 3 * * *'. Received: '{text}'."
        )
    had_five = len(fields) == 5
    fields = ["0", *fields] if had_five else fields
    values = tuple(_values(field, *told) for field, told in zip(fields, _FIELDS, strict=True))
    any_day = (fields[3][0] in "*?", fields[5][0] in "*?")
    found = Cron(" ".join(fields), had_five, values, any_day)
    if found.next_after(datetime.now(UTC)) is None:
        raise RecipeError(f"Expected a cron expression that fires. Received: '{text}', whose days no month has.")
    return found


def as_the_server_reads(text: str) -> Cron | None:
    """An expression that stands on a server, whoever made it; None for what only the server reads, as `@every 1h`.

    Of five fields it takes the first for the second, and every day of the week.
    """
    fields = text.split()
    try:
        return read_cron(f"{text} *" if len(fields) == 5 else text)
    except RecipeError:
        return None


def zone_of(name: str) -> tzinfo:
    """A time zone by its name; UTC for an empty one."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise RecipeError(f"Expected a time zone, as Europe/Berlin. Received: '{name}'.") from error


def _values(field: str, called: str, first: int, last: int, names: Mapping[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        read = _PART.fullmatch(part)
        if not read:
            raise RecipeError(_refusal(called, first, last, part))
        if read["low"] in ("*", "?"):
            low, high = first, last
        else:
            low = _number(read["low"], names)
            high = _number(read["high"], names) if read["high"] else (last if read["step"] else low)
        step = int(read["step"] or 1)
        if not first <= low <= high <= last or step == 0 or (read["low"] in ("*", "?") and read["high"]):
            raise RecipeError(_refusal(called, first, last, part))
        found |= set(range(low, high + 1, step))
    return frozenset(found)


def _number(word: str, names: Mapping[str, int]) -> int:
    return names.get(word.lower(), int(word) if word.isascii() and word.isdigit() else -1)


def _refusal(called: str, first: int, last: int, part: str) -> str:
    return f"Expected {called} as *, a number from {first} to {last}, a range a-b or a step */n. Received: '{part}'."
