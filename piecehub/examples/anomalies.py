"""Anomalies that TFX's ExampleValidator found: they stop the training.

An ExampleAnomalies artifact holds `Split-<split>/SchemaDiff.pb`, a tensorflow_metadata Anomalies message a split.
"""

# The generated protos have no types.
# pyright: basic, reportAttributeAccessIssue=false

from pathlib import Path

from tensorflow_metadata.proto.v0 import anomalies_pb2

from piecehub.errors import DataError


def refuse_anomalies(folder: Path) -> None:
    """Passes if no split has an anomaly.

    Raises:
        DataError: naming the first feature that differs from the schema, and how.
    """
    for path in sorted(folder.glob("Split-*/SchemaDiff.pb")):
        anomalies = anomalies_pb2.Anomalies.FromString(path.read_bytes())
        split = path.parent.name.removeprefix("Split-")
        for feature, info in sorted(anomalies.anomaly_info.items()):
            raise DataError(
                f"Expected examples that keep the schema. Received: split '{split}', feature '{feature}': "
                f"{info.description.rstrip('.')}; mend the data, or the recipe's schema.pbtxt."
            )
        if anomalies.HasField("dataset_anomaly_info"):
            raise DataError(
                f"Expected examples in the split '{split}'. Received: {anomalies.dataset_anomaly_info.description}"
            )
