"""What a preview is."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from piecehub.errors import PiecehubError
from piecehub.facts.secrets import redacted_text
from piecehub.ui import words

Kind = Literal["table", "pairs", "checks", "curves", "text", "page"]
MOST_BYTES = 4_000_000
MOST_ROWS = 200
_LONGEST_CELL = 400


class Unreadable(PiecehubError):
    """A file of an artifact is not what its name says."""


@dataclass(frozen=True)
class Series:
    """A line of a plot: its name, and a point for each number; low and high are empty, or bounds."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Preview:
    """Something that lies in an artifact.

    Attributes:
        title: what it is.
        kind: how it is drawn: a `page` is text in HTML that was sanitised, and all others are plain.
        columns: of a table.
        rows: a cell a column; of checks the first is the outcome.
        bars: for each row of a table the heights of a histogram, or none.
        series: of curves.
        x: what the curves are drawn over.
        text: of a text or page.
        note: what a reader should know of it.
    """

    title: str
    kind: Kind
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    bars: tuple[tuple[float, ...], ...] = ()
    series: tuple[Series, ...] = field(default=())
    x: str = ""
    text: str = ""
    note: str = ""


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], note: str = "") -> Preview:
    """A table; of a long one the beginning, and then its note says so."""
    cells = [tuple(cell(value) for value in row) for row in rows]
    if len(cells) > MOST_ROWS:
        note = " ".join(filter(None, (note, f"The first {MOST_ROWS} of {len(cells):,}.")))
    return Preview(title, "table", tuple(columns), tuple(cells[:MOST_ROWS]), note=note)


def pairs(title: str, values: Mapping[str, Any], note: str = "") -> Preview:
    """Keys and values, those of nested tables by their path; what may be a secret is not shown."""
    return replace(table(title, (), words.parameters(values), note), kind="pairs")


def cell(value: Any) -> str:
    """A value in a table, on one line of bounded length."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return f"{value:,}"
    text = redacted_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}… ({len(text):,} characters)"


def number(value: float) -> str:
    """Four digits that count, as `0.9412`, `1,448`, `2.1e-07`."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def read_bytes(path: Path) -> bytes:
    """The bytes of a file of an artifact.

    Raises:
        Unreadable: if it is too large to be shown.
    """
    size_bytes = path.stat().st_size
    if size_bytes > MOST_BYTES:
        raise Unreadable(
            f"Expected at most {words.size(MOST_BYTES)} in '{path.name}' for a preview. "
            f"Received: {words.size(size_bytes)}; open the file itself."
        )
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """The value of a JSON file of an artifact.

    Raises:
        Unreadable: if it is none, or too large to be shown.
    """
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise Unreadable(
            f"Expected JSON in '{path.name}'. Received: {type(error).__name__}; look at the file."
        ) from error
