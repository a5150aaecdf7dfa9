r"""What a folder holds, as digests: the one identity that artifacts, provenance and the store agree on.

The content digest of a folder is the sha256 of its sorted file list, one line a file:

    <sha256 of the file> <size in bytes> <path with '/'>\n

It does not depend on a compressor, a clock or a place, so equal inputs have equal digests on every machine.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piecehub.errors import PiecehubError

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, order=True)
class FileEntry:
    """One regular file of a folder."""

    path: str
    size_bytes: int
    sha256: str


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, in constant memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """`value` as JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def list_files(root: Path, *, leave_out: Collection[str] = ()) -> list[FileEntry]:
    """The regular files below `root`, sorted by path, without the names in `leave_out`.

    Raises:
        PiecehubError: if something below `root` is a link or no regular file; neither can be shared.
    """
    entries: list[FileEntry] = []
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise PiecehubError(f"Expected only regular files and folders. Received: '{path}'; remove it.")
        name = path.relative_to(root).as_posix()
        if path.is_file() and name not in leave_out:
            entries.append(FileEntry(name, path.stat().st_size, sha256_file(path)))
    return sorted(entries)


def content_digest(files: Iterable[FileEntry]) -> str:
    """The content digest of a file list, as `sha256:<hex>`."""
    lines = "".join(f"{f.sha256} {f.size_bytes} {f.path}\n" for f in sorted(files))
    return f"sha256:{sha256_bytes(lines.encode())}"
