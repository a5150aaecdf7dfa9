"""Features that need no piece: the values themselves, or TF-IDF of words; what a piece has to be better than.

What is fitted, such as the vocabulary, is fitted on the shots alone: a consumer without a piece has nothing else.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piecehub.transfer.ragged import flattened, holds_text, is_ragged, leaves
from piecehub.transfer.texts import is_text

Rows = NDArray[np.generic]
Floats = NDArray[np.float32]
_Fitted = Callable[[Rows], Floats]


class RawInput:
    """Features of examples, by what their shots have.

    Numbers are divided by their standard deviation over the shots; a missing one (NaN) is the mean of those that are
    there, and a column of 0 and 1 more says so where shots lack it. Text becomes TF-IDF of its words; named fields
    (NumPy's structured arrays) stand side by side. Of ragged features texts and integers are words; other numbers are
    missing where an example has fewer than the longest of the shots, and left out where it has more.
    """

    def __init__(self, shots: Rows) -> None:
        """Fits what is fitted."""
        rows: Any = shots
        self._fields: dict[str, _Fitted] = {name: _fitted(rows[name]) for name in shots.dtype.names or ()}
        self._whole = _fitted(shots) if not self._fields else None

    def features(self, rows: Rows) -> Floats:
        """`[examples, width] float32`; those of an example do not depend on others."""
        if self._whole:
            return self._whole(rows)
        named: Any = rows
        return np.concatenate([of_field(named[name]) for name, of_field in self._fields.items()], axis=1)


def raw_features(shots: Rows, *others: Rows) -> tuple[Floats, ...]:
    """Features of the shots and of other examples."""
    raw = RawInput(shots)
    return tuple(raw.features(rows) for rows in (shots, *others))


def _fitted(shots: Rows) -> "_Fitted":
    if is_ragged(shots):
        return _of_ragged(shots)
    if is_text(shots):
        return _words(shots, _texts)
    return _scaled(shots, _flat)


def _of_ragged(shots: Rows) -> "_Fitted":
    if holds_text(shots):
        return _words(shots, _ragged_texts)
    if flattened(shots)[0].dtype.kind in "iub":
        return _words(shots, _ragged_numbers)
    width = max(len(leaves(row)) for row in shots)
    return _scaled(
        shots, lambda rows: np.array([_of_width(leaves(row), width) for row in rows], np.float32).reshape(-1, width)
    )


def _flat(rows: Rows) -> Floats:
    return rows.reshape(len(rows), -1).astype(np.float32)


def _texts(rows: Rows) -> "list[str]":
    return [_text(row) for row in rows.reshape(len(rows), -1).tolist()]


def _ragged_texts(rows: Rows) -> "list[str]":
    return [_text(leaves(row)) for row in rows]


def _ragged_numbers(rows: Rows) -> "list[str]":
    return [" ".join(map(str, leaves(row))) for row in rows]


def _of_width(row: "list[float]", width: int) -> "list[float]":
    return [*row[:width], *[float("nan")] * (width - len(row))]


def _scaled(shots: Rows, flat: "Callable[[Rows], Floats]") -> "_Fitted":
    values = flat(shots)
    missing = np.isnan(values)
    known = np.ma.masked_array(values, missing) if missing.any() else values
    mean, deviation = (np.ma.filled(part, 0) for part in (known.mean(axis=0), known.std(axis=0)))
    # A value that all shots share says nothing, and divided by next to nothing it would drown the others.
    scale = np.where(deviation > 0, deviation, np.inf)
    lacking = missing.any(axis=0)

    def features(rows: Rows) -> Floats:
        found = flat(rows)
        gone = np.isnan(found)
        return np.concatenate([np.where(gone, 0, (found - mean) / scale), gone[:, lacking]], axis=1).astype(np.float32)

    return features


def _words(shots: Rows, texts: "Callable[[Rows], list[str]]") -> "_Fitted":
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+")
    vectorizer.fit([*texts(shots), "a"])  # one word at least, should all shots be empty

    def features(rows: Rows) -> Floats:
        sparse: Any = vectorizer.transform(texts(rows))
        return sparse.toarray().astype(np.float32)

    return features


def _text(row: "list[bytes]") -> str:
    return " ".join(part.decode("utf-8", "replace") for part in row)
