"""Paths as TensorFlow can take them: it looks for a checkpoint, and so for a SavedModel's, by a pattern.

A checkpoint in a folder `run[1]` is looked for in `run1`, and not found if there is none. So where a path has a
character of patterns in it, TensorFlow gets a link without one.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SPECIAL = re.compile(r"[\[*?\\]")


def linked(folder: Path, link: Path) -> Path:
    """`folder`, or, if TensorFlow would take its path for a pattern, a link to it that is made at `link`."""
    if not _SPECIAL.search(str(folder.absolute())):
        return folder
    link.symlink_to(folder.absolute(), target_is_directory=True)
    return link


@contextmanager
def literal_prefix(prefix: Path) -> Iterator[str]:
    """The prefix of a TensorFlow checkpoint, as it is read."""
    if not _SPECIAL.search(str(prefix.absolute())):
        yield str(prefix)
        return
    with tempfile.TemporaryDirectory(prefix="piecehub-") as folder:
        for file in checkpoint_files(prefix):
            Path(folder, f"checkpoint{file.name.removeprefix(prefix.name)}").symlink_to(file.absolute())
        yield f"{folder}/checkpoint"


def checkpoint_files(prefix: Path) -> list[Path]:
    """The files of the TensorFlow checkpoint of that prefix, sorted; none if there is none."""
    found = prefix.parent.iterdir() if prefix.parent.is_dir() else ()
    return sorted(path for path in found if path.name.startswith(f"{prefix.name}.") and path.is_file())
