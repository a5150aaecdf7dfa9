"""Curves as a drawing: lines of different dashes and marks, so that none is told by its colour alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from piecehub.ui.previews.values import Preview, number

WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 10, 26
_TICKS = 4

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One curve: its name, the points of its line, and where its marks stand."""

    name: str
    points: str
    marks: tuple[Point, ...]


@dataclass(frozen=True)
class Chart:
    """Curves, placed in a box of WIDTH by HEIGHT; each tick is its place and its text."""

    lines: tuple[Line, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]


def chart(preview: Preview) -> Chart | None:
    """The drawing of curves; None if they have no two numbers to draw."""
    points = [[p for p in zip(s.x, s.y, strict=True) if all(map(math.isfinite, p))] for s in preview.series]
    everything = [point for line in points for point in line]
    if len(everything) < 2:
        return None
    x_low, x_high = _bounds([x for x, _ in everything])
    y_low, y_high = _bounds([y for _, y in everything])

    def place(point: Point) -> Point:
        x = _LEFT + (point[0] - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT)
        y = HEIGHT - _BOTTOM - (point[1] - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM)
        return round(x, 1), round(y, 1)

    lines = [
        Line(
            series.name,
            " ".join(f"{x},{y}" for x, y in map(place, line)),
            tuple(map(place, _marked(line))),
        )
        for series, line in zip(preview.series, points, strict=True)
        if line
    ]
    steps = [n / _TICKS for n in range(_TICKS + 1)]
    return Chart(
        tuple(lines),
        tuple((place((x_low + s * (x_high - x_low), y_low))[0], number(x_low + s * (x_high - x_low))) for s in steps),
        tuple((place((x_low, y_low + s * (y_high - y_low)))[1], number(y_low + s * (y_high - y_low))) for s in steps),
    )


def numbers_of(preview: Preview) -> tuple[list[str], list[list[str]]]:
    """The same as a table: a row for each x, a column for each curve."""
    xs = sorted({x for series in preview.series for x in series.x})
    found = [_by_x(series.x, series.y, series.low, series.high) for series in preview.series]
    return [s.name for s in preview.series], [[number(x), *(column.get(x, "") for column in found)] for x in xs]


def _by_x(x: Sequence[float], y: Sequence[float], low: Sequence[float], high: Sequence[float]) -> dict[float, str]:
    if len(low) != len(y) or len(high) != len(y):
        return dict(zip(x, map(number, y), strict=True))
    told = (f"{number(m)} [{number(a)}, {number(b)}]" for m, a, b in zip(y, low, high, strict=True))
    return dict(zip(x, told, strict=True))


def _marked(line: Sequence[Point]) -> Sequence[Point]:
    return line[:: len(line) // 8 + 1]


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)
