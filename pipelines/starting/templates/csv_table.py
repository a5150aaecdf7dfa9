"""The examples of this recipe: the rows of a table.

`write` is called once, and again when this file, its arguments in `recipe.toml`, `columns.json` or SOURCE changes. Each
column that `columns.json` names becomes a feature; what is missing in a row is left out of its record.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from piecehub import write_splits

COLUMNS = Path(__file__).with_name("columns.json")
AS_TEXT: dict[str, Any] = {"dtype": str, "encoding": "utf-8-sig", "skipinitialspace": True, "na_values": "?"}


def write(folder: Path, *, source: str, task: str, held_out: Sequence[str] = (), upstream: bool = True) -> None:
    """Writes `upstream/{train,eval}` and `<task>/{pool,test}`.

    Args:
        folder: where to.
        source: a table as a file with a line of names, its cells separated by commas, semicolons, tabs or bars; may be
            compressed.
        task: the name of the downstream task.
        held_out: the classes that make it; the model is trained on all others. None: the task has all classes, but
            rows of its own.
        upstream: whether there is anything to train on; else all rows are the task's.
    """
    columns = json.loads(COLUMNS.read_text(encoding="utf-8"))
    rows = examples(read(Path(source)), columns)
    print(write_splits(folder, rows, task=task, held_out=held_out, classes=columns["classes"], upstream=upstream))


def read(source: Path) -> pd.DataFrame:
    """The table, all of it as text; an empty cell, a question mark, NA, NaN and their like are missing.

    Where commas separate no cells, a column of numbers may have decimal commas; they become points.
    """
    separator = separator_of(source)
    table = pd.read_csv(source, sep=separator, **AS_TEXT)
    if not isinstance(table.index, pd.RangeIndex):
        raise pd.errors.ParserError("the rows, that in line 2 for one, have more cells")
    for name in table.columns if separator != "," else ():
        if has_decimal_commas(table[name]):
            table[name] = table[name].str.replace(",", ".")
    return table


def separator_of(source: Path) -> str:
    """What separates the most names in the first line."""
    separators = ("\t",) if ".tsv" in source.suffixes else (",", ";", "\t", "|")
    return max(separators, key=lambda one: pd.read_csv(source, sep=one, header=None, nrows=1, **AS_TEXT).shape[1])


def has_decimal_commas(column: pd.Series) -> bool:
    """Whether its cells are numbers, one of them at least with a comma."""
    known = column.dropna()
    numbers = known.str.fullmatch(r"[+-]?\d+(,\d+)?(e[+-]?\d+)?\s*", case=False)
    return bool(numbers.all() and known.str.contains(",").any())


def examples(table: pd.DataFrame, columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each row that has a label, with what is not missing in it."""
    numbers = {one["name"]: one["feature"] for one in columns["numbers"]}
    words = {one["name"]: one["feature"] for one in columns["words"]}
    for row in table.to_dict("records"):
        label = row[columns["label"]]
        if pd.isna(label):
            continue
        example: dict[str, Any] = {"label": str(label) if columns["classes"] else float(label)}
        for name, feature in numbers.items():
            if not pd.isna(row[name]):
                example[feature] = number(row[name])
        for name, feature in words.items():
            if not pd.isna(row[name]):
                example[feature] = str(row[name])
        yield example


def number(text: str) -> float:
    """The number that a cell holds; of a truth value 0 or 1."""
    known = {"true": 1.0, "false": 0.0}
    told = text.strip().lower()
    return known[told] if told in known else float(told)
