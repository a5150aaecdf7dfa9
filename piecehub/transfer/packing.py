"""Rows of any kind as plain files that processes map and share, and as bytes for a digest.

A form says which files in a folder hold rows, and how:

    {"plain": NAME}                            NAME.npy
    {"texts": NAME, "shape": shape}            NAME.bytes, NAME.ends.npy: all texts one after another, and where each
                                               ends
    {"ragged": form, "splits": [NAME, …]}      one file for each ragged dimension, and the values in a form of their own
    {"fields": {field: form}}                  each field in a form of its own

Mapped rows are read when they are asked for, and what is read lies in the system's cache of files, once for all
processes. Rows that are sliced or picked are arrays as ever.

In a digest texts have one width, with zero bytes at their end. Where a text itself ends with one, or there is none, all
texts of the rows are sealed: each has one more byte at its end. Ragged fields follow after the others.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
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


class Mapped:
    """Rows in files, with what arrays have of it: length, dtype and shape; rows that are picked are an array.

    Attributes:
        form: as drawn above, with whole paths in it, so that others can map the same files.
        dtype: of rows that are picked; of texts and ragged rows that of objects.
        shape: the first dimension is the rows.
    """

    form: Form
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, places: Any) -> Rows:
        """The rows of a slice, or at places, in memory but for a slice of plain numbers."""
        raise NotImplementedError


Some = Rows | Mapped


class MappedPlain(Mapped):
    """Rows of numbers, or of texts of one width."""

    def __init__(self, path: str) -> None:
        self._rows: Rows = np.load(f"{path}.npy", mmap_mode="r", allow_pickle=False)
        self.form, self.dtype, self.shape = {"plain": path}, self._rows.dtype, self._rows.shape

    def __getitem__(self, places: Any) -> Rows:
        return np.asarray(self._rows[places])


class MappedTexts(Mapped):
    """Rows of texts of any width."""

    dtype = np.dtype(object)

    def __init__(self, path: str, shape: tuple[int, ...]) -> None:
        self._ends: Rows = np.load(f"{path}.ends.npy", mmap_mode="r", allow_pickle=False)
        # What is empty cannot be mapped.
        self._bytes: Rows = np.memmap(f"{path}.bytes", np.uint8, "r") if self._ends[-1] else np.zeros(0, np.uint8)
        self.form, self.shape = {"texts": path, "shape": list(shape)}, shape

    def __getitem__(self, places: Any) -> Rows:
        places = np.arange(len(self))[places]
        each = np.arange(int(np.prod(self.shape[1:], dtype=int)))
        wanted = (places[:, None] * len(each) + each).ravel()
        starts, ends = self._ends[wanted].tolist(), self._ends[wanted + 1].tolist()
        texts = [self._bytes[start:end].tobytes() for start, end in zip(starts, ends, strict=True)]
        return of_bytes(texts, (len(places), *self.shape[1:]))

    @property
    def longest(self) -> int:
        """The length of the longest text."""
        return int(np.diff(self._ends).max(initial=0))

    @property
    def must_be_sealed(self) -> bool:
        """Whether a text ends with a zero byte, or there is none."""
        ends = self._ends[1:][np.diff(self._ends) > 0]
        return not len(self._ends) - 1 or bool((self._bytes[ends - 1] == 0).any())


class MappedRagged(Mapped):
    """Ragged rows."""

    dtype = np.dtype(object)

    def __init__(self, values: Mapped, paths: "list[str]") -> None:
        self.values = values
        self.splits: list[Rows] = [np.load(f"{path}.npy", mmap_mode="r", allow_pickle=False) for path in paths]
        self.form, self.shape = {"ragged": values.form, "splits": paths}, (len(self.splits[0]) - 1,)

    def __getitem__(self, places: Any) -> Rows:
        rows: Rows = np.empty(len(self), object)[places]
        for i, place in enumerate(np.arange(len(self))[places].tolist()):
            rows[i] = self._row(place)
        return rows

    def _row(self, place: int) -> Rows:
        start, end, inner = place, place + 1, list[Rows]()
        for level in self.splits:
            part = np.asarray(level[start : end + 1])
            inner.append(part - part[0])
            start, end = int(part[0]), int(part[-1])
        return unflattened(self.values[start:end], inner)[0]


class MappedFields(Mapped):
    """Rows with named fields."""

    def __init__(self, fields: "dict[str, Mapped]") -> None:
        self.fields = fields
        self.form = {"fields": {name: column.form for name, column in fields.items()}}
        self.dtype = np.dtype([(name, fields[name].dtype, fields[name].shape[1:]) for name in sorted(fields)])
        self.shape = (len(next(iter(fields.values()))),)

    def __getitem__(self, places: Any) -> Rows:
        return as_records({name: column[places] for name, column in self.fields.items()})


class Picked(Mapped):
    """Rows at some places of others, which are picked when they are asked for."""

    def __init__(self, rows: Some, places: NDArray[np.int64]) -> None:
        self._rows, self._places = rows, places
        self.dtype, self.shape = rows.dtype, (len(places), *rows.shape[1:])

    def __getitem__(self, places: Any) -> Rows:
        return self._rows[self._places[places]]


class Joined(Mapped):
    """Rows of numbers after others of the same shape, read when they are asked for."""

    def __init__(self, one: Some, other: Some) -> None:
        self._one, self._other = one, other
        self.dtype = np.result_type(one.dtype, other.dtype)
        self.shape = (len(one) + len(other), *one.shape[1:])

    def __getitem__(self, places: Any) -> Rows:
        places = np.arange(len(self))[places]
        after = places >= len(self._one)
        found: Rows = np.empty((len(places), *self.shape[1:]), self.dtype)
        found[~after] = self._one[places[~after]]
        found[after] = self._other[places[after] - len(self._one)]
        return found


def write(rows: Some, folder: Path, name: str) -> Form:
    """Writes rows into files of a folder whose names begin with `name`, and returns their form.

    Rows that are mapped lie in files already: these are named.
    """
    if isinstance(rows, Mapped):
        return rows.form
    path = str(folder / name)
    if rows.dtype.names is not None:
        columns = enumerate(fields(rows).items())
        return {"fields": {field: write(column, folder, f"{name}.{i}") for i, (field, column) in columns}}
    if is_ragged(rows):
        values, splits = flattened(rows)
        for i, level in enumerate(splits):
            np.save(f"{path}.splits.{i}.npy", level)
        form = write(values, folder, f"{name}.values")
        return {"ragged": form, "splits": [f"{path}.splits.{i}" for i in range(len(splits))]}
    if not rows.dtype.hasobject:
        np.save(f"{path}.npy", rows)
        return {"plain": path}
    texts = rows.ravel().tolist()
    Path(f"{path}.bytes").write_bytes(b"".join(texts))
    np.save(f"{path}.ends.npy", np.cumsum([0, *map(len, texts)], dtype=np.int64))
    return {"texts": path, "shape": list(rows.shape)}


def mapped(form: Form) -> Mapped:
    """The rows of a form."""
    if "plain" in form:
        return MappedPlain(form["plain"])
    if "texts" in form:
        return MappedTexts(form["texts"], tuple(form["shape"]))
    if "ragged" in form:
        return MappedRagged(mapped(form["ragged"]), form["splits"])
    return MappedFields({field: mapped(inner) for field, inner in form["fields"].items()})


def files(form: Form) -> list[Path]:
    """The files that rows of a form lie in."""
    if "plain" in form:
        return [Path(f"{form['plain']}.npy")]
    if "texts" in form:
        return [Path(f"{form['texts']}{suffix}") for suffix in (".bytes", ".ends.npy")]
    if "ragged" in form:
        return [*files(form["ragged"]), *(Path(f"{path}.npy") for path in form["splits"])]
    return [file for inner in form["fields"].values() for file in files(inner)]


def moved(form: Form, place: Callable[[str], str]) -> Form:
    """The form of the same rows, of whose files `place` says how their names begin elsewhere."""
    if "plain" in form:
        return {"plain": place(form["plain"])}
    if "texts" in form:
        return form | {"texts": place(form["texts"])}
    if "ragged" in form:
        return {"ragged": moved(form["ragged"], place), "splits": [place(path) for path in form["splits"]]}
    return {"fields": {field: moved(inner, place) for field, inner in form["fields"].items()}}


def fields(rows: Some) -> "dict[str, Some]":
    """The columns of rows with named fields."""
    if isinstance(rows, MappedFields):
        return dict(rows.fields)
    return {name: rows[name] for name in rows.dtype.names or ()}


def digested(rows: Some) -> Iterator[bytes]:
    """Bytes that differ where rows differ, in form or content; a part of them at a time."""
    columns = fields(rows) if rows.dtype.names is not None else {"": rows}
    ragged = {name: column for name, column in columns.items() if _is_ragged(column)}
    if even := {name: column for name, column in columns.items() if name not in ragged}:
        yield from _digested(even)
    for name, column in ragged.items():
        values, splits = (column.values, column.splits) if isinstance(column, MappedRagged) else flattened(column[:])
        yield canonical_json(["ragged", name, len(column), len(splits)])
        for level in splits:
            yield level.tobytes()
        yield from _digested({"": values})


def _is_ragged(column: Some) -> bool:
    return isinstance(column, MappedRagged) or (isinstance(column, np.ndarray) and is_ragged(column))


def _digested(columns: "Mapping[str, Some]") -> Iterator[bytes]:
    """Of columns that are not ragged; the one of rows without fields has no name."""
    seal = _SEAL if any(map(_must_be_sealed, columns.values())) else b""
    if seal:
        yield b"sealed"
    dtypes = {name: _of_one_width(column, len(seal)) for name, column in sorted(columns.items())}
    named = np.dtype([(name, dtypes[name], columns[name].shape[1:]) for name in dtypes if name])
    dtype, first = named if named.names else dtypes[""], next(iter(columns.values()))
    shape = [len(first)] if named.names else list(first.shape)
    yield canonical_json([dtype.str if dtype.names is None else dtype.descr, shape])
    count = max(1, _CHUNK_BYTES // max(1, dtype.itemsize * int(np.prod(shape[1:], dtype=int))))
    for start in range(0, len(first), count):
        parts = {name: _filled(column[start : start + count], dtypes[name], seal) for name, column in columns.items()}
        yield np.ascontiguousarray(_records(parts, dtype) if dtype.names else parts[""]).tobytes()


def _records(parts: "Mapping[str, Rows]", dtype: np.dtype[Any]) -> Rows:
    found: Rows = np.empty(len(next(iter(parts.values()))), dtype)
    for name, column in parts.items():
        found[name] = column
    return found


def _must_be_sealed(column: Some) -> bool:
    if isinstance(column, MappedTexts):
        return column.must_be_sealed
    if not column.dtype.hasobject:
        return False
    texts = column[:].ravel().tolist()
    return not texts or any(text.endswith(b"\0") for text in texts)


def _of_one_width(column: Some, more: int) -> np.dtype[Any]:
    """The dtype of rows if all texts had the width of the longest, and `more` bytes."""
    if column.dtype.kind not in "SO" or not (column.dtype.hasobject or more):
        return column.dtype
    if isinstance(column, MappedTexts):
        return np.dtype(f"S{max(1, column.longest + more)}")
    return np.dtype(f"S{max(1, max(map(len, column[:].ravel().tolist()), default=0) + more)}")


def _filled(rows: Rows, dtype: np.dtype[Any], seal: bytes) -> Rows:
    """Rows in a dtype of `_of_one_width`."""
    if not is_text(rows) or rows.dtype == dtype:
        return rows
    return np.array([text + seal for text in rows.ravel().tolist()], dtype).reshape(rows.shape)
