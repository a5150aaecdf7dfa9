"""Metrics of the predictions by TensorFlow Model Analysis, as the folder of a stock `ModelEvaluation`.

TFMA reads Parquet. `beam.Create`, which its own `analyze_raw_data` uses, pickles the rows into some 400 transforms:
30,000 rows take 121 CPU seconds and 3.1 GB instead of 21 and 1.0. Each mode is a model of one and the same evaluation,
and the slices are the numbers of shots. TFMA's intervals take rows for independent; ours are in `evidence`.
"""

# The generated protos have no types.
# pyright: reportAttributeAccessIssue=false

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from tensorflow_model_analysis.proto import config_pb2 as generated_config

from piecehub.transfer.kinds import Kind

# Generated at import, so a type checker cannot see what is in it.
config_pb2: Any = generated_config

_LABEL = "label"
_SLICE = "shots"
_KEYS = ["shots", "seed", "example_id"]
# What TFMA computes; of several labels each is one binary row, so its metrics are micro-averages.
_METRICS: dict[Kind, tuple[str, ...]] = {
    "classification": ("SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "ExampleCount"),
    "multi_label": ("BinaryAccuracy", "BinaryCrossEntropy", "AUC", "ExampleCount"),
    "regression": ("MeanSquaredError", "MeanAbsoluteError", "ExampleCount"),
}


def write_metrics(
    predictions: Path, destination: Path, kind: Kind = "classification", slices: Mapping[str, Any] | None = None
) -> None:
    """Writes the metrics of every mode, overall, by shots, and by slices at each number of shots, into `destination`.

    `tfma.load_eval_result(destination, model_name=mode)` reads them.

    Args:
        predictions: a `predictions.parquet` (see `predictions`).
        destination: a folder; it is made if it is missing.
        kind: of the task, which decides the metrics: accuracy and cross-entropy, or squared and absolute errors.
        slices: by feature, the values of the test examples as texts, `[examples]`.
    """
    slices = slices or {}
    with tempfile.TemporaryDirectory(prefix="piecehub-metrics-") as folder:
        wide = Path(folder) / "wide.parquet"
        modes = _widen(predictions, wide, kind, slices)
        config = eval_config(modes, kind, list(slices))
        # Named, so that no default, which changes with Beam's releases, chooses it.
        options = PipelineOptions(runner="FnApiRunner")
        with beam.Pipeline(options=options) as pipeline:
            rows = pipeline | "ReadPredictions" >> beam.io.ReadFromParquetBatched(str(wide))
            batches = rows | "ToRecordBatches" >> beam.FlatMap(_record_batches)
            _ = batches | "Evaluate" >> tfma.ExtractEvaluateAndWriteResults(
                eval_config=config,
                eval_shared_model=[_shared_model(mode) for mode in modes],
                output_path=str(destination),
            )


def eval_config(modes: list[str], kind: Kind, features: Sequence[str] = ()) -> Any:
    """What TFMA computes; `tfma.EvalConfig` exists only after TFX was imported, the proto always."""
    config = config_pb2.EvalConfig()
    for mode in modes:
        config.model_specs.add(name=mode, label_key=_LABEL, prediction_key=mode)
    config.slicing_specs.add()
    config.slicing_specs.add(feature_keys=[_SLICE])
    for feature in features:
        config.slicing_specs.add(feature_keys=[_column_of(feature)])
        config.slicing_specs.add(feature_keys=[_column_of(feature), _SLICE])
    metrics = config.metrics_specs.add(model_names=modes)
    for name in _METRICS[kind]:
        metrics.metrics.add(class_name=name)
    config.options.compute_confidence_intervals.value = False
    return config


def _shared_model(mode: str) -> Any:
    """A model whose predictions are a column already."""
    return tfma.EvalSharedModel(model_name=mode, model_type="materialized_prediction")


def _column_of(feature: str) -> str:
    """The column of a feature, which no mode and no key can be called."""
    return f"slice:{feature}"


def _widen(predictions: Path, destination: Path, kind: Kind, slices: Mapping[str, Any]) -> list[str]:
    """Writes a row for each shots, seed and example (and label) with a column for each mode; returns the modes."""
    said = "prediction" if kind == "regression" else "probabilities"
    table = pq.read_table(predictions, columns=["mode", *_KEYS, _LABEL, said])
    if kind == "multi_label":
        table = _label_by_label(table, said)
    modes = table["mode"].cast(pa.string()).to_numpy()
    names = list(dict.fromkeys(modes.tolist()))
    order = [(key, "ascending") for key in _KEYS]
    parts = {name: table.filter(pa.array(modes == name)).sort_by(order) for name in names}
    first = parts[names[0]]
    columns = {key: first[key] for key in [*_KEYS, _LABEL]}
    columns |= {name: part[said] for name, part in parts.items()}
    columns |= {_column_of(name): _by_example(first, values) for name, values in slices.items()}
    # TFMA takes lists only: a number is a list of one.
    lists = {name: column if pa.types.is_list(column.type) else _singles(column) for name, column in columns.items()}
    pq.write_table(pa.table(lists), destination)
    return names


def _by_example(rows: pa.Table, values: Any) -> pa.ChunkedArray:
    """The value of each row's example; of several labels an example has as many numbers (`_label_by_label`)."""
    numbers = rows["example_id"].to_numpy()
    width = (int(numbers.max()) + 1) // len(values)
    return pa.chunked_array([pa.array(values[numbers // width])])


def _label_by_label(table: pa.Table, said: str) -> pa.Table:
    """A row for each label of each row; the label's number goes into the example's, which stays unique."""
    labels = table[_LABEL].combine_chunks()
    width = len(labels.flatten()) // len(table)
    rows = table.drop([_LABEL, said]).take(pa.array(np.repeat(np.arange(len(table)), width)))
    number = pa.array(rows["example_id"].to_numpy() * width + np.tile(np.arange(width), len(table)))
    rows = rows.set_column(rows.column_names.index("example_id"), "example_id", number)
    rows = rows.append_column(_LABEL, labels.flatten())
    return rows.append_column(said, table[said].combine_chunks().flatten())


def _singles(column: pa.ChunkedArray) -> pa.ListArray:
    flat = column.combine_chunks()
    return pa.ListArray.from_arrays(pa.array(range(len(flat) + 1), pa.int32()), flat)


def _record_batches(table: pa.Table) -> list[pa.RecordBatch]:
    return table.combine_chunks().to_batches()
