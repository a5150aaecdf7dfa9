"""Texts in arrays, byte by byte: NumPy's `S` where it keeps every byte, else objects.

NumPy's `S` drops zero bytes at the end of a text, and an array of objects can neither be written without pickle nor
digested by its bytes. So what is written or digested has each text with an end of its own, `sealed`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from piecehub.errors import DataError

Rows = NDArray[Any]
_END = b"\x01"
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
    return _of([text.encode() if isinstance(text, str) else text for text in found], texts.shape)


def sealed(rows: Rows) -> Rows:
    """Rows whose texts keep their zero bytes in NumPy's `S`: each ends with one more byte, until `unsealed`."""
    return _with_texts(rows, lambda text: text + _END, np.array)


def unsealed(rows: Rows) -> Rows:
    """What `sealed` was given."""
    return _with_texts(rows, lambda text: text.removesuffix(_END), lambda texts: _of(texts, (len(texts),)))


def keeps_every_byte(rows: Rows) -> bool:
    """Whether no part of the rows is an array of objects, so that their bytes are all there is."""
    return not rows.dtype.hasobject


def _of(texts: Sequence[bytes], shape: tuple[int, ...]) -> Rows:
    fitting = not any(text.endswith(b"\0") for text in texts)
    flat = np.array(texts, dtype=None if fitting and texts else object)
    return flat.reshape(shape)


def _with_texts(rows: Rows, change: Callable[[bytes], bytes], make: Callable[[list[bytes]], Rows]) -> Rows:
    """The rows, the texts of each field changed and made an array anew."""
    if rows.dtype.names is None:
        if not is_text(rows):
            return rows
        return make([change(text) for text in rows.ravel().tolist()]).reshape(rows.shape)
    return as_records({name: _with_texts(rows[name], change, make) for name in rows.dtype.names})


def as_records(arrays: "dict[str, Rows]") -> Rows:
    """Arrays `[examples, …]` as one `[examples]` with a field for each, in the order of the names."""
    fields = [(key, array.dtype, array.shape[1:]) for key, array in sorted(arrays.items())]
    records = np.empty(len(next(iter(arrays.values()))), np.dtype(fields))
    for key, array in arrays.items():
        records[key] = array
    return records
