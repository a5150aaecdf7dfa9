"""Scenes with drawings of OpenMoji, as JPEG: real files of some 3 kB, which the model's `decode` reads.

A scene shows one drawing, scaled, turned, in other hues, on a ground made by chance, half of them with something before
it. Upstream asks which of 800 drawings it is; downstream which of 40 others, none of which upstream has seen, nor one
that looks like it.

Equal arguments give equal bytes, with the packages of the lock file.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from piecehub import write_records

from .drawings import Drawing, choose
from .scenes import scene

Example = dict[str, Any]


def write(
    folder: Path,
    *,
    drawings: int,
    train_per_drawing: int,
    eval_per_drawing: int,
    classes: int,
    pool_per_class: int,
    test_per_class: int,
    seed: int,
) -> None:
    """Writes `upstream/{train,eval}` and `unseen-drawings/{pool,test}` as TFRecords of `jpeg` and `label`.

    Args:
        folder: where to.
        drawings: how many there are upstream.
        train_per_drawing: scenes of each of them to train on.
        eval_per_drawing: and to evaluate on.
        classes: how many drawings there are downstream.
        pool_per_class: scenes of each of those to draw shots from, and for validation.
        test_per_class: and to score on.
        seed: fixes which drawings are where, and every scene.

    Raises:
        DataError: if there are fewer drawings.
    """
    chosen = choose(classes + drawings, seed)
    downstream, upstream = chosen[:classes], chosen[classes:]
    splits = {
        "upstream/train": (upstream, train_per_drawing),
        "upstream/eval": (upstream, eval_per_drawing),
        "unseen-drawings/pool": (downstream, pool_per_class),
        "unseen-drawings/test": (downstream, test_per_class),
    }
    for split, (shown, count) in splits.items():
        write_records(folder / split, examples(shown, split, count, seed), shards=2)


def examples(drawings: Sequence[Drawing], split: str, count: int, seed: int) -> Iterator[Example]:
    """`count` scenes of each drawing, labelled by its number. A scene hangs on seed, drawing, split and number only."""
    for number in range(count):
        for label, drawing in enumerate(drawings):
            rng = np.random.default_rng([seed, crc32(f"{drawing.code} {split}".encode()), number])
            yield {"jpeg": scene(drawing.picture, rng), "label": label}
