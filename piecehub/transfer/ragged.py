"""Ragged rows: an array of objects, each of which is an array of its own, as `Stream.as_arrays` gives them.

    values       all innermost values, one after another
    row_splits   for each ragged dimension the places between its rows, outermost first

A row that is ragged itself is an array of arrays, or a plain one where these happen to be of one length.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piecehub.errors import DataError

Rows = NDArray[Any]
Splits = NDArray[np.int64]


def is_ragged(rows: Rows) -> bool:
    """Whether each row is an array of its own."""
    return rows.dtype == object and rows.size > 0 and isinstance(rows.flat[0], np.ndarray)


def holds_text(rows: Rows) -> bool:
    """Whether the innermost values of ragged rows are texts or bytes."""
    for row in rows:
        if not isinstance(row, np.ndarray):
            return True
        if row.dtype != object:
            return row.dtype.kind in "SU"
        if row.size:
            return holds_text(row)
    return True


def leaves(row: Rows) -> list[Any]:
    """The innermost values of one row, in their order."""
    if is_ragged(row):
        return [leaf for part in row.flat for leaf in leaves(part)]
    return row.ravel().tolist()


def objects(rows: Iterable[Any]) -> Rows:
    """An array of objects of any kind, which NumPy would make one of numbers where they are of one length."""
    found = list(rows)
    array: Rows = np.empty(len(found), object)
    for index, row in enumerate(found):
        array[index] = row
    return array


def flattened(rows: Rows, rank: int | None = None) -> tuple[Rows, list[Splits]]:
    """Values and row splits of ragged rows.

    Args:
        rows: `[examples]`, at least one.
        rank: how many dimensions are ragged; by default as many as must be.

    Raises:
        DataError: if not so many dimensions are ragged, or more.
    """
    parts, sample, splits = list(rows), rows[0], list[Splits]()
    while True:
        splits.append(np.cumsum([0, *map(len, parts)], dtype=np.int64))
        full = [part for part in parts if len(part)]
        even = not any(map(is_ragged, full)) and len({part.shape[1:] for part in full}) <= 1
        if len(splits) == rank or (rank is None and even):
            break
        if not all(part.ndim > 1 or is_ragged(part) for part in full):
            raise _of_other_rank(rank, "fewer")
        parts = [child for part in full for child in part]
        sample = parts[0] if parts else sample
    if not even:
        raise _of_other_rank(rank, "more")
    return np.concatenate(full) if full else sample[:0], splits


def _of_other_rank(rank: int | None, received: str) -> DataError:
    return DataError(
        f"Expected a feature with {rank or 'some'} ragged dimensions, as the piece takes it. Received: {received}; "
        "change its shape where examples are decoded."
    )


def unflattened(values: Rows, splits: Sequence[Splits]) -> Rows:
    """The rows that `flattened` was given."""
    rows = values
    for level in reversed(splits):
        rows = objects(rows[start:end] for start, end in pairwise(level.tolist()))
    return rows


def stacked(rows: Rows) -> Rows | None:
    """Ragged rows as one plain array, if all are of one shape; else None."""
    values, splits = flattened(rows)
    lengths = np.unique(np.diff(splits[0]))
    if len(splits) > 1 or len(lengths) > 1:
        return None
    return values.reshape(len(rows), *lengths, *values.shape[1:])
