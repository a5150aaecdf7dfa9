"""The one pass over the data: every record is read once, and from there on lies in canonical order, with its digests.

    <out>/Split-<split>/data_tfrecord-00000-of-00004     the canonical records, plain, in ascending order of their keys
    <out>/examples.json                                  what was counted: `SplitFacts` of each split

A shard holds the records whose keys begin with the same bits, so many shards that one has `SHARD_BYTES` on average:
shards depend on the records alone, however the source was cut and whoever computes them. To be sorted in bounded
memory, records are dealt into files by the first byte of their keys; one that is still too large is dealt again by the
next byte. On one machine no record goes through a shuffle of Beam, whose runner there holds all of them in memory.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.errors import DataError
from piecehub.examples.canonical import SplitDigest, canonical, key, no_examples
from piecehub.examples.layout import record_files, split_files, split_folder
from piecehub.examples.tfrecord_files import records_in

FACTS = "examples.json"
SHARD_BYTES = 128 * 2**20
_BATCH_BYTES, _BATCH_RECORDS = 8 * 2**20, 1000
_DEEPEST = 31  # the last byte of a key

# Told of canonical records in their order, a batch at a time, as an Arrow table with a list of values for each feature.
Observer = Callable[[Any], None]


@dataclass(frozen=True)
class SplitFacts:
    """What the pass counted in a split.

    Attributes:
        digest: `sha256:<hex>` of the records (canonical.py).
        records: how many there are.
        bytes: of all canonical records.
        shards: how many files they lie in.
        not_finite: by feature: how many NaN, in how many records, how many infinite values, in how many records.
    """

    digest: str
    records: int
    bytes: int
    shards: int
    not_finite: dict[str, list[int]] = field(default_factory=dict[str, list[int]])


@dataclass(frozen=True)
class _Dealt:
    """A file of canonical records whose keys have the first `depth` bytes in common, and its lowest and highest key."""

    path: Path
    depth: int
    size: int
    ends: tuple[bytes, bytes]


def ingest(
    source: str, splits: Sequence[str], out: Path, observer_of: Callable[[str], Observer] | None = None
) -> dict[str, SplitFacts]:
    """Writes the splits of `source` into `out` in canonical order, and tells what it counted.

    Args:
        source: a folder in either layout (layout.py).
        splits: the names of those to read.
        out: where to; nothing of it need exist.
        observer_of: of a split's name, who looks at its canonical records in their order.

    Raises:
        DataError: if a split has no record, or a file is damaged or holds other records.
    """
    facts = {split: _ingest_split(source, split, out, observer_of and observer_of(split)) for split in splits}
    text = json.dumps({"schema": 1, "splits": {name: asdict(found) for name, found in facts.items()}}, indent=1)
    (out / FACTS).write_text(text + "\n", encoding="utf-8")
    return facts


def read_facts(uri: str) -> dict[str, SplitFacts]:
    """What `ingest` wrote.

    Raises:
        DataError: if there is none: an Examples artifact of an older release, or of TFX.
    """
    path = Path(uri) / FACTS
    if not path.is_file():
        raise DataError(
            f"Expected examples in canonical order. Received: no '{FACTS}' in {uri}; run the pipeline anew."
        )
    splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
    return {name: SplitFacts(**found) for name, found in splits.items()}


def not_finite(numbers: np.ndarray, rows: np.ndarray) -> list[int]:
    """How many of `numbers [n]` are NaN, in how many of their `rows [n]`, how many infinite, in how many."""
    bad = np.isnan(numbers), np.isinf(numbers)
    return [count for part in bad for count in (int(part.sum()), len(np.unique(rows[part])))]


def _ingest_split(source: str, split: str, out: Path, observe: Observer | None) -> SplitFacts:
    folder = Path(split_folder(str(out), split))
    scratch = folder.with_name(f".dealt-{split}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        records = (
            canonical(record, path, place) for path in split_files(source, split) for place, record in records_in(path)
        )
        dealt = list(_deal(((key(record), record) for record in records), scratch, 0))
        total = sum(part.size for part in dealt)
        if not dealt:
            raise no_examples(source, split)
        return _write_shards(dealt, total, folder, observe)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def shard_bits(total_bytes: int) -> int:
    """How many first bits of their keys the records of a shard have in common."""
    return max(0, (-(-total_bytes // SHARD_BYTES) - 1).bit_length())


def _deal(records: Iterable[tuple[bytes, bytes]], folder: Path, depth: int) -> Iterator[_Dealt]:
    """Deals records into files by the byte of their keys at `depth`, and yields those that are not empty, in order."""
    folder.mkdir(parents=True)
    paths = [folder / f"{byte:02x}" for byte in range(256)]
    sizes, ends = [0] * 256, [(b"\xff" * 33, b"")] * 256
    with ExitStack() as stack:
        writers: dict[int, Any] = {}
        for record_key, record in records:
            byte = record_key[depth]
            if byte not in writers:
                writers[byte] = stack.enter_context(tf.io.TFRecordWriter(str(paths[byte])))
            writers[byte].write(record)
            sizes[byte] += len(record)
            ends[byte] = min(ends[byte][0], record_key), max(ends[byte][1], record_key)
    for byte in sorted(writers):
        yield _Dealt(paths[byte], depth + 1, sizes[byte], ends[byte])


def _sorted(dealt: _Dealt) -> Iterator[tuple[bytes, bytes]]:
    """The records of a file that was dealt, with their keys, in order; the file is gone afterwards."""
    found = ((key(record), record) for _, record in records_in(str(dealt.path)))
    if dealt.ends[0] == dealt.ends[1]:
        yield from found
    elif dealt.size <= SHARD_BYTES or dealt.depth > _DEEPEST:
        yield from sorted(found)
    else:
        for part in _deal(found, dealt.path.with_name(f"{dealt.path.name}-again"), dealt.depth):
            yield from _sorted(part)
    dealt.path.unlink()


def _write_shards(dealt: Iterable[_Dealt], total: int, folder: Path, observe: Observer | None) -> SplitFacts:
    bits = shard_bits(total)
    digest, count, batch = SplitDigest(), 0, _Batch(observe)
    number, writer = -1, None
    for part in dealt:
        for record_key, record in _sorted(part):
            if (wanted := int.from_bytes(record_key[:8], "big") >> (64 - bits)) != number or writer is None:
                if writer:
                    writer.close()
                number, writer = wanted, tf.io.TFRecordWriter(str(folder / f"{wanted:09d}"))
            writer.write(record)
            digest.add(record_key)
            batch.add(record)
            count += 1
    if writer:
        writer.close()
    batch.flush()
    return SplitFacts(digest.text(), count, total, _name_shards(folder), batch.not_finite)


def _name_shards(folder: Path) -> int:
    """Gives shards the names that TFX's have; returns how many there are."""
    paths = [Path(path) for path in record_files(str(folder))]
    for number, path in enumerate(paths):
        path.rename(path.with_name(f"data_tfrecord-{number:05d}-of-{len(paths):05d}"))
    return len(paths)


class _Batch:
    """Gathers records for an observer, and counts what is no finite number in them."""

    def __init__(self, observe: Observer | None) -> None:
        from tfx_bsl.coders import example_coder

        self._decode = example_coder.ExamplesToRecordBatchDecoder().DecodeBatch
        self._observe, self._records, self._bytes = observe, list[bytes](), 0
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
            table = self._decode(self._records)
            if self._observe:
                self._observe(table)
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
        if np.isfinite(numbers).all():
            return
        rows = np.repeat(np.arange(len(column)), column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
        found = not_finite(numbers, rows)
        before = self.not_finite.get(name, [0, 0, 0, 0])
        self.not_finite[name] = [one + other for one, other in zip(before, found, strict=True)]
