"""Looks at a table: a file of separated values with a line of names."""

from pathlib import Path
from typing import Any

import pandas as pd

from piecehub.errors import DataError
from pipelines.starting.columns import Columns, as_numbers, guess_label, look_at_columns, spread_of
from pipelines.starting.looked import Differing, Looked, template
from pipelines.starting.texts import TEXT_DESCRIPTION, TEXT_MODEL


def look_at_table(source: Path, label: str = "") -> Looked:
    """What a table holds: its label, and which columns are numbers, words or neither.

    Raises:
        DataError: if it is no table, or has no label or nothing to learn from.
    """
    table = _read(source)
    names = [str(name) for name in table.columns]
    chosen = guess_label(names, label)
    cells = {name: [None if pd.isna(value) else value for value in table[name]] for name in table.columns}
    labelled = [row for row, value in enumerate(cells[chosen]) if value is not None]
    cells = {name: [values[row] for row in labelled] for name, values in cells.items()}
    if not labelled:
        raise DataError(f"Expected labels in the column '{chosen}'. Received: none; name another by --label.")
    columns = look_at_columns(cells, chosen)
    how = "as told" if label else "the last one" if chosen == names[-1] else "by its name"
    what = "a class" if columns.classes else "a value"
    notes = [f"{len(table):,} rows; the label is the column '{chosen}' ({how}), {what}. Another: --label."]
    if len(labelled) < len(table):
        notes.append(f"{len(table) - len(labelled):,} rows have no label and are left out.")
    taken = [cells[name] for name in columns.taken]
    found = Differing()
    for value, *content in zip(cells[chosen], *taken, strict=True):
        found.add(value if columns.classes else "", tuple(content))
    return looked_at(source, "csv_table", columns, cells[chosen], found, (*notes, *_form(source, names)))


def looked_at(
    source: Path, data: str, columns: Columns, labels: list[Any], found: Differing, notes: tuple[str, ...]
) -> Looked:
    """What was found, of columns of whatever carrier.

    Args:
        source: where they lie.
        data: the template that reads them.
        columns: what they are.
        labels: of all rows that have one.
        found: which of these differ, by class; of a value under "".
        notes: what was guessed of the data.
    """
    told: dict[str, Any] = {"label": columns.label, "classes": columns.classes}
    told |= {"numbers": columns.numbers, "words": columns.words}
    if columns.text:
        told["words"] = [{"name": columns.text, "feature": "text"}]
    if not columns.classes:
        values = as_numbers(labels)
        assert values is not None, "a label that is no class is a number"
        told |= spread_of(values)
    texts = [f"The column '{columns.text}' holds sentences: the piece is one for texts."] if columns.text else []
    kinds = [_kinds(columns)] if not columns.text else []
    return Looked(
        source=source,
        data=data,
        model="texts" if columns.text else "columns",
        features=tuple(columns.features),
        counts=found.counts,
        description=TEXT_DESCRIPTION if columns.text else _description(columns),
        classes=columns.classes,
        hub_tasks=("text-embedding",) if columns.text else (),
        arguments=TEXT_MODEL if columns.text else {"width": 64},
        columns=told,
        notes=(*notes, *found.notes, *texts, *kinds, *columns.notes),
    )


def _kinds(columns: Columns) -> str:
    """How many columns are what; of a vector also how long it is."""
    numbers, words = columns.numbers, columns.words
    vectors = [f"'{one['name']}' of {one['size']}" for one in numbers if one["size"] > 1]
    sizes = f" ({', '.join(vectors[:5])}{', …' if len(vectors) > 5 else ''})" if vectors else ""
    return f"{len(numbers)} column{'s' * (len(numbers) != 1)} of numbers{sizes}, {len(words)} of words."


def _description(columns: Columns) -> str:
    """What the piece takes: by name and in order, where the names are few."""
    parts = [
        f"`{key}`: {', '.join(names) if len(names) <= 12 else f'{len(names)} columns'}"
        for key, names in (
            ("numbers", [one["name"] for one in columns.numbers]),
            ("words", [one["name"] for one in columns.words]),
        )
        if names
    ]
    return f"A small network for rows of a table, of two layers. It takes {'; '.join(parts)}."


def _form(source: Path, names: list[str]) -> list[str]:
    """What was guessed of how the table is written, where it may be otherwise."""
    known = {";": "semicolons", "\t": "tabs", "|": "bars"}
    separator = template("csv_table").separator_of(source)
    notes = [f"Its cells are separated by {known[separator]}."] if separator in known else []
    number = next((name for name in names if as_numbers([name]) is not None), "")
    if number:
        notes.append(f"Its first line is taken as names, '{number}' too: if it is a row, write names above it.")
    return notes


def _read(source: Path) -> pd.DataFrame:
    try:
        table = template("csv_table").read(source)
    except pd.errors.EmptyDataError as error:
        raise DataError(
            f"Expected a table with a line of names, and rows. Received: '{source}', an empty file."
        ) from error
    except pd.errors.ParserError as error:
        raise DataError(
            f"Expected rows of as many cells as there are names. Received: '{source}', {_said(error)}; mend that line."
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"Expected a file of values in UTF-8, separated by commas, semicolons, tabs or bars. Received: '{source}', "
            f"{_said(error)}; convert it."
        ) from error
    if len(table.columns) < 2 or table.empty:
        columns = f"{len(table.columns)} column{'s' * (len(table.columns) != 1)}"
        raise DataError(
            f"Expected a line of names with two columns or more, and rows. Received: '{source}' with {columns} and "
            f"{len(table)} rows; separate columns by commas, semicolons, tabs or bars."
        )
    return table


def _said(error: Exception) -> str:
    return " ".join(str(error).removeprefix("Error tokenizing data. C error: ").split())
