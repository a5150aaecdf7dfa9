"""Writing that survives a crash: whole or not at all, and on the disk before anything refers to it.

POSIX gives three atomic steps, rename, link and mkdir; each is durable once the folder that holds the name is synced
(fsync(2)). No maintained library does the three together: obstore's LocalStore links but never syncs.
"""

import os
import shutil
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from piecehub.errors import EnvironmentProblem, no_space
from piecehub.facts.workdir import make_writable

STAGING_LIFETIME_S = 24 * 3600


@contextmanager
def writing_to(root: Path) -> Generator[None, None, None]:
    """Turns what the disk refuses into one EnvironmentProblem, of which a full one's is `NoSpace`."""
    try:
        yield
    except OSError as error:
        raise no_space(error, root) or EnvironmentProblem(
            f"Expected a store that can be written. Received: '{root}' ({error.strerror or error}); "
            "mend its permissions, or give another folder."
        ) from error


@contextmanager
def reading_from(root: Path) -> Generator[None, None, None]:
    """Turns what the disk refuses, such as a file of another user, into one EnvironmentProblem."""
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"Expected a store that can be read. Received: '{root}' ({error.strerror or error}); mend its permissions."
        ) from error


@contextmanager
def staging(root: Path) -> Generator[Path, None, None]:
    """A folder of one's own below `root/tmp`, gone at the end whatever happens.

    Raises:
        EnvironmentProblem: if it cannot be written.
    """
    sweep(root)
    folder = make_writable(root / "tmp" / uuid.uuid4().hex)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(root: Path) -> None:
    """Removes what killed publishers left in `root/tmp` more than 24 hours ago."""
    oldest = time.time() - STAGING_LIFETIME_S
    with suppress(OSError):  # another publisher sweeps too, or there is nothing yet
        for entry in (root / "tmp").iterdir():
            if entry.stat().st_mtime < oldest:
                shutil.rmtree(entry, ignore_errors=True)


def write_synced(path: Path, data: bytes) -> None:
    """Writes a new file, and waits until it is on the disk."""
    with path.open("xb") as file:
        file.write(data)
    sync(path)


def sync(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_synced(source: Path, target: Path, root: Path) -> None:
    """Renames a synced file to `target`; what stood there is replaced.

    `target` is named by its content, so replacing changes nothing, mends a damaged file, and renews its age for a
    sweep that removes old unreferenced blobs.
    """
    _make_synced(target.parent, root)
    source.replace(target)
    sync(target.parent)


def link_new(source: Path, target: Path, root: Path) -> bool:
    """Gives a synced file the name `target`; False if that name is taken: the one step that can have one winner."""
    _make_synced(target.parent, root)
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return False
    sync(target.parent)
    return True


def remove(path: Path) -> None:
    """Removes a file if it is there; its folder stays, since another writer may be about to use it."""
    with suppress(FileNotFoundError):
        path.unlink()
        sync(path.parent)


def _make_synced(folder: Path, root: Path) -> None:
    """Makes `folder` below `root`, and syncs the names on the way to it."""
    folder.mkdir(parents=True, exist_ok=True)
    while folder != root:
        folder = folder.parent
        sync(folder)
