"""The one pass over the data: every record is read once, and from there on lies in canonical order, with its digests.

    <out>/Split-<split>/data_tfrecord-00000-of-00004     the canonical records, plain, in ascending order of their keys
    <out>/examples.json                                  what was counted: `SplitFacts` of each split

A shard holds the records whose keys begin with the same bits, so many bits that one has `SHARD_BYTES` on average:
shards depend on the records alone, however the source was cut and whoever computes them. To be sorted in bounded
memory, records are dealt into files by the first byte of their keys; one that is still too large is dealt again by the
next byte. Of a small split all are held instead: a file for each byte would take longer than everything else. On one
machine no record goes through a shuffle of Beam, whose runner there holds all of them in memory.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import tensorflow as tf

from piecehub.errors import DataError
from piecehub.examples.canonical import KEY_BYTES, canonical, key, no_examples
from piecehub.examples.layout import split_files, split_folder
from piecehub.examples.shards import ShardFacts, SplitFacts, joined, write_shard
from piecehub.examples.tfrecord_files import records_in
from piecehub.facts.progress import Meter, phase

FACTS = "examples.json"
SHARD_BYTES = 128 * 2**20
_HELD_PART = 16  # of SHARD_BYTES, so that a dry run's sample (pipelines/cost/rehearsal.py) is dealt where all would be
_DEEPEST = KEY_BYTES - 1  # the last byte of a key
Keyed = tuple[bytes, bytes]  # a record with its key before it
Files = Callable[[str, str], Iterable[str]]  # of a source and a split


@dataclass(frozen=True)
class _Dealt:
    """A file of records, each behind its key, whose keys have the first `depth` bytes in common.

    `size` is that of the records in bytes, `ends` are the lowest and the highest key.
    """

    path: Path
    depth: int
    size: int
    ends: tuple[bytes, bytes]


def ingest(
    source: str, splits: Sequence[str], out: Path, statistics: str = "", files: Files = split_files
) -> dict[str, SplitFacts]:
    """Writes the splits of `source` into `out` in canonical order, and tells what it counted.

    Args:
        source: a folder in either layout (layout.py).
        splits: the names of those to read.
        out: where to; nothing of it need exist.
        statistics: where their statistics go, as TFX's StatisticsGen writes them; none are taken if empty.
        files: finds those of a split on this machine, each of which may be gone when the next is asked for.

    Raises:
        DataError: if a split has no record, a file is damaged or holds other records, or a feature has two types.
    """
    facts = {split: _ingest_split(source, split, out, statistics, files) for split in splits}
    write_facts(facts, out)
    return facts


def write_facts(facts: dict[str, SplitFacts], out: Path) -> None:
    """Writes `examples.json`, by which others know that all of `out` is there."""
    text = json.dumps({"schema": 1, "splits": {name: asdict(found) for name, found in facts.items()}}, indent=1)
    (out / FACTS).write_text(text + "\n", encoding="utf-8")


def read_facts(uri: str) -> dict[str, SplitFacts]:
    """What `ingest` counted.

    Raises:
        DataError: if nothing tells: these are Examples of an older release, or of TFX.
    """
    path = Path(uri) / FACTS
    if not path.is_file():
        raise DataError(f"Expected examples in canonical order. Received: no '{FACTS}' in {uri}; run the pipeline.")
    splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
    return {name: SplitFacts(**found) for name, found in splits.items()}


def shard_bits(total_bytes: int) -> int:
    """How many first bits of their keys the records of a shard have in common."""
    return max(0, (-(-total_bytes // SHARD_BYTES) - 1).bit_length())


def shard_number(record_key: bytes, bits: int) -> int:
    """The shard of a record: the first bits of its key as a number."""
    return int.from_bytes(record_key[:8], "big") >> (64 - bits)


def keyed_records(path: str) -> Iterator[Keyed]:
    """The canonical records of a file with their keys, in the file's order."""
    for place, record in records_in(path):
        found = canonical(record, path, place)
        yield key(found), found


def _ingest_split(source: str, split: str, out: Path, statistics: str, files: Files) -> SplitFacts:
    folder = Path(split_folder(str(out), split))
    scratch = folder.with_name(f".dealt-{split}")
    folder.mkdir(parents=True)
    try:
        records = (keyed for path in files(source, split) for keyed in keyed_records(path))
        with phase(f"reading '{split}'"):
            size, in_order = _in_order(_told(records), scratch)
        if size is None:
            raise no_examples(source, split)
        bits = shard_bits(size)
        numbered = groupby(in_order, lambda keyed: shard_number(keyed[0], bits))
        shards: Iterator[ShardFacts] = (
            write_shard(shard, folder / f"{number:09d}", bool(statistics)) for number, shard in numbered
        )
        with phase(f"putting '{split}' in order"):
            return joined(shards, folder, f"{statistics}/Split-{split}" if statistics else "")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _told(records: Iterable[Keyed]) -> Iterator[Keyed]:
    """The records; how many have come is told meanwhile."""
    meter = Meter("examples")
    for record in records:
        yield record
        meter.add(1)


def _in_order(records: Iterator[Keyed], scratch: Path) -> tuple[int | None, Iterator[Keyed]]:
    """The bytes of all records, None if there is no record, and the records in order.

    Args:
        records: which are read to their end.
        scratch: a folder to be made for what is too much to be held.
    """
    held, size = list[Keyed](), 0
    for keyed in records:
        held.append(keyed)
        size += len(keyed[1])
        if size > SHARD_BYTES // _HELD_PART:
            dealt = list(_deal(chain(_drained(held), records), scratch, 0))
            return sum(part.size for part in dealt), (keyed for part in dealt for keyed in _sorted(part))
    return size if held else None, iter(sorted(held))


def _drained(held: list[Keyed]) -> Iterator[Keyed]:
    """What is held, which it is no more afterwards."""
    while held:
        yield held.pop()


def _deal(records: Iterable[Keyed], folder: Path, depth: int) -> Iterator[_Dealt]:
    """Deals records into files by the byte of their keys at `depth`, and yields those that are not empty, in order."""
    folder.mkdir(parents=True)
    paths = [folder / f"{byte:02x}" for byte in range(256)]
    sizes, ends = [0] * 256, [(b"\xff" * (KEY_BYTES + 1), b"")] * 256
    writers: dict[int, Any] = {}
    with ExitStack() as stack:
        for record_key, record in records:
            byte = record_key[depth]
            if byte not in writers:
                writers[byte] = stack.enter_context(tf.io.TFRecordWriter(str(paths[byte])))
            writers[byte].write(record_key + record)
            sizes[byte] += len(record)
            ends[byte] = min(ends[byte][0], record_key), max(ends[byte][1], record_key)
    for byte in sorted(writers):
        yield _Dealt(paths[byte], depth + 1, sizes[byte], ends[byte])


def _sorted(dealt: _Dealt) -> Iterator[Keyed]:
    """The records of a file that was dealt, in order; the file is gone afterwards."""
    found = ((record[:KEY_BYTES], record[KEY_BYTES:]) for _, record in records_in(str(dealt.path)))
    if dealt.ends[0] == dealt.ends[1]:
        yield from found
    elif dealt.size <= SHARD_BYTES or dealt.depth > _DEEPEST:
        yield from sorted(found)
    else:
        for part in _deal(found, dealt.path.with_name(f"{dealt.path.name}-again"), dealt.depth):
            yield from _sorted(part)
    dealt.path.unlink()
