"""The examples of this recipe: TFRecords of tf.Example that were there before.

`write` is called once, and again when this file, its arguments in `recipe.toml` or a file of SOURCE changes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from piecehub import images, write_splits
from piecehub.errors import DataError

# The feature that is the label, and those that become features of this recipe, by what they are called in the records.
LABEL = "label"
FEATURES = {"picture": "picture"}
# Whether the label is a class; else it is a value.
CLASSES = True
# Of pictures, the shorter side, in pixels, that those twice as large or larger are brought to: each epoch decodes them.
# 0 where there are none.
KEPT = 256


def write(folder: Path, *, source: str, task: str, held_out: Sequence[Any] = (), upstream: bool = True) -> None:
    """Writes `upstream/{train,eval}` and `<task>/{pool,test}`, and says what was left out.

    Args:
        folder: where to.
        source: a TFRecord file, or a folder with some, gzipped or not.
        task: the name of the downstream task.
        held_out: the classes that make it; the model is trained on all others. None: the task has all classes, but
            records of its own.
        upstream: whether there is anything to train on; else all records are the task's.
    """
    print(
        write_splits(folder, examples(Path(source)), task=task, held_out=held_out, classes=CLASSES, upstream=upstream)
    )


def examples(source: Path) -> Iterator[dict[str, Any]]:
    """Each record that has a label, with what is not missing in it; without those whose picture cannot be read."""
    for file in files(source):
        for number, record in enumerate(records(file)):
            found = values(record)
            if found.get(LABEL):
                label = found[LABEL][0] if CLASSES else float(found[LABEL][0])
                try:
                    features = {new: as_feature(new, found[old]) for old, new in FEATURES.items() if found.get(old)}
                except DataError as error:
                    print(f"left out: record {number} of {file}: {error.sentence}")
                    continue
                yield {"label": label, **features}


def as_feature(name: str, given: list[Any]) -> list[Any]:
    """What `schema.pbtxt` says of a feature: a picture, other bytes, or floats, whole numbers too.

    Raises:
        DataError: if it is a picture that cannot be read.
    """
    if KEPT and name == "picture":
        return [images.shrink(file, KEPT) for file in given]
    return [float(value) if isinstance(value, int) else value for value in given]


def files(source: Path) -> list[Path]:
    """The files of records, sorted: those that are called so, or, where none is, all but hidden ones."""
    if source.is_file():
        return [source]
    hidden = (".", "_")
    found = [file for file in sorted(source.rglob("*")) if file.is_file() and not file.name.startswith(hidden)]
    return [file for file in found if "tfrec" in file.name.lower()] or found


def records(file: Path) -> Iterator[bytes]:
    """The records of a file, as they are."""
    with file.open("rb") as opened:
        compression = "GZIP" if opened.read(2) == b"\x1f\x8b" else ""
    dataset: Any = tf.data.TFRecordDataset(str(file), compression)
    yield from dataset.as_numpy_iterator()


def values(record: bytes) -> dict[str, list[Any]]:
    """What a record holds, by feature: bytes, integers or floats.

    Raises:
        DecodeError: if it is no tf.Example; in a tf.SequenceExample, the sequences are a field that is unknown there.
    """
    example = tf.train.Example.FromString(record)
    if len(UnknownFieldSet(example)):
        raise DecodeError("another message, a tf.SequenceExample perhaps")
    features = example.features.feature
    return {name: list(getattr(one, one.WhichOneof("kind") or "int64_list").value) for name, one in features.items()}
