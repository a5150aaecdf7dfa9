"""A model folder as the archive that `?tf-hub-format=compressed` serves, and back.

    <folder>/              every folder first: the hub client makes none that is not a member of its own
    <file>                 sorted by path
    saved_model.pb         last: a model that was cut short is then seen to be incomplete (as TFX's Pusher has it)

USTAR (an extended header only where USTAR ends: members over 8 GiB, names over 100 bytes), no owner, no time, modes
755 and 644, one gzip member without extra fields: all that the client of tensorflow_hub 0.16.1 takes. ISA-L level 2
gives equal bytes for any number of threads and on every CPU that was tried (level 3 does not), at 20 times the speed
of `tar czf`. Another release of ISA-L may give other bytes: a version's identity is the digest of its files.
A model that does not get smaller, such as a quantized or an encrypted one, may be stored without compression.
"""

import errno
import hashlib
import os
import tarfile
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from isal import __version__ as _isal_version
from isal import igzip_threaded

from piecehub.errors import ArchiveError, EnvironmentProblem, no_space
from piecehub.facts.content import FileEntry
from piecehub.store.members import BLOCK_BYTES, Member, one_sentence, read_members
from piecehub.store.progress import Watched, progress
from piecehub.store.stored import StoredGzip

MAX_UNPACKED_BYTES = 16 << 30
_MODEL_FILE = "saved_model.pb"
_LEVEL = 2
_THREADS = 4


class Compression(StrEnum):
    """How the bytes of an archive are written; both are gzip to every reader."""

    DEFLATE = "deflate"
    STORE = "store"

    @property
    def described(self) -> str:
        """What the manifest says of it."""
        return f"gzip, ISA-L level {_LEVEL} (isal {_isal_version})" if self is Compression.DEFLATE else "gzip, stored"


@dataclass(frozen=True)
class Packed:
    """An archive that was written."""

    sha256: str
    size_bytes: int


def pack(
    model_dir: Path, destination: Path, *, threads: int = _THREADS, compression: Compression = Compression.DEFLATE
) -> Packed:
    """Writes the files of `model_dir` to `destination`, in constant memory; equal files give equal bytes.

    Args:
        model_dir: a SavedModel.
        destination: the file to write.
        threads: how many compress; they change no byte.
        compression: how.

    Raises:
        ArchiveError: if `model_dir` is no SavedModel, or holds a link or device.
    """
    return pack_files(_model_files(model_dir), destination, threads=threads, compression=compression)


def pack_files(
    files: Mapping[str, Path],
    destination: Path,
    *,
    threads: int = _THREADS,
    compression: Compression = Compression.DEFLATE,
) -> Packed:
    """Writes any files, by their paths in the archive, as `pack` does those of a model."""
    total_bytes = sum(path.stat().st_size for path in files.values())
    with destination.open("wb") as file, progress("packing", total_bytes) as told:
        sink = _HashingSink(file)
        with _compressor(sink, threads, compression) as packed, _tar_stream(packed) as tar:
            for folder in _folders(files):
                _add(tar, _header(folder, tarfile.DIRTYPE, 0o755))
            for path in sorted(files, key=lambda path: (path == _MODEL_FILE, path)):
                header = _header(path, tarfile.REGTYPE, 0o644, files[path].stat().st_size)
                with files[path].open("rb") as source:
                    _add(tar, header, cast(IO[bytes], Watched(source, told)))
    return Packed(sink.sha256.hexdigest(), sink.size_bytes)


def verify(archive: Path, files: Iterable[FileEntry]) -> None:
    """Reads `archive` back to its last byte.

    Raises:
        ArchiveError: if it does not hold exactly `files`, or breaks a rule of this module.
    """
    expected = {file.path: file for file in files}
    found: list[str] = []
    total_bytes = sum(file.size_bytes for file in expected.values())
    with one_sentence(archive), progress("reading back", total_bytes) as told:
        for member in read_members(archive, max_bytes=total_bytes):
            if member.data is not None:
                found.append(member.path)
                told(member.size_bytes)
                if _entry(member) != expected.get(member.path):
                    raise ArchiveError(f"Expected the files that were packed. Received: another '{member.path}'.")
    if sorted(found) != sorted(expected) or found[-1:] != [_MODEL_FILE]:
        missing = sorted(expected.keys() - set(found))
        raise ArchiveError(f"Expected every file, and '{_MODEL_FILE}' last. Received: {found[-1:]}, without {missing}.")


