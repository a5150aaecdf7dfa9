"""Real measurements of cell nuclei that scikit-learn carries: 569 fine-needle aspirates of breast masses (Wisconsin).

For each of ten properties (radius, texture, …) of the nuclei of an image there are the mean, its standard error, and
the "worst": the mean of the three largest. Upstream learns, without any diagnosis, what the worst of nine properties
are from the means and errors of ten. Downstream, on other patients:

    concavity   the worst of the tenth property, a value that upstream never saw
    diagnosis   malignant (0) or benign (1)
    shuffled    the diagnoses in another order: nothing can help there, which is what a negative control is for
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from piecehub.modeling.records import write_records

PROPERTIES = 10
MEASUREMENTS = 2 * PROPERTIES  # mean and standard error of each
CONCAVITY = MEASUREMENTS + 6  # the column of the worst one


def write(folder: Path, *, upstream_fraction: float, test_fraction: float, eval_fraction: float, seed: int) -> None:
    """Writes `upstream/{train,eval}` and, for each downstream task, `{pool,test}` as TFRecords of tf.Example."""
    cells = cast(Bunch, load_breast_cancer())
    rows, diagnoses = cells.data.astype(np.float32), cells.target.astype(np.int64)
    upstream, others = _halves(np.arange(len(rows)), 1 - upstream_fraction, seed)
    for split, chosen in zip(("train", "eval"), _halves(upstream, eval_fraction, seed), strict=True):
        write_records(folder / "upstream" / split, _pairs(rows[chosen]), shards=1)
    labels = {
        "diagnosis": diagnoses,
        "concavity": rows[:, CONCAVITY],
        "shuffled": np.random.default_rng(seed).permutation(diagnoses),
    }
    for split, chosen in zip(("pool", "test"), _halves(others, test_fraction, seed), strict=True):
        for task, values in labels.items():
            write_records(folder / task / split, _labelled(rows[chosen], values[chosen]), shards=1)


def _halves(rows: np.ndarray, second: float, seed: int) -> list[Any]:
    """Two parts, drawn without a look at any label."""
    return train_test_split(rows, test_size=second, random_state=seed)


def _pairs(rows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for row in rows:
        yield {"measurements": row[:MEASUREMENTS], "worst": np.delete(row, CONCAVITY)[MEASUREMENTS:]}


def _labelled(rows: np.ndarray, labels: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for row, label in zip(rows, labels, strict=True):
        yield {"measurements": row[:MEASUREMENTS], "label": np.asarray(label)}
