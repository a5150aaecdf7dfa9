"""Features that need no piece: the values themselves, or TF-IDF of words; what a piece has to be better than.

What is fitted, such as the vocabulary, is fitted on the shots alone: a consumer without a piece has nothing else.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from piecehub.transfer.ragged import flattened, holds_text, is_ragged, leaves
from piecehub.transfer.texts import is_text

Rows = NDArray[np.generic]
Floats = NDArray[np.float32]


def raw_features(shots: Rows, *others: Rows) -> tuple[Floats, ...]:
    """Features of the shots and of other examples, `[examples, width] float32` each.

    Numbers are divided by their standard deviation over the shots; a missing one (NaN) is the mean of those that are
    there, and a column of 0 and 1 more says so where shots lack it. Text becomes TF-IDF of its words; named fields
    (NumPy's structured arrays) stand side by side. Of ragged features texts and integers are words; other numbers are
    missing where an example has fewer than the longest of the shots, and left out where it has more.
    """
    if shots.dtype.names is None:
        return _of_one_field(shots, *others)
    fields = [_of_one_field(*(_field(rows, name) for rows in (shots, *others))) for name in shots.dtype.names]
    return tuple(np.concatenate(parts, axis=1) for parts in zip(*fields, strict=True))


def _field(rows: Any, name: str) -> Rows:
    return rows[name]


def _of_one_field(shots: Rows, *others: Rows) -> tuple[Floats, ...]:
    if is_ragged(shots):
        return _of_ragged(shots, *others)
    if is_text(shots):
        return _words(*([_text(row) for row in rows.reshape(len(rows), -1).tolist()] for rows in (shots, *others)))
    return _scaled(*(rows.reshape(len(rows), -1).astype(np.float32) for rows in (shots, *others)))


def _of_ragged(*rows: Rows) -> tuple[Floats, ...]:
    found = [[leaves(row) for row in part] for part in rows]
    if holds_text(rows[0]):
        return _words(*([_text(row) for row in part] for part in found))
    if flattened(rows[0])[0].dtype.kind in "iub":
        return _words(*([" ".join(map(str, row)) for row in part] for part in found))
    width = max(map(len, found[0]))
    return _scaled(
        *(np.array([_of_width(row, width) for row in part], np.float32).reshape(-1, width) for part in found)
    )


def _of_width(row: "list[float]", width: int) -> "list[float]":
    return [*row[:width], *[float("nan")] * (width - len(row))]


def _scaled(*flat: Floats) -> tuple[Floats, ...]:
    missing = [np.isnan(values) for values in flat]
    known = np.ma.masked_array(flat[0], missing[0]) if any(map(np.any, missing)) else flat[0]
    mean, deviation = (np.ma.filled(part, 0) for part in (known.mean(axis=0), known.std(axis=0)))
    # A value that all shots share says nothing, and divided by next to nothing it would drown the others.
    scale = np.where(deviation > 0, deviation, np.inf)
    lacking = missing[0].any(axis=0)
    return tuple(
        np.concatenate([np.where(gone, 0, (values - mean) / scale), gone[:, lacking]], axis=1).astype(np.float32)
        for values, gone in zip(flat, missing, strict=True)
    )


def _words(*joined: "list[str]") -> tuple[Floats, ...]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+")
    vectorizer.fit([*joined[0], "a"])  # one word at least, should all shots be empty
    sparse: list[Any] = [vectorizer.transform(rows) for rows in joined]
    return tuple(rows.toarray().astype(np.float32) for rows in sparse)


def _text(row: "list[bytes]") -> str:
    return " ".join(part.decode("utf-8", "replace") for part in row)
