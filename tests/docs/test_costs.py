"""docs/costs.md: no number in a row that the file does not have which the row names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_RESULTS = _ROOT / "benchmarks" / "results"
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_FIGURE = re.compile(r"(\d[\d,]*(?:\.\d+)?) (?:s|MB|million)\b|^(\d[\d,]*(?:\.\d+)?)$")


def _rows(page: str) -> list[tuple[str, str]]:
    """The text of each row of a table that names a file, and the file."""
    return re.findall(r"^\| (.*) \| `([\w.]+\.json)` \|$", page, flags=re.MULTILINE)


def _figures(row: str) -> list[str]:
    """The measured numbers of a row: those with a unit, and those that have a cell for themselves."""
    return [one or other for cell in row.split(" | ") for one, other in _FIGURE.findall(cell.strip())]


def _leaves(value: Any) -> Iterator[float]:
    """All numbers of a result, those in its texts too."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one)
            yield from _leaves(key)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif isinstance(value, str):
        yield from (float(number.replace(",", "")) for number in _NUMBER.findall(value))
    elif isinstance(value, int | float):
        yield float(value)


def _strays(row: str, result: Any) -> list[str]:
    """The figures of a row that are none of the result's numbers, rounded as the page rounds."""
    known = list(_leaves(result))
    strays: list[str] = []
    for figure in _figures(row):
        digits = len(figure.partition(".")[2])
        if not any(f"{number:,.{digits}f}" == figure for number in known):
            strays.append(figure)
    return strays


_ROWS = _rows((_ROOT / "docs" / "costs.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("row", "file"), _ROWS, ids=[row.partition(" | ")[0][:40] or file for row, file in _ROWS])
def test_the_figures_of_a_row_are_those_of_its_file(row: str, file: str) -> None:
    assert _figures(row), "a row without a figure"
    assert _strays(row, json.loads((_RESULTS / file).read_text(encoding="utf-8"))) == []


def test_every_table_of_the_page_names_its_files() -> None:
    page = (_ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.endswith("| from |")]
    assert len(_ROWS) == len(rows) >= 20


def test_a_figure_that_was_not_measured_is_named() -> None:
    result = {"figures": {"ours": {"median_s": 4.473}}, "facts": {"size, MB": "463.2"}}
    assert _strays("publish 500 MB | 4.5 s, 463 MB", result | {"question": "publishing 500 MB"}) == []
    assert _strays("publish | 4.4 s, 463 MB", result) == ["4.4"]
    assert _strays("publish | 4.47 s | 1,463 MB", result) == ["1,463"]
    assert _strays("publish | 12 | a", result) == ["12"]
