"""Real measurements of cell nuclei that scikit-learn carries: 569 fine-needle aspirates of breast masses (Wisconsin).

For each of ten properties of the nuclei of an image there are the mean, its standard error, and the "worst": the mean
of the three largest. The piece is given four properties of the surface and form: texture, smoothness, symmetry and
fractal dimension. Upstream learns from them, without any diagnosis, to say five of the others: radius, perimeter, area,
compactness and concavity. Downstream, on other patients, it is still given the four only:

    diagnosis        malignant (0) or benign (1)
    concave-points   the worst of the tenth property, which upstream never saw
    shuffled         the diagnoses in another order: nothing can help there, which is what a negative control is for
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from piecehub import write_records

PROPERTIES = 10


def columns(*properties: int) -> list[int]:
    """Where the means, then the errors, then the worst of some properties stand in a row."""
    return [PROPERTIES * group + number for group in range(3) for number in properties]


MEASUREMENTS = columns(1, 4, 8, 9)
OTHERS = columns(0, 2, 3, 5, 6)
CONCAVE_POINTS = columns(7)[-1]  # the worst of them


def write(folder: Path, *, test_fraction: float, pool_fraction: float, eval_fraction: float, seed: int) -> None:
    """Writes `upstream/{train,eval}` and, for each downstream task, `{pool,test}` as TFRecords of tf.Example.

    Args:
        folder: where to.
        test_fraction: of all patients, those to score on.
        pool_fraction: of the others, those to draw from downstream; the rest is upstream.
        eval_fraction: of upstream, those that are kept for evaluation.
        seed: fixes who is where, and the order of the shuffled diagnoses.
    """
    cells = cast(Bunch, load_breast_cancer())
    rows, diagnoses = cells.data.astype(np.float32), cells.target.astype(np.int64)
    rest, test = _halves(np.arange(len(rows)), diagnoses, test_fraction, seed)
    upstream, pool = _halves(rest, diagnoses, pool_fraction, seed)
    train, held_out = _halves(upstream, diagnoses, eval_fraction, seed)
    for split, chosen in (("train", train), ("eval", held_out)):
        write_records(folder / "upstream" / split, _pairs(rows[chosen], rows[train]), shards=1)
    for split, chosen in (("pool", pool), ("test", test)):
        labels = {
            "diagnosis": diagnoses[chosen],
            "concave-points": rows[chosen, CONCAVE_POINTS],
            "shuffled": np.random.default_rng(seed).permutation(diagnoses[chosen]),
        }
        for task, values in labels.items():
            write_records(folder / task / split, _labelled(rows[chosen], values), shards=1)


def _halves(patients: np.ndarray, diagnoses: np.ndarray, second: float, seed: int) -> list[Any]:
    """Two parts with the same share of malignant ones, which is all that upstream has of the diagnoses."""
    return train_test_split(patients, test_size=second, stratify=diagnoses[patients], random_state=seed)


def _pairs(rows: np.ndarray, train: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """The measurements as they are, and the others in deviations of those that are trained on."""
    others = (rows[:, OTHERS] - train[:, OTHERS].mean(axis=0)) / train[:, OTHERS].std(axis=0)
    for row, other in zip(rows, others, strict=True):
        yield {"measurements": row[MEASUREMENTS], "others": other}


def _labelled(rows: np.ndarray, labels: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for row, label in zip(rows, labels, strict=True):
        yield {"measurements": row[MEASUREMENTS], "label": np.asarray(label)}
