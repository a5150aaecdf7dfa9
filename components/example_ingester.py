"""Folders of TFRecords -> Examples in canonical order, and their statistics."""

import json
from functools import partial
from pathlib import Path

from tfx.types.artifact_utils import encode_split_names
from tfx.types.standard_artifacts import Examples, ExampleStatistics

from components.dsl import OutputArtifact, Parameter, Process, component
from piecehub.examples.ingest import ingest
from piecehub.examples.on_beam import ingest_on_beam
from piecehub.facts.beam import beam_arguments
from piecehub.store.data import listed_again, record_files
from piecehub.store.place import is_uri


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
    """Reads every record once, and does the work of ImportExampleGen and StatisticsGen without a shuffle of Beam.

    `source_folder` is a folder, or the uri of a bucket, with spans or without. `splits` is a JSON list of names.
    `input_fingerprint` tells the cache which files these are: so what was listed is looked for, before they are read
    and once more when they have been.
    """
    names, beam_args = json.loads(splits), beam_arguments()
    # Beam's workers would have to see the files at one path.
    by_beam = beam_args and not is_uri(source_folder)
    read = partial(ingest_on_beam, beam_args=beam_args) if by_beam else partial(ingest, files=record_files)
    folder = listed_again(source_folder, names, input_fingerprint)
    read(folder, names, Path(examples.uri), statistics.uri)
    listed_again(folder, names, input_fingerprint)
    for made in (examples, statistics):
        made.split_names = encode_split_names(names)
        made.span = 0
