"""Writing a folder so that it is there whole or not at all: written beside, then renamed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from piecehub.errors import RecipeError, telling_no_space


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `folder` when the block ends well, and is removed otherwise.

    `folder` may exist if it is empty, as TFX makes the folder of an output before the component runs.

    Raises:
        RecipeError: if something lies in it.
        NoSpace: if the disk is full.
    """
    refuse_taken(folder)
    with telling_no_space(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            yield beside
            beside.chmod(0o755)
            beside.replace(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def refuse_taken(folder: Path) -> None:
    """Raises RecipeError if `folder` is something else than an empty folder, or nothing."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        what = "which holds something" if folder.is_dir() else "which is no folder"
        raise RecipeError(
            f"Expected a new or empty folder to write to. Received: '{folder}', {what}; name another one, or move it."
        )
