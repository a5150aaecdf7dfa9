"""Where the records of a split lie, in two layouts that are read alike.

    <uri>/Split-<split>/*     an Examples artifact of TFX
    <uri>/<split>/*           as a recipe writes them

Every file in such a folder counts as records, whatever it is called, but those whose names begin with `.` or `_`. A
gzipped file has a name that ends with `.gz`, and no other has, for by that Beam knows it.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from piecehub.errors import DataError

_PREFIX = "Split-"


def split_folder(uri: str, split: str) -> str:
    """Where a split lies in an Examples artifact of TFX."""
    return f"{uri}/{_PREFIX}{split}"


def split_names(uri: str) -> list[str]:
    """The splits below `uri`, sorted; raises DataError if there are none."""
    folders = _names(uri)
    names = [name.removeprefix(_PREFIX) for name in folders if name.startswith(_PREFIX)]
    names = names or [name for name in folders if record_files(f"{uri}/{name}")]
    if not names:
        raise DataError(f"Expected splits of examples. Received: none in {uri}; check the data's folder.")
    return names


def split_files(uri: str, split: str) -> list[str]:
    """The files of a split in either layout, sorted; none if there is no such split."""
    return record_files(split_folder(uri, split)) or record_files(f"{uri}/{split}")


def record_files(folder: str) -> list[str]:
    """The files in the folder of a split that count as records, sorted; none if there is no such folder."""
    paths = [f"{folder}/{name}" for name in _names(folder)]
    return [path for path in paths if not tf.io.gfile.isdir(path)]


def input_fingerprint(uri: str, splits: Sequence[str]) -> str:
    """What tells that somebody changed records, without reading one: a hex sha256 of names, sizes and times of files.

    So does TFX's ExampleGen tell it (`input_fingerprint`).
    """
    digest = hashlib.sha256()
    for split in splits:
        for path in split_files(uri, split):
            found = Path(path).stat()
            digest.update(f"{split}\t{Path(path).name}\t{found.st_size}\t{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _names(folder: str) -> list[str]:
    """What lies in a folder, sorted, without what is hidden. No glob: a folder's name may have brackets in it."""
    found = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
    return sorted(name.rstrip("/") for name in found if not name.startswith((".", "_")))
