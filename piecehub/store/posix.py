"""A store in a folder of this machine, or on NFS.

`create` is link(2): atomic, and it fails if the name is taken. Bytes and names are synced before anything can refer
to them; staging lies in `tmp/`, since a link cannot leave its file system.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from piecehub.errors import StoreError
from piecehub.store import disk
from piecehub.store.backend import Entry

_BLOCK_BYTES = 1 << 19
_NO_SUCH_FILE = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True)
class PosixBackend:
    """The objects of a store are the files below `root`."""

    root: Path

    @property
    def uri(self) -> str:
        """The folder."""
        return str(self.root)

    def create(self, key: str, data: bytes) -> bool:
        """Links a synced file to its name."""
        with self.staging() as staging:
            draft = staging / "draft"
            disk.write_synced(draft, data)
            return disk.link_new(draft, self._path(key), self.root)

    def put(self, key: str, source: Path) -> None:
        """Renames a second name of the synced file, so that a publisher can put it again."""
        with disk.writing_to(self.root):
            disk.sync(source)
            twin = source.with_name(f"{source.name}.twin")
            twin.hardlink_to(source)
            disk.move_synced(twin, self._path(key), self.root)
            twin.unlink(missing_ok=True)  # rename(2) does nothing if both names are of one file

    def read(self, key: str) -> bytes | None:
        """The file's bytes."""
        with disk.reading_from(self.root):
            try:
                return self._path(key).read_bytes()
            except (*_NO_SUCH_FILE, IsADirectoryError):
                return None

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The file's bytes, half a MiB at a time."""
        with disk.reading_from(self.root):
            try:
                file = self._path(key).open("rb")
            except _NO_SUCH_FILE as error:
                raise StoreError(f"Expected the object '{key}'. Received: none; the store is damaged.") from error
            with file:
                left = file.seek(0, os.SEEK_END) if end is None else end
                left -= file.seek(start)
                while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
                    left -= len(block)
                    yield block

    def stat(self, key: str) -> Entry | None:
        """Size and time of the file."""
        return self._entry(self._path(key))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """The regular files, without following links."""
        for folder, _, names in os.walk(self._path(prefix) if prefix else self.root):
            for name in names:
                if (entry := self._entry(Path(folder, name))) is not None:
                    yield entry

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Folders, and links to them."""
        with disk.reading_from(self.root):
            try:
                found = [path.name for path in self._path(prefix or ".").iterdir() if path.is_dir()]
            except _NO_SUCH_FILE:
                found = []
        return tuple(sorted(found))

    def move(self, key: str, target: str) -> bool:
        """Renames; the file counts as new from then on, as a copy in a bucket does."""
        with disk.writing_to(self.root):
            try:
                os.utime(self._path(key))
                disk.move_synced(self._path(key), self._path(target), self.root)
            except FileNotFoundError:
                return False
        return True

    def delete(self, key: str) -> None:
        """Unlinks the file."""
        with disk.writing_to(self.root):
            disk.remove(self._path(key))

    def local_path(self, key: str) -> Path | None:
        """The file itself."""
        return self._path(key)

    @contextmanager
    def staging(self) -> Generator[Path, None, None]:
        """A folder below `tmp/`."""
        with disk.writing_to(self.root), disk.staging(self.root) as folder:
            yield folder

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*key.split("/"))

    def _entry(self, path: Path) -> Entry | None:
        try:
            found = path.stat()
        except _NO_SUCH_FILE:
            return None
        if not path.is_file():
            return None
        modified = datetime.fromtimestamp(found.st_mtime, UTC)
        return Entry(path.relative_to(self.root).as_posix(), found.st_size, modified)
