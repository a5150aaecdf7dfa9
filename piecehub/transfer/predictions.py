"""`predictions.parquet`: what every chosen model says of every test example; needs numpy and pyarrow only.

A row is (task, mode, shots, seed, example_id, label, predicted_label, probabilities), by mode, shots, seed and
example. `example_id` is the row of the task's test part.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from piecehub.errors import DataError
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.tasks import Task

SCHEMA = pa.schema(
    [
        ("task", pa.dictionary(pa.int32(), pa.string())),
        ("mode", pa.dictionary(pa.int32(), pa.string())),
        ("shots", pa.int64()),
        ("seed", pa.int64()),
        ("example_id", pa.int64()),
        ("label", pa.int64()),
        ("predicted_label", pa.int64()),
        ("probabilities", pa.list_(pa.float32())),
    ]
)


def softmax(logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Probabilities of several models' logits, `[models, examples, classes]`."""
    values = np.stack(logits).astype(np.float64)
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def write(
    path: Path, task: Task, protocol: Protocol, probabilities: Mapping[tuple[str, int], NDArray[np.float32]]
) -> None:
    """Writes the rows of `probabilities[mode, shots]`, each `[seeds, examples, classes]`."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for (mode, shots), values in probabilities.items():
            writer.write_table(_table(task, protocol.seeds, mode, shots, values))


def read_correct(path: Path, protocol: Protocol) -> dict[str, NDArray[np.int8]]:
    """By mode, 1 where the prediction is right: `[shots, seeds, examples]`.

    Raises:
        DataError: if the file is missing or damaged, or a mode lacks a row of the protocol's grid.
    """
    columns = ["mode", "shots", "seed", "example_id", "label", "predicted_label"]
    try:
        table = pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"Expected predictions in '{path}'. Received: {error}; evaluate again.") from error
    modes = table["mode"].cast(pa.string()).to_numpy()
    shots, seeds, examples, labels, predicted = (table[name].to_numpy() for name in columns[1:])
    shape = (len(protocol.shots), len(protocol.seeds), len(np.unique(examples)))
    grid = np.array([(k, s, e) for k in protocol.shots for s in protocol.seeds for e in range(shape[2])], np.int64)
    found: dict[str, NDArray[np.int8]] = {}
    for mode in dict.fromkeys(modes.tolist()):
        rows = np.flatnonzero(modes == mode)
        rows = rows[np.lexsort((examples[rows], seeds[rows], shots[rows]))]
        keys = np.stack([shots[rows], seeds[rows], examples[rows]], axis=1)
        if not np.array_equal(keys, grid):
            raise DataError(
                f"Expected a prediction of '{mode}' for each shots, seed and example in '{path}'. Received: "
                f"{len(rows)} rows that are not this grid; evaluate again."
            )
        found[mode] = (predicted[rows] == labels[rows]).astype(np.int8).reshape(shape)
    return found


def _table(task: Task, seeds: Sequence[int], mode: str, shots: int, probabilities: NDArray[np.float32]) -> pa.Table:
    models, examples, classes = probabilities.shape
    flat = pa.array(np.ascontiguousarray(probabilities).reshape(-1))
    offsets = pa.array(np.arange(0, models * examples * classes + 1, classes, dtype=np.int32))
    rows = models * examples
    arrays = [
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([task.name])),
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([mode])),
        pa.array(np.full(rows, shots, np.int64)),
        pa.array(np.repeat(np.array(seeds, np.int64), examples)),
        pa.array(np.tile(np.arange(examples, dtype=np.int64), models)),
        pa.array(np.tile(task.test_y, models)),
        pa.array(probabilities.argmax(axis=-1).astype(np.int64).reshape(-1)),
        pa.ListArray.from_arrays(offsets, flat),
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
