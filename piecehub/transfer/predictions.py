"""`predictions.parquet`: what every chosen model says of every test example; needs numpy and pyarrow only.

A row is (task, mode, shots, seed, example_id, …), by mode, shots, seed and example; `example_id` is the row of the
task's test part. What follows depends on the task's kind:

    classification  label int64, predicted_label int64, probabilities list<float32>
    multi_label     label list<int64> of 0 and 1, predicted_label likewise, probabilities list<float32>
    regression      label float64, prediction float32
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from piecehub.errors import DataError
from piecehub.transfer import kinds
from piecehub.transfer.kinds import Kind
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.tasks import Task

_KEYS = [
    ("task", pa.dictionary(pa.int32(), pa.string())),
    ("mode", pa.dictionary(pa.int32(), pa.string())),
    ("shots", pa.int64()),
    ("seed", pa.int64()),
    ("example_id", pa.int64()),
]
_LABEL, _PREDICTED, _PROBABILITIES, _PREDICTION = "label", "predicted_label", "probabilities", "prediction"
_SAID: dict[Kind, list[tuple[str, pa.DataType]]] = {
    "classification": [(_LABEL, pa.int64()), (_PREDICTED, pa.int64()), (_PROBABILITIES, pa.list_(pa.float32()))],
    "multi_label": [
        (_LABEL, pa.list_(pa.int64())),
        (_PREDICTED, pa.list_(pa.int64())),
        (_PROBABILITIES, pa.list_(pa.float32())),
    ],
    "regression": [(_LABEL, pa.float64()), (_PREDICTION, pa.float32())],
}


def schema_of(kind: Kind) -> pa.Schema:
    """The columns of the file of a task of that kind."""
    return pa.schema([*_KEYS, *_SAID[kind]])


def write(
    path: Path, task: Task, protocol: Protocol, outputs: Mapping[tuple[str, int], Sequence[NDArray[np.float32]]]
) -> None:
    """Writes the rows of `outputs[mode, shots]`, for each seed what a head says, `[examples, width]`."""
    with pq.ParquetWriter(path, schema_of(task.kind), compression="zstd") as writer:
        for (mode, shots), said in outputs.items():
            writer.write_table(_table(task, protocol.seeds, mode, shots, said))


def read_scores(path: Path, protocol: Protocol, kind: Kind) -> dict[str, NDArray[np.float64]]:
    """By mode, how right each prediction is (see `kinds`): `[shots, seeds, examples]`.

    Raises:
        DataError: if the file is missing or damaged, or a mode lacks a row of the protocol's grid.
    """
    said = _PREDICTION if kind == "regression" else _PREDICTED
    try:
        table = pq.read_table(path, columns=["mode", "shots", "seed", "example_id", _LABEL, said])
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DataError(f"Expected predictions in '{path}'. Received: {error}; evaluate again.") from error
    modes = table["mode"].cast(pa.string()).to_numpy()
    shots, seeds, examples = (table[name].to_numpy() for name in ("shots", "seed", "example_id"))
    labels, predicted = _values(table[_LABEL]), _values(table[said])
    shape = (len(protocol.shots), len(protocol.seeds), len(np.unique(examples)))
    grid = np.array([(k, s, e) for k in protocol.shots for s in protocol.seeds for e in range(shape[2])], np.int64)
    found: dict[str, NDArray[np.float64]] = {}
    for mode in dict.fromkeys(modes.tolist()):
        rows = np.flatnonzero(modes == mode)
        rows = rows[np.lexsort((examples[rows], seeds[rows], shots[rows]))]
        if not np.array_equal(np.stack([shots[rows], seeds[rows], examples[rows]], axis=1), grid):
            raise DataError(
                f"Expected a prediction of '{mode}' for each shots, seed and example in '{path}'. Received: "
                f"{len(rows)} rows that are not this grid; evaluate again."
            )
        found[mode] = kinds.scores(kind, labels[rows[: shape[2]]], _by_seed(predicted[rows], shape))
    return found


def _by_seed(values: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    return values.reshape(*shape, *values.shape[1:])


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column as `[rows]`, or `[rows, width]` where it holds lists of one length."""
    if not pa.types.is_list(column.type):
        return column.to_numpy()
    flat = column.combine_chunks().flatten().to_numpy()
    return flat.reshape(len(column), -1)


def _table(task: Task, seeds: Sequence[int], mode: str, shots: int, said: Sequence[NDArray[np.float32]]) -> pa.Table:
    models, examples = len(said), len(task.test_y)
    rows = models * examples
    keys = [
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([task.name])),
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([mode])),
        pa.array(np.full(rows, shots, np.int64)),
        pa.array(np.repeat(np.array(seeds, np.int64), examples)),
        pa.array(np.tile(np.arange(examples, dtype=np.int64), models)),
    ]
    return pa.Table.from_arrays([*keys, *_said(task, said)], schema=schema_of(task.kind))


def _said(task: Task, said: Sequence[NDArray[np.float32]]) -> list[pa.Array]:
    labels = np.concatenate([task.test_y] * len(said))
    predicted = np.concatenate([kinds.predictions(task.kind, outputs) for outputs in said])
    if task.kind == "regression":
        return [pa.array(labels), pa.array(predicted.astype(np.float32))]
    probabilities = np.concatenate(list(kinds.probabilities(task.kind, said)))
    return [_column(labels), _column(predicted.astype(np.int64)), _column(probabilities)]


def _column(values: NDArray[Any]) -> pa.Array:
    """`[rows]` as numbers, `[rows, width]` as lists."""
    if values.ndim == 1:
        return pa.array(values)
    offsets = pa.array(np.arange(0, values.size + 1, values.shape[1], dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values).reshape(-1)))
