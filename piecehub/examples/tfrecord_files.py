"""One TFRecord file, record by record; what is damaged is named with its file and its place in it.

A record is its length (8 bytes), a checksum of it (4), the bytes, and a checksum of them (4). In a gzipped file places
are those of the unpacked bytes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from piecehub.errors import DataError
from piecehub.facts.pointers import refuse_pointers

GZIP = b"\x1f\x8b"
_HEADER_BYTES, _FOOTER_BYTES = 12, 4


def records_in(path: str) -> Iterator[tuple[int, bytes]]:
    """Each record of a file, and the byte at which it begins.

    Raises:
        DataError: at the first record that is damaged, with its place.
    """
    with tf.io.gfile.GFile(path, "rb") as file:
        compression = "GZIP" if file.read(len(GZIP)) == GZIP else ""
    place = 0
    try:
        records: Any = tf.data.TFRecordDataset(path, compression).as_numpy_iterator()
        for record in records:
            yield place, record
            place += _HEADER_BYTES + len(record) + _FOOTER_BYTES
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise DataError(
            f"Expected a TFRecord file. Received: {path}, which is damaged at byte {place}; write it again."
        ) from error


def refuse_no_records(path: Path) -> None:
    """Passes if a file that counts as records is one, by its structure: what a stranger put there has another.

    Raises:
        DataError: naming the file.
        RecipeError: if it is a pointer of Git LFS.
    """
    refuse_pointers([path], "TFRecord files in the folder of a split")
    size = path.stat().st_size
    with path.open("rb") as file:
        zipped = file.read(len(GZIP)) == GZIP
        if zipped != (path.suffix == ".gz"):
            raise DataError(
                f"Expected a gzipped file of records to have a name with '.gz' at the end, and no other. Received: "
                f"{path}; rename it."
            )
        place = 0
        while place < size and not zipped:
            file.seek(place)
            header = file.read(_HEADER_BYTES)
            place += _HEADER_BYTES + int.from_bytes(header[:8], "little") + _FOOTER_BYTES
            if place > size:
                raise DataError(
                    f"Expected only TFRecord files in the folder of a split. Received: {path}, which is none, or is "
                    "damaged; take it away, or begin its name with '.' or '_'."
                )
    for start, record in records_in(str(path)):
        parsed_example(record, str(path), start)
        break


def count_records(path: Path) -> int:
    """How many records a file has, by their lengths alone; raises DataError if it is zipped and damaged."""
    with path.open("rb") as file:
        if file.read(len(GZIP)) == GZIP:
            return sum(1 for _ in records_in(str(path)))
        place, count, size = 0, 0, path.stat().st_size
        while place < size:
            file.seek(place)
            place += _HEADER_BYTES + int.from_bytes(file.read(8), "little") + _FOOTER_BYTES
            count += 1
    return count


def parsed_example(record: bytes, path: str, place: int) -> tf.train.Example:
    """The record as a message; raises DataError if it is none.

    A tf.SequenceExample parses as a tf.Example of its context, with its sequences in a field that is unknown there.
    """
    refusal = f"Expected tf.Examples. Received: {path}, which holds another record at byte {place}; convert it."
    try:
        example = tf.train.Example.FromString(record)
    except DecodeError as error:
        raise DataError(refusal) from error
    if len(UnknownFieldSet(example)):
        raise DataError(refusal)
    return example
