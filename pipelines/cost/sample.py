"""A few of the records of a split, in the layout of a recipe's, so that 100 GB need not be read."""

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from piecehub.examples.layout import record_files
from piecehub.examples.tfrecord_files import records_in

_FRAME_BYTES = 16  # around each record in a file
_MOST_FILES = 64  # that are open at once
_PACKED_BYTES = 4 * 2**20  # that are compressed to know what a gzipped file holds


@dataclass(frozen=True)
class Sampled:
    """A split of which a part was taken.

    Attributes:
        records: how many were taken.
        share: what they are of all, 1 if they are all.
    """

    records: int
    share: float

    @property
    def all_records(self) -> int:
        """How many there are, or about so many."""
        return round(self.records / self.share)


def take_sample(source: Path, target: Path, most_bytes: float = float("inf"), most_records: int = 2**62) -> Sampled:
    """Makes a split in `target` of records of `source`, the first of each file in turn, of 64 at most.

    Args:
        source: the folder of a split.
        target: a folder that does not exist.
        most_bytes: of records that are taken; one more may be.
        most_records: how many are taken.
    """
    files = [Path(file) for file in record_files(str(source))]
    target.mkdir(parents=True)
    count = size = 0
    first: list[bytes] = []
    with tf.io.TFRecordWriter(str(target / "sample.tfrecord")) as writer:
        for record in itertools.islice(_in_turn(files), most_records):
            writer.write(record)
            count, size = count + 1, size + len(record) + _FRAME_BYTES
            if size < _PACKED_BYTES:
                first.append(record)
            if size >= most_bytes:
                break
    on_disk = sum(_unpacked_bytes(file, first) for file in files)
    return Sampled(count, min(1.0, size / on_disk) if on_disk else 1.0)


def _in_turn(files: list[Path]) -> Iterator[bytes]:
    """A record of each file, then the next of each."""
    readers = [records_in(str(file)) for file in files if file.stat().st_size][:_MOST_FILES]
    while readers:
        for reader in list(readers):
            found = next(reader, None)
            if found is None:
                readers.remove(reader)
            else:
                yield found[1]


def _unpacked_bytes(file: Path, records: list[bytes]) -> float:
    """How long a file is, unpacked; of a gzipped one by how well its records can be compressed."""
    if file.suffix != ".gz":
        return file.stat().st_size
    plain = b"".join(records)
    return file.stat().st_size * (len(plain) / len(zlib.compress(plain)) if plain else 1.0)
