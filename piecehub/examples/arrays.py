"""A split in memory, as arrays: for downstream tasks, which are small."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.errors import DataError
from piecehub.examples.canonical import read_records
from piecehub.examples.features import Features


def read_split(uri: str, split: str, features: Features) -> dict[str, np.ndarray]:
    """The features of a split, `[examples, *shape]` each, in the canonical order of their records.

    Raises:
        DataError: if the split has no examples, a record lacks a feature, or values are not finite.
    """
    records = read_records(uri, split)
    try:
        parsed: Mapping[str, Any] = tf.io.parse_example(tf.constant(records), dict(features.specs))
    except tf.errors.InvalidArgumentError as error:
        fault = next(filter(None, map(features.fault, records)), None)
        raise DataError(fault or f"Expected tf.Examples. Received: {error}") from error
    found = {name: parsed[name].numpy() for name in features.specs}
    features.refuse_arrays_not_finite(found, split)
    return found
