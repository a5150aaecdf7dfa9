"""Data of each form as a newcomer has them: five classes of pictures, of texts, of rows, of records."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from piecehub.examples.records import write_records
from pipelines.starting.looked import Looked
from pipelines.starting.pictures import look_at_images
from pipelines.starting.records import look_at_records
from pipelines.starting.tables import look_at_table
from pipelines.starting.texts import look_at_texts

WORDS = {"apple": "sweet red round", "boat": "sea sail wind", "car": "road wheel fast", "door": "wood handle key"}
WORDS |= {"egg": "hen shell white"}


def pictures(folder: Path, mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Path:
    """A folder a class of 20 pictures, brighter from class to class; `size` is width and height."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(WORDS):
        (folder / name).mkdir(parents=True)
        for n in range(20):
            pixels = np.clip(rng.normal(40 * number, 20, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{n}.png")
    return folder


def texts(folder: Path) -> Path:
    """A folder a class of 20 texts, with words of their own."""
    rng = np.random.default_rng(0)
    for name, words in WORDS.items():
        (folder / name).mkdir(parents=True)
        for n in range(20):
            text = " ".join([*rng.choice([*words.split(), "and", "the"], 8), str(n)])
            (folder / name / f"{n}.txt").write_text(text, "utf-8")
    return folder


def table(file: Path, kind: str = "classes") -> Path:
    """120 rows with a number of the row, values that are missing, and words; their label is a class or a value."""
    rng = np.random.default_rng(0)
    lines = ["row id,mass (g),length,wings?,colour,kind"]
    for n in range(120):
        name = list(WORDS)[n % 5]
        mass = "" if n % 7 == 0 else f"{100 * (n % 5) + rng.normal():.2f}"
        label = name if kind == "classes" else f"{3.5 * (n % 5) + rng.normal():.3f}"
        lines.append(f"{n},{mass},{rng.normal():.6f},{['yes', 'no', 'NA'][n % 3]},{['red', 'blue'][n % 2]},{label}")
    file.write_text("\n".join(lines), "utf-8")
    return file


def records(folder: Path) -> Path:
    """120 records in two files: pixels, a size, a label, and tokens that are none to three."""
    rng = np.random.default_rng(0)
    rows: Iterator[dict[str, Any]] = (
        {"pixels": rng.random(16) + n % 5, "size": n % 3, "label": n % 5, "tokens": ["a"] * (n % 4)} for n in range(120)
    )
    write_records(folder, rows, shards=2)
    return folder


LOOKERS = {"images": look_at_images, "text": look_at_texts, "csv": look_at_table, "tfrecord": look_at_records}


def made(form: str, folder: Path) -> Path:
    """Data of a form, made in a folder (a table beside it)."""
    makers = {"images": pictures, "text": texts, "tfrecord": records}
    return table(folder.with_suffix(".csv")) if form == "csv" else makers[form](folder)


def looked_at(form: str, folder: Path) -> Looked:
    """The same, and what is found in them."""
    return LOOKERS[form](made(form, folder))


def kinds_in(records: Path) -> dict[str, str]:
    """By feature, the type that the records below a folder have, as a schema calls it; several are joined."""
    called = {"bytes_list": "BYTES", "float_list": "FLOAT", "int64_list": "INT"}
    found = defaultdict[str, set[str]](set)
    for record in tf.data.TFRecordDataset([str(file) for file in records.rglob("*.tfrecord*")]).as_numpy_iterator():
        for name, feature in tf.train.Example.FromString(record).features.feature.items():
            found[name].add(called[feature.WhichOneof("kind")])
    return {name: " or ".join(kinds) for name, kinds in found.items()}


def kinds_told(recipe: Path) -> dict[str, str]:
    """By feature, the type that a recipe's schema gives."""
    text = (recipe / "schema.pbtxt").read_text("utf-8")
    return dict(re.findall(r'name: "(.+)"\n +type: (\w+)', text))
