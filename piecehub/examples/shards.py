"""One shard of a split, and many of them joined: what is counted does not depend on who writes which shard.

Beside a shard lie, until all are joined, its keys and what was gathered of it; so a shard may be written by another
process, twice, or again after one that was killed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.errors import DataError
from piecehub.examples.canonical import KEY_BYTES, SplitDigest
from piecehub.examples.statistics import Statistics

_BATCH_BYTES, _BATCH_RECORDS = 8 * 2**20, 1000


@dataclass(frozen=True)
class SplitFacts:
    """What the pass counted in a split.

    Attributes:
        digest: `sha256:<hex>` of the records (canonical.py).
        records: how many there are.
        bytes: of all canonical records.
        shards: how many files they lie in.
        not_finite: by feature how many NaN, in how many records, how many infinite values, in how many records.
    """

    digest: str
    records: int
    bytes: int
    shards: int
    not_finite: dict[str, list[int]] = field(default_factory=dict[str, list[int]])


@dataclass(frozen=True)
class ShardFacts:
    """What was counted in a shard; its keys lie in the hidden file `.keys-<name>` beside it, one after the other."""

    path: Path
    records: int
    bytes: int
    not_finite: dict[str, list[int]]
    statistics: Statistics | None

    @property
    def keys(self) -> Path:
        """The file of the keys of its records, KEY_BYTES each, in their order."""
        return self.path.with_name(f".keys-{self.path.name}")


def write_shard(records: Iterable[tuple[bytes, bytes]], path: Path, with_statistics: bool) -> ShardFacts:
    """Writes canonical records with their keys, which come in order, as one file."""
    gathered = _Gathered(Statistics() if with_statistics else None)
    count = size = 0
    keys = path.with_name(f".keys-{path.name}")
    with tf.io.TFRecordWriter(str(path)) as writer, keys.open("wb") as told:
        for record_key, record in records:
            writer.write(record)
            told.write(record_key)
            gathered.add(record)
            count, size = count + 1, size + len(record)
    gathered.flush()
    return ShardFacts(path, count, size, gathered.not_finite, gathered.statistics)


def joined(shards: Iterable[ShardFacts], folder: Path, statistics: str) -> SplitFacts:
    """The facts of a split, whose shards come in order and get the names that TFX's have.

    Args:
        shards: all that lie in `folder`.
        folder: of the split.
        statistics: the folder that the split's statistics go to, or empty.
    """
    digest, records, size = SplitDigest(), 0, 0
    not_finite: dict[str, list[int]] = {}
    gathered, paths = Statistics() if statistics else None, list[Path]()
    for shard in shards:
        keys = shard.keys.read_bytes()
        for start in range(0, len(keys), KEY_BYTES):
            digest.add(keys[start : start + KEY_BYTES])
        shard.keys.unlink()
        records, size = records + shard.records, size + shard.bytes
        _add(not_finite, shard.not_finite)
        if gathered and shard.statistics:
            gathered.merge(shard.statistics)
        paths.append(shard.path)
    if gathered:
        gathered.write(Path(statistics))
    for number, path in enumerate(paths):
        path.rename(folder / f"data_tfrecord-{number:05d}-of-{len(paths):05d}")
    return SplitFacts(digest.text(), records, size, len(paths), not_finite)


def not_finite(numbers: np.ndarray, rows: np.ndarray) -> list[int]:
    """How many of `numbers [n]` are NaN, in how many of their `rows [n]`, how many infinite, in how many."""
    bad = np.isnan(numbers), np.isinf(numbers)
    return [count for part in bad for count in (int(part.sum()), len(np.unique(rows[part])))]


def _add(counts: dict[str, list[int]], more: dict[str, list[int]]) -> None:
    for name, found in more.items():
        counts[name] = [one + other for one, other in zip(counts.get(name, [0] * 4), found, strict=True)]


class _Gathered:
    """Gathers records into Arrow tables, a list of values for each feature, and counts what is in them."""

    def __init__(self, statistics: Statistics | None) -> None:
        from tfx_bsl.coders import example_coder

        self._decode = example_coder.ExamplesToRecordBatchDecoder().DecodeBatch
        self._records, self._bytes = list[bytes](), 0
        self.statistics = statistics
        self.not_finite: dict[str, list[int]] = {}

    def add(self, record: bytes) -> None:
        self._records.append(record)
        self._bytes += len(record)
        if self._bytes >= _BATCH_BYTES or len(self._records) >= _BATCH_RECORDS:
            self.flush()

    def flush(self) -> None:
        if not self._records:
            return
        try:
            table: Any = self._decode(self._records)
            if self.statistics:
                self.statistics.observe(table)
        except (ValueError, RuntimeError, TypeError) as error:
            raise DataError(
                "Expected each feature to be of one type in all records. Received: "
                f"{' '.join(str(error).split())[:300]}; mend the data."
            ) from error
        for name, column in zip(table.schema.names, table.columns, strict=True):
            self._count(name, column)
        self._records, self._bytes = [], 0

    def _count(self, name: str, column: Any) -> None:
        values = column.flatten()
        if str(values.type) not in ("float", "double"):
            return
        numbers = values.to_numpy(zero_copy_only=False)
        if not np.isfinite(numbers).all():
            counts = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            _add(self.not_finite, {name: not_finite(numbers, np.repeat(np.arange(len(column)), counts))})
