"""Folders of TFRecords -> Examples in canonical order, and their statistics."""

import json
from pathlib import Path

from tfx.types.artifact_utils import encode_split_names
from tfx.types.standard_artifacts import Examples, ExampleStatistics

from components.dsl import OutputArtifact, Parameter, Process, component
from piecehub.examples.ingest import Observer, ingest
from piecehub.examples.statistics import SplitStatistics


@component(Process)
def ExampleIngester(
    examples: OutputArtifact[Examples],
    statistics: OutputArtifact[ExampleStatistics],
    source_folder: Parameter[str],
    splits: Parameter[str],
    input_fingerprint: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
) -> None:
    """Reads every record once: what ImportExampleGen and StatisticsGen make, without a shuffle of Beam.

    `splits` is a JSON list of names. `input_fingerprint` tells the cache that somebody changed the files.
    """
    names: list[str] = json.loads(splits)
    gathered = {name: SplitStatistics() for name in names}

    def observer_of(split: str) -> Observer:
        return gathered[split].observe

    ingest(source_folder, names, Path(examples.uri), observer_of)
    for name, found in gathered.items():
        found.write(statistics.uri, name)
    for made in (examples, statistics):
        made.split_names = encode_split_names(names)
        made.span = 0
