"""A curated schema as features to parse, by TFX's own rules (tfx_bsl, tensor_representation_util).

    shape {…}                          a tensor of that shape; `shape {}` is a single value
    no shape                           any number of values an example: a ragged tensor
    sparse_feature {…}                 a sparse tensor, of its index and value features
    tensor_representation_group {…}    whatever it says: sparse and ragged tensors of any rank, defaults

Of our own is one rule, for values that may be missing: a feature with `value_count { min: 1 max: 1 }` (or other counts,
twice) whose `presence` has a `min_fraction` below 1 is a tensor of that many values, NaN or an empty text where an
example lacks it. TFDV's rules let no feature with a `shape` be absent, but its values may be NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from piecehub.errors import DataError
from piecehub.examples.shards import SplitFacts, not_finite
from piecehub.examples.tfrecord_files import parsed_example
from piecehub.facts.pointers import refuse_pointers

_protos: Any = schema_pb2  # generated: the type checker sees none of its names
_TYPES = {_protos.FLOAT: tf.float32, _protos.INT: tf.int64, _protos.BYTES: tf.string}
_KINDS = {tf.float32: "float_list", tf.int64: "int64_list", tf.string: "bytes_list"}
_DEFAULTS = {tf.float32: float("nan"), tf.string: b""}


@dataclass(frozen=True)
class Features:
    """How to parse the examples of a schema.

    Attributes:
        specs: by name, as `tf.io.parse_example` takes them.
        may_be_missing: the features in which NaN stands for a missing value.
    """

    specs: Mapping[str, Any]
    may_be_missing: frozenset[str] = frozenset()

    @classmethod
    def of_schema(cls, schema_path: str) -> "Features":
        """The features of a `schema.pbtxt`.

        Raises:
            DataError: if the file is no schema, or a feature has no type, or neither a shape nor another form.
        """
        schema = _read_schema(schema_path)
        missing = frozenset(f.name for f in schema.feature if _may_be_missing(f))
        for feature in schema.feature:
            if feature.type not in _TYPES:
                raise DataError(
                    f"Expected a type for feature '{feature.name}'. Received: none in {schema_path}; curate the "
                    "schema, as with 'type: FLOAT'."
                )
        return cls(_specs(schema, schema_path), missing)

    def refuse_not_finite(self, facts: SplitFacts, split: str) -> None:
        """Passes if all numbers of the split are finite, or NaN where a value may be missing.

        Raises:
            DataError: naming the feature.
        """
        for name, counts in facts.not_finite.items():
            if name in self.specs:
                self._refuse(name, split, counts, facts.records)

    def refuse_arrays_not_finite(self, arrays: Mapping[str, np.ndarray], split: str) -> None:
        """The same of numbers in memory, `[examples, …]`."""
        for name, values in arrays.items():
            if values.dtype.kind == "f":
                self._refuse(name, split, not_finite_of(values), len(values))

    def refuse_counts(self, counts: Mapping[str, Sequence[int]], split: str, records: int) -> None:
        """The same of numbers that were counted by `not_finite_of`, batch by batch."""
        for name, found in counts.items():
            self._refuse(name, split, found, records)

    def _refuse(self, name: str, split: str, counts: Sequence[int], records: int) -> None:
        missing, with_missing, endless, with_endless = counts
        if endless:
            raise DataError(
                f"Expected finite numbers in feature '{name}' of the split '{split}'. Received: {endless} infinite, "
                f"in {with_endless} of {records} examples; mend the data."
            )
        # What `decode` makes of a feature that may be missing may be missing too.
        decoded_of_missing = name not in self.specs and self.may_be_missing
        if missing and name not in self.may_be_missing and not decoded_of_missing:
            raise DataError(
                f"Expected numbers in feature '{name}' of the split '{split}'. Received: {missing} NaN, in "
                f"{with_missing} of {records} examples; mend the data, or say in the schema that the feature may be "
                "missing, as with 'presence { min_fraction: 0.5 }'."
            )

    def fault(self, record: bytes) -> str | None:
        """A sentence about the first feature that a record lacks, or has in another form; None if there is none."""
        features = parsed_example(record, "a split", 0).features.feature
        specs: Mapping[str, Any] = self.specs
        for name, spec in specs.items():
            values = features[name] if name in features else tf.train.Feature()
            kind = values.WhichOneof("kind")
            if not isinstance(spec, tf.io.FixedLenFeature):
                continue
            if kind is None:
                if spec.default_value is not None:
                    continue
                return f"Expected feature '{name}' in every record. Received: a record without it; mend the data."
            seen, wanted = _form(kind, len(getattr(values, kind).value)), _form_of(spec)
            if seen != wanted:
                return f"Expected feature '{name}' to be {wanted}. Received: {seen}; mend the data or the schema."
        return None


def not_finite_of(values: np.ndarray) -> list[int]:
    """What `shards.not_finite` counts, of `[examples, …]`."""
    rows = np.arange(len(values)).repeat(int(np.prod(values.shape[1:])))
    return not_finite(values.ravel(), rows)


def _read_schema(schema_path: str) -> Any:
    refuse_pointers([schema_path], "a Schema")
    with tf.io.gfile.GFile(schema_path) as file:
        text = file.read()
    try:
        return text_format.Parse(text, _protos.Schema())
    except text_format.ParseError as error:
        raise DataError(f"Expected a Schema in {schema_path}. Received: {error}.") from error


def _may_be_missing(feature: Any) -> bool:
    return feature.HasField("presence") and feature.presence.min_fraction < 1


def _specs(schema: Any, schema_path: str) -> dict[str, Any]:
    from tfx_bsl.tfxio import tensor_representation_util as rules

    asked = _protos.Schema()
    asked.CopyFrom(schema)
    asked.represent_variable_length_as_ragged = True
    for feature in asked.feature:
        if _is_one_or_missing(feature):
            _give_shape(feature)
    fixed = {feature.name for feature in asked.feature if feature.HasField("shape")}
    for feature in asked.feature:
        if feature.name in fixed:
            feature.presence.min_fraction = 1  # the rules allow no shape where less is present
    types = {feature.name: feature.type for feature in schema.feature}
    try:
        forms: Any = rules.InferTensorRepresentationsFromMixedSchema(asked)
        specs = {key: rules.CreateTfExampleParserConfig(form, _type_of(form, types)) for key, form in forms.items()}
    except (ValueError, KeyError) as error:
        raise DataError(
            f"Expected a schema whose features can be parsed. Received: {error}, in {schema_path}; mend it."
        ) from error
    for name, spec in specs.items():
        if isinstance(spec, tf.io.SparseFeature) and -1 in np.ravel(spec.size):
            raise DataError(
                f"Expected the size of the sparse feature '{name}'. Received: none in {schema_path}; give each of its "
                "index features an 'int_domain { min: 0 max: 99 }'."
            )
    optional = fixed & {feature.name for feature in schema.feature if _may_be_missing(feature)}
    return {name: _with_default(spec) if name in optional else spec for name, spec in specs.items()}


def _is_one_or_missing(feature: Any) -> bool:
    """Whether a feature has so and so many values, or none: TFDV lets no feature with a shape be absent."""
    count = feature.value_count
    counted = feature.HasField("value_count") and count.min == count.max > 0
    return counted and _may_be_missing(feature) and _TYPES[feature.type] in _DEFAULTS


def _give_shape(feature: Any) -> None:
    """States the number of values as a shape; a single one has none."""
    count = feature.value_count.min
    feature.shape.SetInParent()
    if count > 1:
        feature.shape.dim.add(size=count)


def _type_of(form: Any, types: Mapping[str, int]) -> int:
    """The type of the values that a tensor is made of."""
    kind = form.WhichOneof("kind")
    inside = getattr(form, kind)
    if kind == "sparse_tensor":
        return types[inside.value_column_name]
    return types[inside.feature_path.step[0] if kind == "ragged_tensor" else inside.column_name]


def _with_default(spec: Any) -> Any:
    """The feature with a value for a record that lacks it; integers have none that means "missing"."""
    if spec.default_value is not None or spec.dtype not in _DEFAULTS:
        return spec
    default = np.full(spec.shape, _DEFAULTS[spec.dtype], object if spec.dtype == tf.string else np.float32)
    return tf.io.FixedLenFeature(spec.shape, spec.dtype, default.tolist())


def _form(kind: str, count: int) -> str:
    return f"{count} values of {kind.removesuffix('_list')}"


def _form_of(spec: Any) -> str:
    return _form(_KINDS[spec.dtype], int(np.prod(spec.shape, dtype=int)))
