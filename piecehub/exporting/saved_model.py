"""Writing a SavedModel so that equal objects give equal bytes in fresh processes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

from piecehub.errors import NotReusableError
from piecehub.facts.content import sha256_bytes


def save(root: Any, folder: Path, signatures: Mapping[str, Any]) -> None:
    """`tf.saved_model.save`, with a fingerprint whose uuid is derived and not drawn.

    Raises:
        NotReusableError: if a function uses a table that no object holds.
    """
    try:
        tf.saved_model.save(root, str(folder), signatures=dict(signatures))
    except AssertionError as error:  # TensorFlow's own kind of error for it
        if "untracked" not in str(error):
            raise
        raise NotReusableError(
            "Expected every table that the model uses to be an attribute of the model or of one of its layers. "
            "Received: one that only a function holds, such as a Lambda; assign it to an attribute too "
            "(model.table = table)."
        ) from error
    _derive_uuid(folder / "fingerprint.pb")


def _derive_uuid(path: Path) -> None:
    """Replaces the random uuid of `fingerprint.pb` by one derived from its other fields."""
    fingerprint: Any = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    fingerprint.ClearField("uuid")
    derived = sha256_bytes(fingerprint.SerializeToString(deterministic=True))
    fingerprint.uuid = str(int(derived[:16], 16))  # as TensorFlow writes it: 64 bits, in decimal
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))
