"""Examples of each kind of feature, of three classes that can be told apart."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub import write_records


def write(folder: Path, *, examples: int, kinds: list[str]) -> None:
    """Writes upstream and one task, `examples` in each split, with features of these kinds."""
    rng = np.random.default_rng(0)
    for part, splits in (("upstream", ("train", "eval")), ("task", ("pool", "test"))):
        for split in splits:
            rows = (_row(rng, n % 3) for n in range(examples))
            write_records(folder / part / split, (_chosen(row, kinds) for row in rows), shards=2)


def _chosen(row: dict[str, Any], kinds: list[str]) -> dict[str, Any]:
    names = {"label", *kinds, *(("at", "weight") if "bag" in kinds else ())}
    return {name: value for name, value in row.items() if name in names}


def _row(rng: np.random.Generator, label: int) -> dict[str, Any]:
    pixels = np.clip(rng.normal(60 + 60 * label, 20, (12, 12, 3)), 0, 255).astype(np.uint8)
    places = np.sort(rng.choice(10, rng.integers(0, 4), replace=False))
    row: dict[str, Any] = {
        "jpeg": tf.io.encode_jpeg(pixels).numpy(),
        "tokens": [f"w{label}{rng.integers(5)}" for _ in range(rng.integers(0, 4))],
        "at": places,
        "weight": rng.random(len(places)).astype(np.float32),
        "raw": bytes(rng.integers(0, 3, int(rng.integers(1, 9))).tolist()),
        "label": label,
    }
    return row if rng.random() < 0.3 else {**row, "age": np.float32(label + rng.random())}
