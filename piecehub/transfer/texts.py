"""Texts in arrays, byte by byte: NumPy's `S` where it keeps every byte and holds little else, else objects.

NumPy's `S` drops zero bytes at the end of a text, and gives each text the room of the longest one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from piecehub.errors import DataError

Rows = NDArray[Any]
_LARGE, _WASTE = 64 * 2**20, 4
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\x1f\x8b")


def exact_array(values: ArrayLike) -> Rows:
    """`values` as an array; of bytes and texts that are no array yet, one of objects."""
    array = np.asarray(values)
    return array if array is values or array.dtype.kind not in "SU" else np.array(values, dtype=object)


def is_text(rows: Rows) -> bool:
    """Whether an array without named fields holds texts."""
    return rows.dtype.kind in "SO"


def is_binary(value: "bytes | str") -> bool:
    """Whether bytes are no text: JPEG, PNG or gzip by their first bytes, else no UTF-8 and with zero bytes."""
    if isinstance(value, str):
        return False
    if value.startswith(_MAGIC):
        return True
    return b"\0" in value and not _is_utf8(value)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def text_rows(texts: Rows) -> Rows:
    """Texts or bytes of any array as UTF-8 bytes, of the same shape.

    Raises:
        DataError: if one is neither.
    """
    found = texts.ravel().tolist()
    for text in found:
        if not isinstance(text, bytes | str):
            raise DataError(f"Expected numbers or texts as features. Received: {type(text).__name__}, {text!r:.60}.")
    return of_bytes([text.encode() if isinstance(text, str) else text for text in found], texts.shape)


def of_bytes(texts: Sequence[bytes], shape: tuple[int, ...]) -> Rows:
    """Bytes as an array that keeps each of them, and takes at most a few times their room."""
    fitting = texts and not any(text.endswith(b"\0") for text in texts)
    flat = np.array(texts, dtype=None if fitting and not _is_wide(texts) else object)
    return flat.reshape(shape)


def _is_wide(texts: Sequence[bytes]) -> bool:
    """Whether arrays of one width would be mostly empty: a text of 5 MB among a thousand of 5 KB would take 5 GB."""
    room = len(texts) * max(map(len, texts))
    return room > _LARGE and room > _WASTE * sum(map(len, texts))


def as_records(arrays: "dict[str, Rows]") -> Rows:
    """Arrays `[examples, …]` as one `[examples]` with a field for each, in the order of the names."""
    fields = [(key, array.dtype, array.shape[1:]) for key, array in sorted(arrays.items())]
    records = np.empty(len(next(iter(arrays.values()))), np.dtype(fields))
    for key, array in arrays.items():
        records[key] = array
    return records
