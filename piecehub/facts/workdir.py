"""The folder in which piecehub keeps everything of one user or project, `.piecehub/` by default.

store/             the published versions (drawn in piecehub/store/catalog.py)
metadata.sqlite    ML Metadata: every run, execution and artifact
artifacts/         what components wrote: <pipeline>/<component>/<output>/<execution id>/
data/              examples that recipes wrote, by content digest
trials/            finished trials, by content digest; in trials/rows/ decoded examples of evaluations that run now
training/          checkpoints of trainings that have not ended, by what they depend on
unpacked/          published versions that a program of this machine loaded by their handle, by content digest
runs/<run>/        run.json: the DAG and its parameters (drawn in piecehub/facts/runs.py); plan.json, what it would do
                    (piecehub/facts/plan.py); stamp.json, what was so at its end (pipelines/planning/stamp.py); of one
                    that published, sources.json, the recipe's small texts (pipelines/planning/sources.py)
logs/<run>/        events.jsonl, <component>.log, heartbeat (piecehub/facts/heartbeat.py)
runs.sqlite        an index of the runs (piecehub/facts/run_index.py); may be deleted at any time
run.lock           held by the run that goes on
gc.lock            held by whoever relies for a while on what lies there, and alone by `workdir gc` (pipelines/gc.py)
.piecehub-workdir  tells that it is one (in data/keys/ too): in a recipe's folder it is no part of the recipe
.piecehub-pods     tells that a package for Kubeflow was compiled here, whose pods read data/, trials/ and training/

What is removed is renamed to `.gone-…` first: by its own name a thing is there whole, or not at all.
"""

import contextlib
import fcntl
import shutil
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from piecehub.errors import EnvironmentProblem, no_space

DEFAULT_NAME = ".piecehub"
_MARK = ".piecehub-workdir"
_PODS = ".piecehub-pods"
_RUN_LOCK, _GC_LOCK = "run.lock", "gc.lock"
_GONE = ".gone-"
# How often a lock is asked for again that somebody only looks at, and for how long one is waited for.
_PAUSE_S, _LOOK_S, _WAIT_S = 0.05, 0.5, 10.0


@dataclass(frozen=True)
class Workdir:
    """The places below one working folder.

    Attributes:
        root: the folder.
        store_at: where a run publishes, if that is another store than the folder's: a whole path, or the uri of a
            bucket.
    """

    root: Path
    store_at: str = ""

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def store_place(self) -> str:
        """The store of runs, by its whole path or uri."""
        return self.store_at or str(self.store.resolve())

    @property
    def options(self) -> list[str]:
        """What tells a command to work in this folder with this store: nothing of what it takes by itself."""
        folder = [] if self.root == Path(DEFAULT_NAME) else ["--workdir", str(self.root)]
        return [*folder, *(["--store", self.store_at] if self.store_at else [])]

    @property
    def metadata(self) -> Path:
        return self.root / "metadata.sqlite"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def trials(self) -> Path:
        return self.root / "trials"

    @property
    def training(self) -> Path:
        return self.root / "training"

    @property
    def unpacked(self) -> Path:
        return self.root / "unpacked"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def run_index(self) -> Path:
        return self.root / "runs.sqlite"

    @property
    def logs(self) -> Path:
        return self.root / "logs"


def mark(root: Path) -> None:
    """Makes a folder, and marks it as a working folder, or as part of one.

    Raises:
        EnvironmentProblem: if it cannot be written.
    """
    (make_writable(root) / _MARK).touch()


def mark_for_pods(root: Path) -> None:
    """Marks a working folder from which pods read of which nothing is recorded here."""
    mark(root)
    (root / _PODS).touch()


def is_read_by_pods(workdir: Workdir) -> bool:
    """Whether `mark_for_pods` marked it."""
    return (workdir.root / _PODS).is_file()


def is_workdir(folder: Path) -> bool:
    """Whether `mark` marked the folder, or the keys in it, as in `data`."""
    return any((place / _MARK).is_file() for place in (folder, folder / "keys"))


