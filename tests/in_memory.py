"""Splits of examples in memory: as the product reads them, and their digests computed in another way than it does."""

import hashlib
import tempfile
from pathlib import Path

import numpy as np

from piecehub.examples.canonical import canonical
from piecehub.examples.features import Features
from piecehub.examples.ingest import ingest
from piecehub.examples.layout import split_files, split_names
from piecehub.examples.stream import Stream
from piecehub.examples.tfrecord_files import records_in


def read_split(uri: str, split: str, features: Features) -> dict[str, np.ndarray]:
    """The features of a split, `[examples, …]` each, in canonical order, by the pass over the data and a stream."""
    with tempfile.TemporaryDirectory() as folder:
        ingest(uri, [split], Path(folder, "out"))
        return Stream.open(str(Path(folder, "out")), split, features).arrays()


def read_records(uri: str, split: str) -> list[bytes]:
    """The records of a split, canonical and in order."""
    found = [canonical(record, path, place) for path in split_files(uri, split) for place, record in records_in(path)]
    return sorted(found, key=lambda record: hashlib.sha256(record).digest())


def split_digests(uri: str) -> dict[str, str]:
    """The digest of every split below `uri`: the sha256 of its records' sorted sha256, one hex line each."""
    return {split: records_digest(uri, split) for split in split_names(uri)}


def records_digest(uri: str, split: str) -> str:
    """The same of one split."""
    lines = sorted(hashlib.sha256(record).hexdigest() + "\n" for record in read_records(uri, split))
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"
