"""Decoded examples as mapped rows: each example is decoded once, and no split is ever held in memory.

    <trials folder>/rows/<an evaluation's own>/    the files of its rows, and what its workers share beside

An evaluation holds a lock on its folder as long as it lives, and removes it when it ends. What one that was killed left
behind is removed by the next one in the same place.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piecehub.errors import DataError, EnvironmentProblem, no_space
from piecehub.transfer import packing
from piecehub.transfer.packing import Mapped
from piecehub.transfer.ragged import is_ragged

Rows = NDArray[Any]
FOLDER = "rows"


@contextmanager
def rows_folder(trials_folder: Path) -> Iterator[Path]:
    """A new folder for mapped rows, which is removed at the end; those of evaluations that were killed are, too.

    Raises:
        EnvironmentProblem: if it cannot be written, or the disk is full.
    """
    place = trials_folder.resolve() / FOLDER
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _locked(place):
            _remove_left(place)
            folder = Path(tempfile.mkdtemp(dir=place))
            lock = _lock(folder, fcntl.LOCK_SH)
    except OSError as error:
        raise _unwritable(place, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def spilled(batches: Iterable[Mapping[str, Rows]], count: int, folder: Path, name: str) -> dict[str, Mapped]:
    """The features of a split as mapped rows, in the order of the batches.

    Numbers and texts are written batch by batch. Ragged rows are held until the last is there, since only then it is
    known how many of their dimensions are ragged.

    Args:
        batches: decoded features, `[batch, …]` each, as `Stream.as_arrays` gives them.
        count: how many examples there are in all.
        folder: from `rows_folder`.
        name: of the split, with which the files' names begin.

    Raises:
        DataError: if there is no example, or batches differ in form.
        EnvironmentProblem: if the disk is full.
    """
    writers: dict[str, _Writer] = {}
    try:
        for batch in batches:
            if not writers:
                names = enumerate(batch.items())
                writers = {key: _writer(rows, count, folder, f"{name}.{i}") for i, (key, rows) in names}
            for key, writer in writers.items():
                writer.add(batch[key])
        if not writers:
            raise DataError(f"Expected examples in the split '{name}'. Received: none; check its input folder.")
        return {key: packing.mapped(writer.end()) for key, writer in writers.items()}
    except OSError as error:
        raise _unwritable(folder, error) from error


def _writer(rows: Rows, count: int, folder: Path, name: str) -> "_Writer":
    if is_ragged(rows):
        return _Ragged(folder, name)
    return (_Texts if rows.dtype.kind in "OS" else _Plain)(rows, count, folder / name)


class _Writer:
    """Takes the rows of one feature, a batch at a time."""

    def add(self, rows: Rows) -> None:
        """Takes the next batch."""
        raise NotImplementedError

    def end(self) -> packing.Form:
        """The form of all rows, once all were given."""
        raise NotImplementedError


class _Plain(_Writer):
    def __init__(self, first: Rows, count: int, path: Path) -> None:
        self._path, self._left, self._first = path, count, first[:0]
        head = {"descr": first.dtype.str, "fortran_order": False, "shape": (count, *first.shape[1:])}
        with Path(f"{path}.npy").open("wb") as file:
            np.lib.format.write_array_header_2_0(file, head)

    def add(self, rows: Rows) -> None:
        if rows.shape[1:] != self._first.shape[1:] or rows.dtype != self._first.dtype:
            raise DataError(
                f"Expected one form of a feature in all examples, {self._first.dtype} {self._first.shape[1:]}. "
                f"Received: {rows.dtype} {rows.shape[1:]}; mend 'decode'."
            )
        with Path(f"{self._path}.npy").open("ab") as file:
            file.write(np.ascontiguousarray(rows).data)
        self._left -= len(rows)

    def end(self) -> packing.Form:
        if self._left:
            raise DataError(f"Expected as many examples as were counted. Received: {-self._left:+}; ingest them again.")
        return {"plain": str(self._path)}


class _Texts(_Writer):
    def __init__(self, first: Rows, count: int, path: Path) -> None:
        self._path, self._shape = path, (count, *first.shape[1:])
        self._lengths: list[int] = []

    def add(self, rows: Rows) -> None:
        texts = [text.encode() if isinstance(text, str) else text for text in rows.ravel().tolist()]
        self._lengths += map(len, texts)
        with Path(f"{self._path}.bytes").open("ab") as file:
            file.write(b"".join(texts))

    def end(self) -> packing.Form:
        np.save(f"{self._path}.ends.npy", np.cumsum([0, *self._lengths], dtype=np.int64))
        return {"texts": str(self._path), "shape": list(self._shape)}


class _Ragged(_Writer):
    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._held: list[Rows] = []

    def add(self, rows: Rows) -> None:
        self._held.append(rows)

    def end(self) -> packing.Form:
        return packing.write(np.concatenate(self._held), self._folder, self._name)


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Nobody else looks for what is left in the meantime, and takes a folder that is not locked yet for that."""
    lock = _lock(place, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


def _lock(folder: Path, kind: int) -> int:
    """A file descriptor that holds a lock until it is closed, or its process ends in whatever way."""
    lock = os.open(folder, os.O_RDONLY)
    with contextlib.suppress(OSError):  # a file system without locks: an evaluation removes its own folder only
        fcntl.flock(lock, kind)
    return lock


def is_left(folder: Path) -> bool:
    """Whether the evaluation that made a folder of rows was killed: nobody holds its lock."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody holds it, or nobody can tell
        return False
    finally:
        os.close(lock)
    return True


def _remove_left(place: Path) -> None:
    for folder in filter(is_left, filter(Path.is_dir, place.iterdir())):
        shutil.rmtree(folder, ignore_errors=True)


def _unwritable(place: Path, error: OSError) -> EnvironmentProblem:
    return no_space(error, place) or EnvironmentProblem(
        f"Expected a folder that can be written, for the examples of a task. Received: '{place}' "
        f"({error.strerror or error}); mend its permissions, or name another working folder."
    )