@contextlib.contextmanager
def alone(workdir: Workdir) -> Generator[None]:
    """Holds the working folder: a second run in it would take the first one's executions for dead.

    Raises:
        EnvironmentProblem: if another run is going on.
    """
    with (workdir.root / _RUN_LOCK).open("w") as file:
        with relied_on(workdir):  # so that no gc begins between the look for runs and this one
            if not _locked(file, fcntl.LOCK_EX, _LOOK_S):
                raise EnvironmentProblem(
                    f"Expected no other run in '{workdir.root}'. Received: one that is going on; wait for it, or give "
                    "another folder with --workdir."
                )
        with _unlocking(file):
            yield


def is_held(workdir: Workdir) -> bool:
    """Whether a run is going on in the working folder, or about to begin."""
    try:
        with (workdir.root / _RUN_LOCK).open("r") as run:
            return not _locked(run, fcntl.LOCK_SH, 0)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def relied_on(workdir: Workdir) -> Generator[None]:
    """While this lasts nothing is taken out of the working folder; a gc that is about to is waited for."""
    with (workdir.root / _GC_LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with _unlocking(file):
            yield


@contextlib.contextmanager
def looked_into(workdir: Workdir) -> Generator[None]:
    """The same for who only looks: nothing is made, and where there never was a run or a gc, nothing is waited for."""
    try:
        file = (workdir.root / _GC_LOCK).open("rb")
    except (FileNotFoundError, NotADirectoryError):
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with _unlocking(file):
            yield


@contextlib.contextmanager
def taking_away(workdir: Workdir) -> Generator[None]:
    """Alone in this: whoever would begin to rely on what lies there waits.

    Raises:
        EnvironmentProblem: if somebody relies on it for long, or another gc is at work.
    """
    with (workdir.root / _GC_LOCK).open("w") as file:
        if not _locked(file, fcntl.LOCK_EX, _WAIT_S):
            raise EnvironmentProblem(
                f"Expected nobody but runs at work in '{workdir.root}'. Received: an evaluation, or another gc; try "
                "again once it has ended."
            )
        with _unlocking(file):
            yield


@contextlib.contextmanager
def _unlocking(file: IO[Any]) -> Generator[None]:
    """Takes back the lock at the end: to close the file does not, where a forked process has it open too."""
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _locked(file: IO[str], how: int, at_most_s: float) -> bool:
    """Whether the lock was had within that time."""
    until = time.monotonic() + at_most_s
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE_S)
        else:
            return True


def take_away(path: Path) -> Path | None:
    """The first step of a removal: nobody finds the folder by its name any more; a file is gone at once.

    Returns:
        What is still to be deleted; None of a file.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return None
    gone = path if is_gone(path) else path.with_name(f"{_GONE}{path.name}")
    if gone != path:
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
    return gone


def is_gone(path: Path) -> bool:
    """Whether it was taken away already, and not deleted yet."""
    return path.name.startswith(_GONE)


def inside(workdir: Workdir, place: str) -> str:
    """A path below the working folder as it is written down: relative to that, so that the folder may be moved."""
    path, root = Path(place).resolve(), workdir.root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else place


def outside(workdir: Workdir, place: str) -> str:
    """Where what was written down lies now.

    Older records hold absolute paths. One that is gone, of an artifact that is there, tells that the folder was moved.
    """
    root = workdir.root.resolve()
    if not Path(place).is_absolute():
        return str(root / place)
    _, found, rest = place.rpartition(f"/{workdir.artifacts.name}/")
    moved = workdir.artifacts.resolve() / rest
    return str(moved) if found and not Path(place).exists() and moved.exists() else place


def make_writable(folder: Path) -> Path:
    """Makes `folder`, and proves by a file that it can be written.

    Raises:
        EnvironmentProblem: if it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise no_space(error, folder) or EnvironmentProblem(
            f"Expected a folder that can be written. Received: '{folder}' ({error.strerror}); "
            "give another with --workdir, or mend its permissions."
        ) from error
    return folder
