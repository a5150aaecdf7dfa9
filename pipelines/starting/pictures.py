"""Looks at a folder of pictures, one folder a class."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from piecehub import images
from piecehub.errors import DataError
from pipelines.starting.looked import Feature, Looked, evenly, template

_SAMPLE = 200
# A network for a first run takes minutes on pictures of this size, and hours on four times as many pixels.
LARGEST = 96
_PARTS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}


def look_at_images(source: Path) -> Looked:
    """What lies below `source`: classes, sizes, colours.

    Raises:
        DataError: if there are no folders with pictures, or they are called like splits.
    """
    reader = template("images_folder")
    found = list(reader.pictures(source)) if source.is_dir() else []
    counts = Counter(name for _, name in found)
    if not counts:
        raise DataError(
            f"Expected a folder with a folder of pictures ({', '.join(reader.ENDINGS)}) for each class. "
            f"Received: '{source}' without any; sort them so."
        )
    if parts := sorted(name for name in counts if name.lower() in _PARTS):
        raise DataError(
            f"Expected one folder a class. Received: '{parts[0]}', which is called like a split; name one of the "
            "splits as the PATH, or put the pictures of each class together: the recipe makes splits of its own."
        )
    sizes, grey, broken = _sampled([file for file, _ in found])
    shortest = round(median(min(size) for size in sizes))
    side, channels = min(LARGEST, shortest), 1 if grey else 3
    notes = [f"{sum(counts.values()):,} pictures of {len(counts)} classes, the folders' names."]
    if broken:
        notes.append(f"{broken} of {_SAMPLE} that were looked at cannot be read; such are left out, and named.")
    larger = f", made smaller from a median of {shortest} pixels" if shortest > side else ""
    network = f"The model takes {side} x {side} pixels{larger}, in {'grey' if grey else 'colours'}: SIDE, CHANNELS."
    return pictures_of(source, "images_folder", counts, (side, channels), tuple(notes), network)


def pictures_of(
    source: Path,
    data: str,
    counts: Mapping[Any, int],
    taken: tuple[int, int],
    notes: tuple[str, ...],
    network: str,
    constants: Mapping[str, Mapping[str, Any]] | None = None,
) -> Looked:
    """What was found, of pictures of whatever carrier.

    Args:
        source: where they lie.
        data: the template that reads them.
        counts: of each class.
        taken: the side in pixels and the channels of what the network takes.
        notes: what was guessed of the data.
        network: what the network takes, as a sentence.
        constants: of the templates, but for the network's.
    """
    side, channels = taken
    what = "grey" if channels == 1 else "coloured"
    return Looked(
        source=source,
        data=data,
        model="pictures",
        features=(Feature("picture", "BYTES"),),
        counts=counts,
        description=f"A small convolutional network for {what} pictures of {side} x {side} pixels. It takes float32 "
        "images with values in [0, 1].",
        hub_tasks=("image-others",) if channels == 1 else ("image-feature-vector",),
        arguments={"widths": [32, 64, 128]},
        constants={**(constants or {}), "pictures": {"SIDE, CHANNELS": taken}},
        notes=notes,
        network=(network,),
    )


def _sampled(files: list[Path]) -> tuple[list[tuple[int, int]], bool, int]:
    """Height and width of some, whether these are all grey, and how many cannot be read.

    Raises:
        DataError: if none can.
    """
    sizes: list[tuple[int, int]] = []
    grey, broken, last = True, 0, ""
    for file in evenly(files, _SAMPLE):
        try:
            about = images.check(file)
        except DataError as error:
            broken, last = broken + 1, error.sentence
            continue
        sizes.append((about.height, about.width))
        grey = grey and is_grey(file.read_bytes())
    if not sizes:
        raise DataError(f"Expected pictures that can be read. Received: none among {broken}. {last}")
    return sizes, grey, broken


def is_grey(contents: bytes) -> bool:
    """Whether a picture has no colours, but for what JPEG's rounding makes."""
    picture = np.asarray(images.read(contents, size=(32, 32)))
    return float(np.ptp(picture, axis=-1).max()) < 0.02