def unpack(archive: Path, destination: Path, *, max_bytes: int = MAX_UNPACKED_BYTES) -> None:
    """Makes the folder `destination` from an archive that nobody trusts; on any error there is no folder.

    Raises:
        ArchiveError: if the archive is corrupt, hostile, larger than `max_bytes` unpacked, or not a model.
        EnvironmentProblem: if `destination` exists, or cannot be written.
    """
    with _whole(archive, destination, max_bytes) as folder:
        if not (folder / _MODEL_FILE).is_file():
            raise ArchiveError(f"Expected a SavedModel at the archive's root. Received: no '{_MODEL_FILE}' there.")


def unpack_files(archive: Path, destination: Path, *, max_bytes: int = MAX_UNPACKED_BYTES) -> None:
    """As `unpack`, of an archive of any files."""
    with _whole(archive, destination, max_bytes):
        pass


@contextmanager
def _whole(archive: Path, destination: Path, max_bytes: int) -> Generator[Path]:
    """The folder with what was unpacked, which becomes `destination` if nothing is raised."""
    try:
        if destination.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        with tempfile.TemporaryDirectory(prefix=f".{destination.name}.", dir=destination.parent) as beside:
            folder = Path(beside, "whole")
            folder.mkdir()
            with one_sentence(archive):
                for member in read_members(archive, max_bytes=max_bytes):
                    _write(folder, member)
            yield folder
            folder.rename(destination)
    except OSError as error:
        raise no_space(error, destination.parent) or EnvironmentProblem(
            f"Expected to unpack '{archive}' into the new folder '{destination}'. Received: {error.strerror or error}."
        ) from error


def _model_files(model_dir: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in model_dir.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise ArchiveError(f"Expected only regular files and folders. Received: '{path}'; remove it.")
        if path.is_file():
            files[path.relative_to(model_dir).as_posix()] = path
    if _MODEL_FILE not in files:
        raise ArchiveError(f"Expected a SavedModel. Received: '{model_dir}', which holds no '{_MODEL_FILE}'.")
    return files


def _folders(files: Iterable[str]) -> list[str]:
    """The folders of `files`, parents first; an empty folder is no content."""
    return sorted({str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."})


def _header(path: str, kind: bytes, mode: int, size_bytes: int = 0) -> tarfile.TarInfo:
    header = tarfile.TarInfo(path)  # owner 0, no owner's name, time 0
    header.type, header.mode, header.size = kind, mode, size_bytes
    return header


def _add(tar: tarfile.TarFile, header: tarfile.TarInfo, source: IO[bytes] | None = None) -> None:
    tar.format = tarfile.USTAR_FORMAT if _fits_ustar(header) else tarfile.PAX_FORMAT
    tar.addfile(header, source)


def _compressor(sink: "_HashingSink", threads: int, compression: Compression) -> AbstractContextManager[IO[bytes]]:
    if compression is Compression.STORE:
        return cast(Any, StoredGzip(sink))
    return cast(Any, igzip_threaded).open(sink, "wb", _LEVEL, threads=threads, block_size=BLOCK_BYTES)


def _tar_stream(packed: IO[bytes]) -> tarfile.TarFile:
    # A stream ("w|"), because the threaded writer has no `tell`; whole blocks, because what ISA-L writes depends on how
    # it is fed.
    blocks = {"bufsize": BLOCK_BYTES, "copybufsize": BLOCK_BYTES}
    return cast(Any, tarfile).open(fileobj=packed, mode="w|", encoding="utf-8", **blocks)


def _fits_ustar(header: tarfile.TarInfo) -> bool:
    try:
        header.tobuf(tarfile.USTAR_FORMAT, "utf-8")
    except ValueError:
        return False
    return True


class _HashingSink:
    """A file that notes the digest of what is written to it, on the thread that writes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size_bytes += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _blocks(member: Member) -> Iterator[bytes]:
    while member.data is not None and (block := member.data.read(BLOCK_BYTES)):
        yield block


def _entry(member: Member) -> FileEntry:
    digest = hashlib.sha256()
    for block in _blocks(member):
        digest.update(block)
    return FileEntry(member.path, member.size_bytes, digest.hexdigest())


def _write(folder: Path, member: Member) -> None:
    target = folder / member.path
    if member.data is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        for block in _blocks(member):
            file.write(block)
    target.chmod(0o644)
