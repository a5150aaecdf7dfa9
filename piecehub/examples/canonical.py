"""What makes two records, and two splits, the same.

Beam shuffles records and cuts them into any number of files, and TFX writes a record's features in an order that
changes from process to process. So records are serialized again with sorted features, and stand in the order of the
sha256 of that. The digest of a split is the sha256 of its records' sorted digests, one hex line each: it does not
depend on order, sharding or compression.
"""

import hashlib

from piecehub.errors import DataError
from piecehub.examples.tfrecord_files import parsed_example

KEY_BYTES = 32


def canonical(record: bytes, path: str, place: int) -> bytes:
    """A record with sorted features.

    Raises:
        DataError: if it is no `tf.Example`, naming the file and the byte at which it begins.
    """
    return parsed_example(record, path, place).SerializeToString(deterministic=True)


def key(record: bytes) -> bytes:
    """What canonical records are sorted by: their sha256."""
    return hashlib.sha256(record).digest()


class SplitDigest:
    """The digest of a split, of which the keys of all records are told in ascending order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, record_key: bytes) -> None:
        """Counts one record."""
        self._digest.update(record_key.hex().encode() + b"\n")

    def text(self) -> str:
        """`sha256:<hex>` of what was added."""
        return f"sha256:{self._digest.hexdigest()}"


def no_examples(uri: str, split: str) -> DataError:
    """The error of a split that has no examples."""
    return DataError(f"Expected examples in split '{split}'. Received: none in {uri}; check the data's folder.")
