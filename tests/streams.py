"""Arrays as streams of ingested examples, for tests that train."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.examples.features import Features
from piecehub.examples.ingest import ingest
from piecehub.examples.records import write_records
from piecehub.examples.stream import Decode, Stream

_TYPES = {"f": tf.float32, "i": tf.int64, "O": tf.string}


def make_stream(
    folder: Path, arrays: Mapping[str, np.ndarray], split: str = "train", decode: Decode | None = None
) -> Stream:
    """The rows of arrays `[examples, …]` as a split in `folder`, of features that have the arrays' shapes."""
    count = len(next(iter(arrays.values())))
    rows: Any = [{name: array[n] for name, array in arrays.items()} for n in range(count)]
    write_records(folder / f"source-{split}" / split, rows, shards=1)
    ingest(str(folder / f"source-{split}"), [split], folder / f"examples-{split}")
    return Stream.open(str(folder / f"examples-{split}"), split, features_of(arrays), decode)


def features_of(arrays: Mapping[str, np.ndarray]) -> Features:
    """Features of fixed shapes."""
    specs = {name: tf.io.FixedLenFeature(a.shape[1:], _TYPES[a.dtype.kind]) for name, a in arrays.items()}
    return Features(specs)
