"""Looks at TFRecords of tf.Example: pictures, texts, or numbers and words."""

import marshal
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from piecehub.errors import DataError
from pipelines.starting.columns import guess_label, look_at_columns
from pipelines.starting.looked import Differing, Looked, template
from pipelines.starting.pictures import pictures_of
from pipelines.starting.tables import looked_at

_SAMPLE = 2000
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"RIFF")


def look_at_records(source: Path, label: str = "") -> Looked:
    """What records hold: all are read once, for their labels.

    Raises:
        DataError: if there are none, one is damaged, a label has several values, or they hold nothing that a recipe can
            take as it is.
    """
    rows: list[dict[str, list[Any]]] = []
    labels: list[Any] = []
    contents: list[bytes] = []
    chosen, total = label, 0
    for row in _rows(source):
        if not total:
            chosen = _label(row, label)
        total += 1
        if row.get(chosen):
            _refuse_several(source, chosen, row[chosen])
            labels.append(_plain(row[chosen][0]))
            contents.append(_digest(row, chosen))
            if len(rows) < _SAMPLE:
                rows.append(row)
    if not total:
        raise DataError(f"Expected records of tf.Example. Received: none in '{source}', whose files are empty.")
    if not labels:
        raise DataError(f"Expected records with a label '{chosen}'. Received: none in '{source}'; name one by --label.")
    how = "as told" if label else "by its name, or the last one"
    notes = (f"{total:,} records; the label is the feature '{chosen}' ({how}). Another: --label.",)
    picture = _picture(rows, chosen)
    if picture:
        return _of_pictures(source, picture, chosen, rows, _differing(labels, contents), notes)
    return _of_columns(source, chosen, rows, labels, contents, notes)


def _digest(row: dict[str, list[Any]], label: str) -> bytes:
    """Of all that a record holds but its label."""
    found = sha256()
    for name in sorted(row):
        if name != label:
            found.update(marshal.dumps((name, row[name]), 2))
    return found.digest()[:16]


def _differing(labels: list[Any], contents: list[bytes]) -> Differing:
    found = Differing()
    for label, content in zip(labels, contents, strict=True):
        found.add(label, content)
    return found


def _refuse_several(source: Path, label: str, values: list[Any]) -> None:
    """A label is one class or one value; a row of zeros with a one is the number of a class, written otherwise."""
    if len(values) > 1:
        raise DataError(
            f"Expected a label of one value in each record. Received: '{label}' with {len(values)} in '{source}'; name "
            "another by --label, or write the number or the name of the class."
        )


def _label(row: dict[str, list[Any]], told: str) -> str:
    """The feature that is the label; where no name says it, one of a single value that is no picture."""
    fitting = [name for name in sorted(row) if len(row[name]) == 1 and not _is_picture(row[name][0])]
    return guess_label(sorted(row), told, fitting)


def _is_picture(value: Any) -> bool:
    return isinstance(value, bytes) and value.startswith(_PICTURES)


def _rows(source: Path) -> Iterator[dict[str, list[Any]]]:
    reader = template("records_files")
    files = reader.files(source) if source.exists() else []
    if not files:
        raise DataError(f"Expected a TFRecord file, or a folder with some. Received: '{source}' without any.")
    for file in files:
        try:
            yield from map(reader.values, reader.records(file))
        except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, DecodeError) as error:
            raise DataError(
                f"Expected TFRecords of tf.Example. Received: '{file}', which holds something else (such as "
                "tf.SequenceExample) or is damaged; take it away, or write its records again as tf.Example."
            ) from error


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _picture(rows: list[dict[str, list[Any]]], label: str) -> str:
    """The feature that is the file of a picture, in every record that has it; empty if none is."""
    for name in sorted(rows[0]):
        values = [value for row in rows for value in row.get(name, [])]
        if name != label and values and all(map(_is_picture, values)):
            return name
    return ""


def _of_pictures(
    source: Path,
    picture: str,
    label: str,
    rows: list[dict[str, list[Any]]],
    found: Differing,
    notes: tuple[str, ...],
) -> Looked:
    return pictures_of(
        source,
        "records_files",
        found.counts,
        [row[picture][0] for row in rows if row.get(picture)],
        (*notes, *found.notes, f"The feature '{picture}' holds pictures."),
        {"records_files": {"LABEL": label, "FEATURES": {picture: "picture"}, "CLASSES": True}},
    )


def _of_columns(
    source: Path,
    label: str,
    rows: list[dict[str, list[Any]]],
    labels: list[Any],
    contents: list[bytes],
    notes: tuple[str, ...],
) -> Looked:
    """Features of one value, or of equally many numbers, are columns; others are left out, and told.

    Bytes that are no text are left out, too.
    """
    names = sorted({name for row in rows for name in row} - {label})
    sizes = {name: {len(row.get(name, ())) for row in rows} for name in names}
    single = [name for name in names if sizes[name] <= {0, 1}]
    vectors = {name: np.array([row[name] for row in rows]) for name in names if _is_vector(rows, name, sizes[name])}
    left_out = {
        name: f"it has {_many(sizes[name])} values" for name in names if name not in single and name not in vectors
    }
    left_out |= {name: "it holds bytes that are no text" for name in single if not _are_texts(rows, name)}
    table = {
        name: [_plain(row[name][0]) if row.get(name) else None for row in rows]
        for name in single
        if name not in left_out
    }
    table[label] = labels[: len(rows)]
    columns = look_at_columns(table, label, vectors, left_out)
    found = _differing(labels if columns.classes else [""] * len(labels), contents)
    looked = looked_at(source, "records_files", columns, labels, found, notes)
    taken = {one["name"]: one["feature"] for key in ("numbers", "words") for one in (looked.columns or {})[key]}
    constants = {"LABEL": label, "FEATURES": taken, "CLASSES": columns.classes, "KEPT": 0}
    return replace(looked, constants={"records_files": constants})


def _are_texts(rows: list[dict[str, list[Any]]], name: str) -> bool:
    """Whether no value is bytes that UTF-8 does not read, or that hold a zero."""
    values = [value for row in rows for value in row.get(name, ()) if isinstance(value, bytes)]
    try:
        return not any("\0" in value.decode("utf-8") for value in values)
    except UnicodeDecodeError:
        return False


def _is_vector(rows: list[dict[str, list[Any]]], name: str, sizes: set[int]) -> bool:
    return len(sizes) == 1 and min(sizes) > 1 and not isinstance(rows[0][name][0], bytes)


def _many(sizes: set[int]) -> str:
    return f"{min(sizes)}" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"
