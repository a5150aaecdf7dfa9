"""A folder of files that come whole, and go when nobody wrote them in the last run.

A file is written beside its place and renamed; a reader sees the old one, the new one or none, never a part. Nothing
is synced: what a power failure takes, the next export writes again.
"""

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from piecehub.errors import EnvironmentProblem, StoreError, no_space
from piecehub.facts.content import sha256_file

_LOCK = ".lock"
_MODE = 0o644
_DRAFT = re.compile(r"\.[0-9a-f]{32}")


class ExportTree:
    """The folder of an export, and what this run put there.

    Attributes:
        root: the folder.
        written: how many files this run had to write or link.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written = 0
        self._kept: set[Path] = {root / _LOCK}
        self._sources: dict[str, Path] = {}  # digest → a file of this run, found right

    def read(self, path: str) -> bytes | None:
        """What stands there."""
        target = self.root / path
        return target.read_bytes() if target.is_file() else None

    def is_empty(self) -> bool:
        """Whether nothing stands there but the lock, and what a killed export was about to write."""
        return all(entry.name == _LOCK or _DRAFT.fullmatch(entry.name) for entry in self.root.iterdir())

    def write(self, path: str, data: bytes) -> None:
        """Puts a small file there, if it is not there already."""
        target = self._target(path)
        if self.read(path) != data:
            self._replace(target, lambda draft: draft.write_bytes(data))

    def place(
        self, path: str, digest: str, own: Path | None, source: Callable[[], AbstractContextManager[Path]]
    ) -> None:
        """Puts a blob there: another name of the store's own file, or a copy; its bytes are compared with `digest`.

        Args:
            path: where.
            digest: of the blob.
            own: the store's file, if the store lies on this machine; another name of it is not read again.
            source: gives the blob as a file to read.

        Raises:
            StoreError: if its bytes are others; then it does not come to stand there.
        """
        target = self._target(path)
        known = self._sources.get(digest, own)
        if target.is_file() and (_is_one_file(target, known) or f"sha256:{sha256_file(target)}" == digest):
            self._sources.setdefault(digest, target)
            return
        if digest in self._sources:
            self._link(self._sources[digest], target)
            return
        with source() as file:
            found = f"sha256:{sha256_file(file)}"
            if found != digest:
                raise StoreError(f"Expected the bytes of {digest}. Received: {found}; run `piecehub store repair`.")
            self._link(file, target)
        self._sources[digest] = target

    def remove(self, path: str) -> None:
        """Takes a file away."""
        target = self.root / path
        self._kept.discard(target)
        with suppress(FileNotFoundError, NotADirectoryError):
            target.unlink()

    def prune(self) -> int:
        """Removes what this run did not put there, and folders that are empty then; returns how many files."""
        removed = 0
        for folder, _, names in os.walk(self.root, topdown=False):
            for name in names:
                path = Path(folder, name)
                if path not in self._kept:
                    path.unlink()
                    removed += 1
            if Path(folder) != self.root and not any(Path(folder).iterdir()):
                Path(folder).rmdir()
        return removed

    def _target(self, path: str) -> Path:
        target = self.root / path
        self._kept.add(target)
        return target

    def _link(self, source: Path, target: Path) -> None:
        self._replace(target, lambda draft: _link_or_copy(source, draft))

    def _replace(self, target: Path, write: Callable[[Path], object]) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{uuid.uuid4().hex}")
        try:
            write(draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)  # also where both were names of one file, for then rename(2) does nothing
        self.written += 1


@contextmanager
def exporting(root: Path) -> Generator[ExportTree, None, None]:
    """The tree at `root`, which nobody else writes meanwhile.

    Raises:
        EnvironmentProblem: if it cannot be written, or somebody else writes it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield ExportTree(root)
    except BlockingIOError as error:
        raise EnvironmentProblem(
            f"Expected to be the only export into '{root}'. Received: another one that is still at work; wait for it."
        ) from error
    except OSError as error:
        raise no_space(error, root) or EnvironmentProblem(
            f"Expected a folder that can be written. Received: '{root}' ({error.strerror or error}); mend its "
            "permissions, or give another --to."
        ) from error


def _is_one_file(target: Path, other: Path | None) -> bool:
    return other is not None and other.exists() and target.samefile(other)


def _link_or_copy(source: Path, draft: Path) -> None:
    try:
        draft.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, draft)
        draft.chmod(_MODE)
