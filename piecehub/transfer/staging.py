"""What trials need and what they give, at a uri that every worker of a Beam pipeline reads and writes.

    <place>/folders/<content digest>/…          the piece, its controls, a task: each by what it holds
    <place>/folders/<content digest>.whole      tells that all of it is there, and lists it
    <place>/trials/ab/<id>.npz                  finished trials, as in their folder here (trials.py)

A worker takes a folder once for its machine, into `piecehub-<user>/` in its folder for temporary files, and holds it
against the digest; what nobody used for a day is removed there when another is taken. The uri may be whatever Beam
reads (`gs://`, `s3://`, `hdfs://`, …). A path is a uri of which nothing is copied: what lies there is read and written
in its place.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from piecehub.errors import EnvironmentProblem, PiecehubError, first_line, telling_no_space
from piecehub.facts.content import FileEntry, canonical_json, content_digest, list_files, sha256_file
from piecehub.tensors.whole_folder import whole_folder
from piecehub.transfer.spill import rows_folder
from piecehub.transfer.trials import Trial, TrialStore

# Beam's option with a uri that all workers reach.
OPTION = "--temp_location"
# Many small files are asked of a bucket at once.
_AT_ONCE = 16
_BLOCK_BYTES = 1 << 20
_UNUSED_S = 24 * 3600


@dataclass(frozen=True)
class Staged:
    """A folder that workers read.

    Attributes:
        uri: where it lies.
        files: what is in it, by which a copy is held against it; nothing of a folder that lies where it always did.
    """

    uri: str
    files: tuple[FileEntry, ...] = ()


def is_path(uri: str) -> bool:
    """Whether a uri is a path, which is read and written where it is."""
    return FileSystems.get_scheme(uri) is None


def trials_at(place: str) -> str:
    """Where finished trials lie at a place."""
    return f"{place}/trials"


def stage(files: Mapping[str, Path], place: str) -> Staged:
    """Brings files to a place, as a folder by what it holds; what lies there already is not brought again.

    Args:
        files: by their names in the folder.
        place: a uri.

    Raises:
        EnvironmentProblem: if it cannot be written there.
    """
    entries = tuple(sorted(FileEntry(name, file.stat().st_size, sha256_file(file)) for name, file in files.items()))
    uri = f"{place}/folders/{_name(entries)}"
    with _reaching(uri):
        if not FileSystems.exists(f"{uri}.whole"):
            with ThreadPoolExecutor(_AT_ONCE) as many:
                list(many.map(lambda entry: _put(files[entry.path], f"{uri}/{entry.path}"), entries))
            with tempfile.NamedTemporaryFile() as told:
                told.write(canonical_json([asdict(entry) for entry in entries]))
                told.flush()
                _put(Path(told.name), f"{uri}.whole")
    return Staged(uri, entries)


def of_folder(folder: Path) -> dict[str, Path]:
    """The files of a folder by their names in it, as `stage` takes them."""
    return {entry.path: folder / entry.path for entry in list_files(folder)}


@contextmanager
def here(staged: Staged) -> Iterator[Path]:
    """The folder on this machine: itself where its uri is a path, else the one copy that all processes here share.

    Raises:
        EnvironmentProblem: if it is not there, or is not what was staged.
    """
    if is_path(staged.uri):
        if not Path(staged.uri).is_dir():
            raise EnvironmentProblem(
                f"Expected '{staged.uri}' on every machine of the Beam runner. Received: one without it; give "
                f"--beam-arg={OPTION}=URI, a place that all of them read and write."
            )
        yield Path(staged.uri)
        return
    cache = _cache()
    folder = cache / _name(staged.files)
    with _lock_of(folder).open("a") as used:
        fcntl.flock(used, fcntl.LOCK_SH)
        os.utime(used.fileno())
        if not folder.is_dir():
            _fetch_once(staged, folder)
        yield folder


@contextmanager
def folder_for(uri: str) -> Iterator[Path]:
    """Where trials that shall lie at a uri are written on this machine: there, if it is a path."""
    if is_path(uri):
        yield Path(uri)
    else:
        with rows_folder(_cache()) as folder:
            yield folder


def bring(trials: Sequence[Trial], uri: str, folder: Path) -> None:
    """Copies the files of those trials that are finished at a uri into the folder of trials here."""
    if _is_at(folder, uri):
        return
    store = TrialStore(folder)

    def bring_one(trial: Trial) -> None:
        if FileSystems.exists(_at(uri, trial)):
            _get(_at(uri, trial), store.path(trial))

    with _reaching(uri), ThreadPoolExecutor(_AT_ONCE) as many:
        list(many.map(bring_one, trials))


def hand_in(trial: Trial, folder: Path, uri: str) -> None:
    """Copies the file of a finished trial from the folder of trials here to a uri; equal trials are equal files."""
    if not _is_at(folder, uri):
        with _reaching(uri):
            _put(TrialStore(folder).path(trial), _at(uri, trial))


def _is_at(folder: Path, uri: str) -> bool:
    return is_path(uri) and folder.resolve() == Path(uri).resolve()


def _at(uri: str, trial: Trial) -> str:
    return f"{uri}/{TrialStore(Path()).path(trial).as_posix()}"


def _name(files: Sequence[FileEntry]) -> str:
    return content_digest(files).removeprefix("sha256:")


def _fetch_once(staged: Staged, folder: Path) -> None:
    """Whoever asks meanwhile waits."""
    with folder.with_name(f"{folder.name}.fetch").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _remove_unused(folder.parent)
            with whole_folder(folder) as beside:
                _fetch_into(beside, staged)


def _fetch_into(folder: Path, staged: Staged) -> None:
    with _reaching(staged.uri), ThreadPoolExecutor(_AT_ONCE) as many:
        full = [entry for entry in staged.files if entry.size_bytes]
        list(many.map(lambda entry: _get(f"{staged.uri}/{entry.path}", folder / entry.path), full))
    for entry in set(staged.files) - set(full):
        (folder / entry.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / entry.path).touch()
    if tuple(list_files(folder)) != staged.files:
        raise EnvironmentProblem(
            f"Expected at '{staged.uri}' what was staged there. Received: other bytes; remove that folder and the file "
            "'.whole' beside it, and call again."
        )


def _cache() -> Path:
    """The folder that all processes of a user share on this machine.

    Raises:
        EnvironmentProblem: if it is another user's, who could change what is run.
    """
    cache = Path(tempfile.gettempdir(), f"piecehub-{os.getuid()}")
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        raise EnvironmentProblem(f"Expected a folder of this user's own. Received: '{cache}' of another; remove it.")
    return cache


def _lock_of(folder: Path) -> Path:
    """Held by all who use the folder, or alone by who removes it; its time says when it was used."""
    return folder.with_name(f"{folder.name}.lock")


def _remove_unused(cache: Path) -> None:
    """Removes copies that nobody has used for a day."""
    for lock in cache.glob("*.lock"):
        if time.time() - lock.stat().st_mtime > _UNUSED_S:
            with lock.open("a") as file, contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)


def _put(source: Path, uri: str) -> None:
    """Whole or not at all: an object of a bucket is, and a file that gets its name once it is written."""
    if is_path(uri):
        _copied_beside(source.open("rb"), Path(uri))
        return
    if not source.stat().st_size:
        return  # Beam cannot write an empty object to S3; whoever fetches the folder knows that there is one
    with source.open("rb") as file, FileSystems.create(uri, compression_type=CompressionTypes.UNCOMPRESSED) as there:
        shutil.copyfileobj(file, there, _BLOCK_BYTES)


def _get(uri: str, target: Path) -> None:
    _copied_beside(FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED), target)


def _copied_beside(source: BinaryIO, target: Path) -> None:
    with telling_no_space(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
        try:
            with source, os.fdopen(handle, "wb") as file:
                shutil.copyfileobj(source, file, _BLOCK_BYTES)
            Path(name).chmod(0o644)  # workers may be another user's
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)


@contextmanager
def _reaching(uri: str) -> Iterator[None]:
    """Beam's file systems raise whatever their clients do."""
    try:
        yield
    except PiecehubError:
        raise
    except Exception as error:
        raise EnvironmentProblem(
            f"Expected a place that can be read and written, '{uri}'. Received: {first_line(error)}; give another with "
            f"--beam-arg={OPTION}=URI, or what Beam needs to reach it."
        ) from error
