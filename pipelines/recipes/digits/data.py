"""Real handwritten digits that scikit-learn carries: 1,797 grey images, 8x8, values 0 to 16.

Upstream: the digits 0-4, each turned by 4 rotations and 2 flips, 40 classes (digit x 8 views). The plain 5-class task
transfers nothing. Downstream: the digits 5-9 as they are, labels 0-4. No image is in both.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from piecehub import write_records

UPSTREAM_DIGITS = 5
VIEWS = 8


def write(folder: Path, *, eval_fraction: float, test_fraction: float, seed: int) -> None:
    """Writes the splits `upstream/{train,eval}` and `digits-5-9/{pool,test}` as TFRecords of tf.Example."""
    digits = cast(Bunch, load_digits())
    images = digits.images.astype(np.float32)[..., None]  # [1797, 8, 8, 1], 0 to 16
    labels = digits.target.astype(np.int64)
    early = labels < UPSTREAM_DIGITS
    splits = {
        "upstream": (images[early], labels[early], ("train", "eval"), eval_fraction),
        "digits-5-9": (images[~early], labels[~early] - UPSTREAM_DIGITS, ("pool", "test"), test_fraction),
    }
    for part, (x, y, names, fraction) in splits.items():
        # Split before turning: all views of an image stay on one side.
        halves = train_test_split(np.arange(len(y)), test_size=fraction, stratify=y, random_state=seed)
        for name, rows in zip(names, halves, strict=True):
            examples = views(x[rows], y[rows]) if part == "upstream" else plain(x[rows], y[rows])
            write_records(folder / part / name, examples, shards=2)


def views(images: np.ndarray, labels: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """Every image in its 8 views, labelled digit * 8 + view."""
    for image, label in zip(images, labels, strict=True):
        for view in range(VIEWS):
            turned = np.rot90(image, k=view % 4)
            yield {
                "image": np.fliplr(turned) if view >= 4 else turned,
                "label": np.asarray(label * VIEWS + view, np.int64),
            }


def plain(images: np.ndarray, labels: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """Every image as it is."""
    for image, label in zip(images, labels, strict=True):
        yield {"image": image, "label": np.asarray(label, np.int64)}
