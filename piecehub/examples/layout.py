"""Where the records of a split lie, in two layouts that are read alike.

    <uri>/Split-<split>/*     an Examples artifact of TFX
    <uri>/<split>/*           as a recipe writes them

Every file in such a folder counts as records, whatever it is called, but those whose names begin with `.` or `_`. A
gzipped file has a name that ends with `.gz`, and no other has, for by that Beam knows it. Light.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from piecehub.errors import DataError

_PREFIX = "Split-"


def split_folder(uri: str, split: str) -> str:
    """Where a split lies in an Examples artifact of TFX."""
    return f"{uri}/{_PREFIX}{split}"


def split_folders(uri: str, split: str) -> tuple[str, str]:
    """Where a split may lie; the first that has records has them all."""
    return split_folder(uri, split), f"{uri}/{split}"


def counts_as_records(name: str) -> bool:
    """Whether a file of that name does."""
    return not name.startswith((".", "_"))


def split_names(uri: str) -> list[str]:
    """The splits below `uri`, sorted; raises DataError if there are none."""
    folders = [path.name for path in _seen(uri)]
    names = [name.removeprefix(_PREFIX) for name in folders if name.startswith(_PREFIX)]
    names = names or [name for name in folders if record_files(f"{uri}/{name}")]
    if not names:
        raise DataError(f"Expected splits of examples. Received: none in {uri}; check the data's folder.")
    return names


def split_files(uri: str, split: str) -> list[str]:
    """The files of a split in either layout, sorted; none if there is no such split."""
    first, second = split_folders(uri, split)
    return record_files(first) or record_files(second)


def record_files(folder: str) -> list[str]:
    """The files in the folder of a split that count as records, sorted; none if there is no such folder."""
    return [f"{folder}/{path.name}" for path in _seen(folder) if not path.is_dir()]


def fingerprint(files: Iterable[tuple[str, str, int, str]]) -> str:
    """What tells that somebody changed records, without reading one: a hex sha256.

    Of each file it takes the split, name and size, and what changes with its bytes.
    """
    digest = hashlib.sha256()
    for file in files:
        digest.update(("\t".join(map(str, file)) + "\n").encode())
    return digest.hexdigest()


def _seen(folder: str) -> list[Path]:
    """What lies in a folder, sorted, without what is hidden. No glob: a folder's name may have brackets in it."""
    found = Path(folder).iterdir() if Path(folder).is_dir() else []
    return sorted(path for path in found if counts_as_records(path.name))
