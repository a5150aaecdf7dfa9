"""Looks at a folder of pictures, one folder a class."""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from piecehub import images
from piecehub.errors import DataError
from pipelines.starting.looked import Differing, Feature, Looked, evenly, left_out, splits_of, template, what_lies_in

_SAMPLE = 200
# Enough to tell most things apart by, and decoded in no time.
_LARGEST = 96


def look_at_images(source: Path) -> Looked:
    """What lies below `source`: classes, sizes, colours.

    Raises:
        DataError: if there are no folders with pictures, or some of them are called like splits.
    """
    reader = template("images_folder")
    found = list(reader.pictures(source)) if source.is_dir() else []
    differing = _differing(found)
    counts = differing.counts
    if not counts:
        raise DataError(
            f"Expected a folder with a folder of pictures ({', '.join(reader.ENDINGS)}) for each class. "
            f"Received: '{source}', {what_lies_in(source)}; sort them so, or save them as one of these."
        )
    splits = splits_of(reader, source, list(counts))
    notes = [f"{len(found):,} pictures of {len(counts)} classes, the folders' names.", *differing.notes, *splits]
    notes += left_out(source, reader.ENDINGS)
    return pictures_of(source, "images_folder", counts, [file for file, _ in found], notes)


def pictures_of(
    source: Path,
    data: str,
    counts: Mapping[Any, int],
    files: Sequence[Path | bytes],
    notes: Sequence[str],
    constants: Mapping[str, Mapping[str, Any]] | None = None,
) -> Looked:
    """What was found, of pictures of whatever carrier.

    Args:
        source: where they lie.
        data: the template that reads them.
        counts: of each class.
        files: of the pictures, of which some are looked at: the network takes the median of their shorter sides, or
            less, and of grey ones grey.
        notes: what was guessed of the data.
        constants: of the templates, but for the network's.

    Raises:
        DataError: if none of those that are looked at can be read.
    """
    sizes, grey, broken = _sampled(files)
    if broken:
        looked_at = broken + len(sizes)
        notes = [*notes, f"{broken} of {looked_at} that were looked at cannot be read; such are left out, and named."]
    shortest = round(median(min(size) for size in sizes))
    side, channels = min(_LARGEST, shortest), 1 if grey else 3
    larger = f", made smaller from a median of {shortest} pixels" if shortest > side else ""
    if any(min(size) >= 2 * template(data).KEPT for size in sizes):
        notes = [*notes, "Large ones are made smaller once, when records are written: KEPT of data.py."]
    what, colours = ("grey", "grey") if grey else ("coloured", "colours")
    return Looked(
        source=source,
        data=data,
        model="pictures",
        features=(Feature("picture", "BYTES"),),
        counts=counts,
        description=f"A small convolutional network for {what} pictures of {side} x {side} pixels. It takes float32 "
        "images with values in [0, 1].",
        hub_tasks=("image-others",) if grey else ("image-feature-vector",),
        arguments={"widths": [24, 48, 96]},
        constants={**(constants or {}), "pictures": {"SIDE, CHANNELS": (side, channels)}},
        notes=tuple(notes),
        network=(f"The model takes {side} x {side} pixels{larger}, in {colours}: SIDE, CHANNELS.",),
        side=shortest,
    )


def _differing(found: Sequence[tuple[Path, str]]) -> Differing:
    """Of pictures, by their files: those alone of their size are read by nobody for it."""
    sizes = [file.stat().st_size for file, _ in found]
    often = Counter(sizes)
    differing = Differing()
    for (file, name), size in zip(found, sizes, strict=True):
        alone = often[size] == 1
        differing.add(name, file if alone else sha256(file.read_bytes()).digest())
    return differing


def _sampled(files: Sequence[Path | bytes]) -> tuple[list[tuple[int, int]], bool, int]:
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
        grey = grey and _is_grey(file if isinstance(file, bytes) else file.read_bytes())
    if not sizes:
        raise DataError(f"Expected pictures that can be read. Received: none among {broken}. {last}")
    return sizes, grey, broken


def _is_grey(contents: bytes) -> bool:
    """Whether a picture has no colours, but for what JPEG's rounding makes."""
    picture = np.asarray(images.read(contents, size=(32, 32)))
    return float(np.ptp(picture, axis=-1).max()) < 0.02
