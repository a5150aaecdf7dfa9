"""Examples (TFRecords of `tf.Example`) as arrays, and the digests of their records.

Two layouts, read alike:

    <uri>/Split-<split>/*     an Examples artifact of TFX
    <uri>/<split>/*           as a recipe writes them

Every file in such a folder counts as records, whatever it is called, but those whose names begin with `.` or `_`; TFX's
ExampleGen is told the same by the pattern `RECORDS`. A gzipped file has a name that ends with `.gz`, and no other has,
for by that Beam knows it. What else lies there is refused by its name.

Beam shuffles records and cuts them into any number of files, and TFX writes a record's features in an order that
changes from process to process. So records are serialized again with sorted features, and stand in the order of the
sha256 of that. The digest of a split is the sha256 of its records' sorted digests, one hex line each: it does not
depend on order, sharding or compression.
"""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import schema_pb2

from piecehub.errors import DataError
from piecehub.facts.pointers import refuse_pointers

RECORDS = "[!._]*"
_GZIP = b"\x1f\x8b"
# A record is its length (8 bytes), a checksum of it (4), the bytes, and a checksum of them (4).
_HEADER_BYTES, _FOOTER_BYTES = 12, 4

FeatureSpec = Mapping[str, tf.io.FixedLenFeature]
_protos: Any = schema_pb2  # generated: the type checker sees none of its names
_TYPES = {_protos.FLOAT: tf.float32, _protos.INT: tf.int64, _protos.BYTES: tf.string}


def read_split(
    uri: str, split: str, feature_spec: FeatureSpec, may_be_missing: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """The features of a split, `[examples, *shape]` each, in the canonical order of their records.

    Args:
        uri: the folder of the examples.
        split: its name.
        feature_spec: how to parse the features (`feature_spec_of`).
        may_be_missing: the features in which NaN stands for a missing value (`may_be_missing`).

    Raises:
        DataError: if the split has no examples, a record lacks a feature of `feature_spec`, or values are not finite.
    """
    records = read_records(uri, split)
    try:
        parsed = tf.io.parse_example(tf.constant(records), dict(feature_spec))
    except tf.errors.InvalidArgumentError as error:
        raise DataError(_first_fault(records, feature_spec) or f"Expected tf.Examples. Received: {error}") from error
    found = {name: parsed[name].numpy() for name in feature_spec}
    for name, values in found.items():
        _refuse_not_finite(split, name, values, name in may_be_missing)
    return found


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
    return {feature.name: _fixed(feature, schema_path) for feature in _schema(schema_path).feature}


def _schema(schema_path: str) -> Any:
    refuse_pointers([schema_path], "a Schema")
    with tf.io.gfile.GFile(schema_path) as file:
        text = file.read()
    try:
        return text_format.Parse(text, _protos.Schema())
    except text_format.ParseError as error:
        raise DataError(f"Expected a Schema in {schema_path}. Received: {error}.") from error


def may_be_missing(schema_path: str) -> frozenset[str]:
    """The features that the schema says may be missing: those with a `presence` whose `min_fraction` is below 1."""
    features = _schema(schema_path).feature
    return frozenset(f.name for f in features if f.HasField("presence") and f.presence.min_fraction < 1)


def _refuse_not_finite(split: str, name: str, values: np.ndarray, may_be_missing: bool) -> None:
    if values.dtype.kind != "f":
        return
    endless, missing = int(np.isinf(values).sum()), int(np.isnan(values).sum())
    if endless:
        raise DataError(
            f"Expected finite numbers in feature '{name}' of the split '{split}'. Received: {endless} infinite, "
            f"in {_rows_with(np.isinf(values))} of {len(values)} examples; mend the data."
        )
    if missing and not may_be_missing:
        raise DataError(
            f"Expected numbers in feature '{name}' of the split '{split}'. Received: {missing} NaN, in "
            f"{_rows_with(np.isnan(values))} of {len(values)} examples; mend the data, or say in the schema that the "
            "feature may be missing, as with 'presence { min_fraction: 0.5 }'."
        )


def _rows_with(found: np.ndarray) -> int:
    return int(found.reshape(len(found), -1).any(axis=1).sum())


def records_digest(uri: str, split: str) -> str:
    """The digest of a split's records, as `sha256:<hex>`."""
    lines = sorted(hashlib.sha256(record).hexdigest() + "\n" for record in read_records(uri, split))
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def split_digests(uri: str) -> dict[str, str]:
    """The records' digest of every split below `uri`, by the split's name."""
    return {split: records_digest(uri, split) for split in split_names(uri)}


def split_names(uri: str) -> list[str]:
    """The splits below `uri`, sorted; raises DataError if there are none."""
    folders = _names(uri)
    names = [name.removeprefix("Split-") for name in folders if name.startswith("Split-")]
    names = names or [name for name in folders if record_files(f"{uri}/{name}")]
    if not names:
        raise DataError(f"Expected splits of examples. Received: none in {uri}; check the data's folder.")
    return names


def record_files(folder: str) -> list[str]:
    """The files in the folder of a split that count as records, sorted; none if there is no such folder."""
    paths = [f"{folder}/{name}" for name in _names(folder)]
    return [path for path in paths if not tf.io.gfile.isdir(path)]


def refuse_no_records(path: Path) -> None:
    """Passes if a file that counts as records is one, by its structure: what a stranger put there has another.

    Raises:
        DataError: naming the file.
        RecipeError: if the file is a pointer of Git LFS.
    """
    refuse_pointers([path], "TFRecord files in the folder of a split")
    size = path.stat().st_size
    with path.open("rb") as file:
        zipped = file.read(len(_GZIP)) == _GZIP
        if zipped != (path.suffix == ".gz"):
            raise DataError(
                f"Expected a gzipped file of records to have a name with '.gz' at the end, and no other. Received: "
                f"{path}; rename it."
            )
        place = 0
        while place < size and not zipped:
            file.seek(place)
            header = file.read(_HEADER_BYTES)
            place += _HEADER_BYTES + int.from_bytes(header[:8], "little") + _FOOTER_BYTES
            if place > size:
                raise DataError(
                    f"Expected only TFRecord files in the folder of a split. Received: {path}, which is none, or is "
                    "damaged; take it away, or begin its name with '.' or '_'."
                )
    dataset = tf.data.TFRecordDataset(str(path), "GZIP" if zipped else "").take(1)
    for record in _read_all(dataset, str(path)):
        _canonical(record, str(path))


def _names(folder: str) -> list[str]:
    """What lies in a folder, sorted, without what is hidden. No glob: a folder's name may have brackets in it."""
    found = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
    return sorted(name.rstrip("/") for name in found if not name.startswith((".", "_")))


def _files(uri: str, split: str) -> list[str]:
    return record_files(f"{uri}/Split-{split}") or record_files(f"{uri}/{split}")


def _records(path: str) -> list[bytes]:
    with tf.io.gfile.GFile(path, "rb") as file:
        compression = "GZIP" if file.read(2) == _GZIP else ""
    return _read_all(tf.data.TFRecordDataset(path, compression), path)


def _read_all(dataset: Any, path: str) -> list[bytes]:
    try:
        return [bytes(record) for record in dataset.as_numpy_iterator()]
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
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
