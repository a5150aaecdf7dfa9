"""Rows of any kind as plain arrays for a file, and as bytes for a digest.

In a file, by the name of the rows and their form:

    "plain"                        NAME
    {"texts": shape}               NAME.bytes, NAME.ends: all texts one after another, and where each ends
    {"ragged": form, "levels": n}  NAME.splits.0 …, NAME.values in a form of its own
    {"fields": {field: form}}      NAME.0 …, in the order of the fields

In a digest texts have one width, with zero bytes at their end. Where a text itself ends with one, or there is none, all
texts of the rows are sealed: each has one more byte at its end. Ragged fields follow after the others.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piecehub.facts.content import canonical_json
from piecehub.transfer.ragged import flattened, is_ragged, unflattened
from piecehub.transfer.texts import as_records, is_text, of_bytes

Rows = NDArray[Any]
Form = Any  # as drawn above
_SEAL = b"\x01"
_CHUNK_BYTES = 64 * 2**20


def packed(name: str, rows: Rows, arrays: dict[str, Rows]) -> Form:
    """Adds rows to `arrays` as plain ones, and returns their form."""
    if not rows.dtype.hasobject:
        arrays[name] = rows
        return "plain"
    if rows.dtype.names is not None:
        columns = fields(rows).items()
        return {"fields": {field: packed(f"{name}.{i}", column, arrays) for i, (field, column) in enumerate(columns)}}
    if is_ragged(rows):
        values, splits = flattened(rows)
        arrays |= {f"{name}.splits.{i}": level for i, level in enumerate(splits)}
        return {"ragged": packed(f"{name}.values", values, arrays), "levels": len(splits)}
    texts = rows.ravel().tolist()
    arrays[f"{name}.bytes"] = np.frombuffer(b"".join(texts), np.uint8)
    arrays[f"{name}.ends"] = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return {"texts": list(rows.shape)}


def unpacked(name: str, form: Form, arrays: Mapping[str, Rows]) -> Rows:
    """The rows that `packed` was given."""
    if form == "plain":
        return arrays[name]
    if "fields" in form:
        columns = enumerate(form["fields"].items())
        return as_records({field: unpacked(f"{name}.{i}", inner, arrays) for i, (field, inner) in columns})
    if "ragged" in form:
        splits = [arrays[f"{name}.splits.{i}"] for i in range(form["levels"])]
        return unflattened(unpacked(f"{name}.values", form["ragged"], arrays), splits)
    blob, ends = arrays[f"{name}.bytes"].tobytes(), arrays[f"{name}.ends"].tolist()
    return of_bytes([blob[start:end] for start, end in pairwise(ends)], tuple(form["texts"]))


def fields(rows: Rows) -> dict[str, Rows]:
    """The columns of rows with named fields."""
    return {name: rows[name] for name in rows.dtype.names or ()}


def digested(rows: Rows) -> Iterator[bytes]:
    """Bytes that differ where rows differ, in form or content; a part of them at a time."""
    columns = fields(rows) if rows.dtype.names is not None else {"": rows}
    ragged = {name: column for name, column in columns.items() if is_ragged(column)}
    if not ragged:
        yield from _digested(rows)
        return
    if even := {name: column for name, column in columns.items() if name not in ragged}:
        yield from _digested(as_records(even))
    for name, column in ragged.items():
        values, splits = flattened(column)
        yield canonical_json(["ragged", name, len(column), len(splits)])
        for level in splits:
            yield level.tobytes()
        yield from _digested(values)


def _digested(rows: Rows) -> Iterator[bytes]:
    seal = _SEAL if _must_be_sealed(rows) else b""
    if seal:
        yield b"sealed"
    dtype = _of_one_width(rows, len(seal)) if rows.dtype.hasobject else rows.dtype
    yield canonical_json([dtype.str if dtype.names is None else dtype.descr, list(rows.shape)])
    count = max(1, _CHUNK_BYTES // max(1, dtype.itemsize * rows[:1].size))
    for start in range(0, len(rows), count):
        yield np.ascontiguousarray(_filled(rows[start : start + count], dtype, seal)).tobytes()


def _must_be_sealed(rows: Rows) -> bool:
    columns = fields(rows).values() if rows.dtype.names is not None else [rows]
    return any(
        column.dtype.hasobject and (not column.size or any(text.endswith(b"\0") for text in column.ravel().tolist()))
        for column in columns
    )


def _of_one_width(rows: Rows, more: int) -> np.dtype[Any]:
    """The dtype of the rows if all texts had the width of the longest, and `more` bytes."""
    if rows.dtype.names is not None:
        columns = sorted(fields(rows).items())
        return np.dtype([(name, _of_one_width(column, more), column.shape[1:]) for name, column in columns])
    if not is_text(rows) or not (rows.dtype.hasobject or more):
        return rows.dtype
    return np.dtype(f"S{max(1, max(map(len, rows.ravel().tolist()), default=0) + more)}")


def _filled(rows: Rows, dtype: np.dtype[Any], seal: bytes) -> Rows:
    """Rows in a dtype of `_of_one_width`."""
    if dtype.names is not None:
        found: Rows = np.empty(len(rows), dtype)
        for name, column in fields(rows).items():
            found[name] = _filled(column, found[name].dtype, seal)
        return found
    if not is_text(rows) or rows.dtype == dtype:
        return rows
    return np.array([text + seal for text in rows.ravel().tolist()], dtype).reshape(rows.shape)
