"""Examples (TFRecords of `tf.Example`) as arrays, and the digests of their records.

Two layouts, read alike; a file may be gzipped:

    <uri>/Split-<split>/*             an Examples artifact of TFX
    <uri>/<split>/*.tfrecord[.gz]     as a recipe writes them

Beam shuffles records and cuts them into any number of files, and TFX writes a record's features in an order that
changes from process to process. So records are serialized again with sorted features, and stand in the order of the
sha256 of that. The digest of a split is the sha256 of its records' sorted digests, one hex line each: it does not
depend on order, sharding or compression.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import schema_pb2

from piecehub.errors import DataError

FeatureSpec = Mapping[str, tf.io.FixedLenFeature]
_protos: Any = schema_pb2  # generated: the type checker sees none of its names
_TYPES = {_protos.FLOAT: tf.float32, _protos.INT: tf.int64, _protos.BYTES: tf.string}


def read_split(uri: str, split: str, feature_spec: FeatureSpec) -> dict[str, np.ndarray]:
    """The features of a split, `[examples, *shape]` each, in the canonical order of their records.

    Raises:
        DataError: if the split has no examples, or a record lacks a feature of `feature_spec`.
    """
    records = read_records(uri, split)
    try:
        parsed = tf.io.parse_example(tf.constant(records), dict(feature_spec))
    except tf.errors.InvalidArgumentError as error:
        raise DataError(_first_fault(records, feature_spec) or f"Expected tf.Examples. Received: {error}") from error
    return {name: parsed[name].numpy() for name in feature_spec}


def read_records(uri: str, split: str) -> list[bytes]:
    """The records of a split, serialized and ordered canonically; raises DataError if there are none."""
    records = [_canonical(record, path) for path in _files(uri, split) for record in _records(path)]
    if not records:
        raise DataError(f"Expected examples in split '{split}'. Received: none in {uri}; check the data's folder.")
    return sorted(records, key=lambda record: hashlib.sha256(record).digest())


def feature_spec_of(schema_path: str) -> dict[str, tf.io.FixedLenFeature]:
    """How to parse the features of a curated `schema.pbtxt`: each has a `shape` and a type.

    Raises:
        DataError: if a feature states no shape, or the file is no schema.
    """
    with tf.io.gfile.GFile(schema_path) as file:
        text = file.read()
    try:
        schema = text_format.Parse(text, _protos.Schema())
    except text_format.ParseError as error:
        raise DataError(f"Expected a Schema in {schema_path}. Received: {error}.") from error
    return {feature.name: _fixed(feature, schema_path) for feature in schema.feature}


def records_digest(uri: str, split: str) -> str:
    """The digest of a split's records, as `sha256:<hex>`."""
    lines = sorted(hashlib.sha256(record).hexdigest() + "\n" for record in read_records(uri, split))
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def split_digests(uri: str) -> dict[str, str]:
    """The records' digest of every split below `uri`, by the split's name."""
    return {split: records_digest(uri, split) for split in split_names(uri)}


def split_names(uri: str) -> list[str]:
    """The splits below `uri`, sorted; raises DataError if there are none."""
    folders = sorted(name.rstrip("/") for name in (tf.io.gfile.listdir(uri) if tf.io.gfile.isdir(uri) else []))
    names = [name.removeprefix("Split-") for name in folders if name.startswith("Split-")]
    names = names or [name for name in folders if tf.io.gfile.glob(f"{uri}/{name}/*.tfrecord*")]
    if not names:
        raise DataError(f"Expected splits of examples. Received: none in {uri}; check the data's folder.")
    return names


def _files(uri: str, split: str) -> list[str]:
    return sorted(tf.io.gfile.glob(f"{uri}/Split-{split}/*") or tf.io.gfile.glob(f"{uri}/{split}/*.tfrecord*"))


def _records(path: str) -> list[bytes]:
    with tf.io.gfile.GFile(path, "rb") as file:
        compression = "GZIP" if file.read(2) == b"\x1f\x8b" else ""
    try:
        return [bytes(record) for record in tf.data.TFRecordDataset(path, compression).as_numpy_iterator()]
    except tf.errors.DataLossError as error:
        raise DataError(f"Expected a TFRecord file. Received: {path}, which is damaged; write it again.") from error


def _canonical(record: bytes, path: str) -> bytes:
    try:
        return tf.train.Example.FromString(record).SerializeToString(deterministic=True)
    except DecodeError as error:
        raise DataError(f"Expected tf.Examples. Received: {path}, which holds other records; convert it.") from error


def _fixed(feature: Any, schema_path: str) -> tf.io.FixedLenFeature:
    if not feature.HasField("shape") or feature.type not in _TYPES:
        raise DataError(
            f"Expected a type and a shape for feature '{feature.name}'. Received: none in {schema_path}; "
            "curate the schema, as with 'shape { dim { size: 8 } }', or 'shape {}' for a single number."
        )
    return tf.io.FixedLenFeature([dim.size for dim in feature.shape.dim], _TYPES[feature.type])


def _first_fault(records: list[bytes], feature_spec: FeatureSpec) -> str | None:
    """A sentence about the first record that lacks a feature, or has it in another form."""
    for record in records:
        features = tf.train.Example.FromString(record).features.feature
        for name, spec in feature_spec.items():
            values = features[name] if name in features else tf.train.Feature()
            kind = values.WhichOneof("kind")
            if kind is None:
                return f"Expected feature '{name}' in every record. Received: a record without it; mend the data."
            seen, wanted = _form(kind, len(getattr(values, kind).value)), _form_of(spec)
            if seen != wanted:
                return f"Expected feature '{name}' to be {wanted}. Received: {seen}; mend the data or the schema."
    return None


def _form(kind: str, count: int) -> str:
    return f"{count} values of {kind.removesuffix('_list')}"


def _form_of(spec: Any) -> str:
    kind = {tf.float32: "float_list", tf.int64: "int64_list", tf.string: "bytes_list"}[spec.dtype]
    return _form(kind, int(np.prod(spec.shape, dtype=int)))
