"""Reads the members of an archive that nobody trusts.

The hub client keeps to paths below its folder, but knows no bounds: 2 MB of gzip became 2 GiB (measured). This reader
takes only regular files and folders, each name once, and no more bytes than it was told to expect.
"""

import gzip
import tarfile
import unicodedata
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from isal import igzip, igzip_lib

from piecehub.errors import ArchiveError

BLOCK_BYTES = 1 << 20
MAX_MEMBERS = 10_000
_MAX_PATH_BYTES = 1024
_MAX_SEGMENT_BYTES = 255
# What a member may cost beside its data: its header, one extended header, and the padding.
_HEADER_BYTES = 4096
# tarfile reads a block ahead, and an archive ends with up to a record of zeros.
_SLACK_BYTES = 2 * BLOCK_BYTES
# Chained extended headers make tarfile call itself (RecursionError); a broken one may raise ValueError.
_BROKEN_DEFLATE = cast(type[Exception], igzip_lib.IsalError)
_UNREADABLE = (tarfile.TarError, EOFError, gzip.BadGzipFile, _BROKEN_DEFLATE, ValueError, RecursionError)


@dataclass(frozen=True)
class Member:
    """One member; `data` is None for a folder, and is to be read to its end before the next member is taken."""

    path: str
    size_bytes: int
    data: IO[bytes] | None


@contextmanager
def one_sentence(archive: Path) -> Generator[None, None, None]:
    """Turns what a corrupt archive makes its readers raise into one ArchiveError."""
    try:
        yield
    except _UNREADABLE as error:
        raise ArchiveError(
            f"Expected a whole .tar.gz. Received: '{archive.name}', which cannot be read ({error}); get it again."
        ) from error


def read_members(archive: Path, *, max_bytes: int) -> Iterator[Member]:
    """Yields the members in their order; use it within `one_sentence`.

    Raises:
        ArchiveError: for a link or device, a path that leaves the folder, a name that comes twice (in any case), more
            than `max_bytes` of data or `MAX_MEMBERS` members.
    """
    names = _Names()
    with _unpacked(archive) as unpacked:
        source = _Metered(unpacked)
        with tarfile.open(
            fileobj=cast(IO[bytes], source), mode="r|", bufsize=BLOCK_BYTES, encoding="utf-8", errors="surrogateescape"
        ) as tar:
            for count, info in enumerate(tar, start=1):
                path = safe_path(info.name)
                _check_kind(info)
                max_bytes -= info.size
                if max_bytes < 0 or count > MAX_MEMBERS:
                    raise ArchiveError(f"Expected an archive within its bounds. Received: '{path}' beyond them.")
                names.add(path, info.isdir())
                source.grant(info.size + _HEADER_BYTES)
                yield Member(path, info.size, None if info.isdir() else tar.extractfile(info))
        # tarfile stops at the zeros; gzip's checksum stands behind them.
        while source.read(BLOCK_BYTES):
            pass


def _unpacked(archive: Path) -> IO[bytes]:
    return cast(Any, igzip).open(archive, "rb")


def safe_path(name: str) -> str:
    """`name` without a leading './'; raises ArchiveError if it leaves the folder or cannot be written everywhere."""
    path = PurePosixPath(name)
    encoded = [part.encode("utf-8", "surrogateescape") for part in path.parts]
    bounded = all(len(part) <= _MAX_SEGMENT_BYTES for part in encoded) and len(name) <= _MAX_PATH_BYTES
    # `isprintable` refuses control characters, and the surrogates that stand for bytes which are no UTF-8.
    if path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable() or not bounded:
        raise ArchiveError(f"Expected a plain path below the archive's root. Received: {name[:200]!a}.")
    return str(path)


def _check_kind(info: tarfile.TarInfo) -> None:
    plain = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not info.issparse()
    if not (plain or info.isdir()) or info.size < 0 or (info.isdir() and info.size):
        raise ArchiveError(f"Expected only regular files and folders. Received: '{info.name}', which is neither.")


class _Metered:
    """A reader that gives no more than was granted, so neither data nor headers can be a bomb."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._left = _SLACK_BYTES

    def grant(self, size_bytes: int) -> None:
        self._left += size_bytes

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveError("Expected an archive of files and short headers. Received: more bytes than they need.")
        return data


class _Names:
    """The names met so far; two that differ only in case are one, as they are on some file systems."""

    def __init__(self) -> None:
        self._spelling: dict[str, str] = {}
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._implied = {"."}

    def add(self, path: str, is_folder: bool) -> None:
        """Notes a member; raises ArchiveError if its name is taken, or lies below a file."""
        parents = {str(parent) for parent in PurePosixPath(path).parents}
        other_case = any(self._spelling.setdefault(_key(name), name) != name for name in (path, *parents))
        as_other = parents & self._files or (not is_folder and path in self._implied)
        if other_case or as_other or path in self._files or path in self._folders:
            raise ArchiveError(f"Expected each name once, in any case. Received: '{path}' a second time.")
        self._implied |= parents
        (self._folders if is_folder else self._files).add(path)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
