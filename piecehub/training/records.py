"""Writes arrays as TFRecords of `tf.Example`: what a recipe's data module calls, and a user's own script may."""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.errors import DataError

Example = Mapping[str, Any]  # by feature: an array, or what NumPy makes one of


def write_records(folder: str | PathLike[str], examples: Iterable[Example], *, shards: int) -> int:
    """Writes `folder/part-I-of-N.tfrecord`, dealing the examples out in turn; returns how many there were.

    Floats become float lists, integers and booleans int64 lists, texts and bytes bytes lists; shapes are flattened, and
    stand in the schema.

    Raises:
        DataError: if a feature is neither numbers nor texts.

    Example:
        >>> rows = ({"values": np.arange(4.0), "label": n % 2} for n in range(5))
        >>> piecehub.write_records("my_data/upstream/train", rows, shards=2)
        5
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = [Path(folder) / f"part-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]
    writers = [tf.io.TFRecordWriter(str(path)) for path in paths]
    count = 0
    try:
        for example in examples:
            writers[count % shards].write(serialize(example))
            count += 1
    finally:
        for writer in writers:
            writer.close()
    return count


def serialize(example: Example) -> bytes:
    """One `tf.Example`, with sorted features: equal examples give equal bytes."""
    message = tf.train.Example()
    for name in sorted(example):
        message.features.feature[name].CopyFrom(_feature(name, np.asarray(example[name])))
    return message.SerializeToString(deterministic=True)


def _feature(name: str, value: np.ndarray) -> tf.train.Feature:
    flat = value.ravel()
    match value.dtype.kind:
        case "f":
            return tf.train.Feature(float_list=tf.train.FloatList(value=flat))
        case "i" | "u" | "b":
            return tf.train.Feature(int64_list=tf.train.Int64List(value=flat.astype(np.int64)))
        case "S" | "U" | "O":
            texts = [text.encode() if isinstance(text, str) else bytes(text) for text in flat.tolist()]
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
        case _:
            raise DataError(f"Expected numbers or texts for feature '{name}'. Received: {value.dtype}.")
