"""`preview.json`, which a component writes beside what it made, whatever that is.

    {"schema": 1, "kind": "curves", "title", "data": {"x": "epoch", "series": {"loss": [0.9, 0.4]}}}
    {"schema": 1, "kind": "curves", "title", "data": {"x_label", "series": [{"name", "x", "y", "low", "high"}]}}
    {"schema": 1, "kind": "table", "title", "data": {"columns": […], "rows": [[…]]}}
    {"schema": 1, "kind": "checks", "title", "data": {"checks": [{"name", "passed", "sentence"}]}}
    {"schema": 1, "kind": "text", "title", "data": {"text"}}

A drawing is an `.svg` beside it, so pictures need no word here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from piecehub.facts.secrets import redacted_text
from piecehub.ui.previews.values import MOST_ROWS, Preview, Series, Unreadable, read_json, table

NAME = "preview.json"
_MOST_SERIES, _MOST_POINTS, _LONGEST_TEXT = 24, 2_000, 100_000
_PASSED = {True: "held", False: "fell short", None: "not made"}


def read(folder: Path) -> list[Preview]:
    """What the component says of its artifact.

    Raises:
        Unreadable: if it is of another form.
    """
    value = read_json(folder / NAME)
    try:
        return [_READERS[value["kind"]](str(value["title"]), value["data"])]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(
            f"Expected in '{NAME}' a kind of {', '.join(_READERS)}, a title and data. "
            f"Received: {type(error).__name__} {error}; look at the file."
        ) from error


def _curves(title: str, data: Mapping[str, Any]) -> Preview:
    told = data["series"]
    if isinstance(told, dict):
        named = cast("dict[str, list[Any]]", told)
        series = [Series(str(name), _numbers(range(1, len(y) + 1)), _numbers(y)) for name, y in named.items()]
    else:
        series = [_series(one) for one in told]
    return Preview(
        title,
        "curves",
        series=tuple(series[:_MOST_SERIES]),
        x=str(data.get("x_label") or data.get("x") or ""),
        note=f"The first {_MOST_SERIES} of {len(series)} curves." if len(series) > _MOST_SERIES else "",
    )


def _series(one: Mapping[str, Any]) -> Series:
    bounds = (_numbers(one.get("low") or ()), _numbers(one.get("high") or ()))
    found = Series(str(one["name"]), _numbers(one["x"]), _numbers(one["y"]), *bounds)
    if len(found.x) != len(found.y):
        raise ValueError("x and y of different lengths")
    return found


def _numbers(values: Any) -> tuple[float, ...]:
    """Numbers as such; one that is missing is none to draw."""
    return tuple(float("nan") if value is None else float(value) for value in list(values)[:_MOST_POINTS])


def _table(title: str, data: Mapping[str, Any]) -> Preview:
    return table(title, [str(name) for name in data["columns"]], data["rows"])


def _checks(title: str, data: Mapping[str, Any]) -> Preview:
    checks = cast("list[dict[str, Any]]", data["checks"])
    rows = [(_PASSED[c.get("passed")], str(c["name"]), "", redacted_text(str(c["sentence"]))) for c in checks]
    return Preview(title, "checks", rows=tuple(rows[:MOST_ROWS]))


def _text(title: str, data: Mapping[str, Any]) -> Preview:
    lines = str(data["text"])[:_LONGEST_TEXT].split("\n")
    return Preview(title, "text", text="\n".join(map(redacted_text, lines)))


_READERS: Mapping[str, Callable[[str, Mapping[str, Any]], Preview]] = {
    "curves": _curves,
    "table": _table,
    "checks": _checks,
    "text": _text,
}
