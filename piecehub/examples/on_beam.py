"""The one pass over the data as a Beam pipeline, for runners that have more machines than one: the same bytes.

    files ─ records with their keys ─┬─ bytes of all ─────┐
                                     └─ by first bits ────┴─ one shard an element ─ facts

The source and `out` must be seen at one and the same path by every worker, as on a shared file system. Shards travel as
files, whose facts are elements. Beam's runner for one machine holds all records in memory, so there `ingest` is meant.
"""

import pickle
import shutil
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from piecehub.examples.canonical import no_examples
from piecehub.examples.ingest import Keyed, keyed_records, shard_bits, shard_number, write_facts
from piecehub.examples.layout import split_files, split_folder
from piecehub.examples.shards import ShardFacts, SplitFacts, joined, write_shard


def ingest_on_beam(
    source: str, splits: Sequence[str], out: Path, statistics: str = "", *, beam_args: Sequence[str]
) -> dict[str, SplitFacts]:
    """What `ingest` does, whose other arguments it has; `beam_args` names the runner and its options."""
    facts = {split: _ingest_split(source, split, out, statistics, beam_args) for split in splits}
    write_facts(facts, out)
    return facts


def _ingest_split(source: str, split: str, out: Path, statistics: str, beam_args: Sequence[str]) -> SplitFacts:
    files, folder = split_files(source, split), Path(split_folder(str(out), split))
    if not any(Path(file).stat().st_size for file in files):
        raise no_examples(source, split)
    told = folder.with_name(f".facts-{split}")
    folder.mkdir(parents=True)
    told.mkdir()
    write = _WriteShard(str(folder), str(told), bool(statistics))
    singleton: Any = beam.pvalue.AsSingleton  # pyright: ignore[reportAttributeAccessIssue]
    with beam.Pipeline(options=PipelineOptions(list(beam_args))) as pipeline:
        records = pipeline | "Files" >> beam.Create(files) | beam.Reshuffle() | "Read" >> beam.FlatMap(keyed_records)
        total = records | "Size" >> beam.Map(_size) | beam.CombineGlobally(sum)
        bits = singleton(total | "Bits" >> beam.Map(shard_bits))
        numbered = records | "Number" >> beam.Map(_numbered, bits)
        _ = numbered | beam.GroupByKey() | "Write" >> beam.Map(write)
    try:
        found: list[ShardFacts] = [pickle.loads(path.read_bytes()) for path in sorted(told.glob("0*"))]
        if not found:
            raise no_examples(source, split)
        return joined(found, folder, f"{statistics}/Split-{split}" if statistics else "")
    finally:
        shutil.rmtree(told, ignore_errors=True)


def _size(keyed: Keyed) -> int:
    return len(keyed[1])


def _numbered(keyed: Keyed, bits: int) -> tuple[int, Keyed]:
    return shard_number(keyed[0], bits), keyed


class _WriteShard:
    """Writes one shard; an engine that does it twice, or again, leaves the same files."""

    def __init__(self, folder: str, told: str, with_statistics: bool) -> None:
        self._folder, self._told, self._with_statistics = folder, told, with_statistics

    def __call__(self, numbered: tuple[int, Iterable[Keyed]]) -> None:
        number, records = numbered
        name, own = f"{number:09d}", f".{number:09d}-{uuid.uuid4().hex}"
        made = write_shard(sorted(records), Path(self._folder, own), self._with_statistics)
        facts = replace(made, path=Path(self._folder, name))
        made.keys.replace(facts.keys)
        made.path.replace(facts.path)
        Path(self._told, own).write_bytes(pickle.dumps(facts))
        Path(self._told, own).replace(Path(self._told, name))
