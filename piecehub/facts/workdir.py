"""The folder in which piecehub keeps everything of one user or project, `.piecehub/` by default.

store/             the published versions (drawn in piecehub/store/catalog.py)
metadata.sqlite    ML Metadata: every run, execution and artifact
artifacts/         what components wrote: <pipeline>/<component>/<output>/<execution id>/
data/              examples that recipes wrote, by content digest
trials/            finished trials, by content digest; in trials/rows/ decoded examples of evaluations that run now
training/          checkpoints of trainings that have not ended, by what they depend on
unpacked/          published versions that a program of this machine loaded by their handle, by content digest
runs/<run>/        run.json: the DAG and its parameters (drawn in piecehub/facts/runs.py)
logs/<run>/        events.jsonl, <component>.log
.piecehub-workdir  tells that it is one (in data/keys/ too): in a recipe's folder it is no part of the recipe
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from piecehub.errors import EnvironmentProblem

DEFAULT_NAME = ".piecehub"
_MARK = ".piecehub-workdir"


@dataclass(frozen=True)
class Workdir:
    """The places below one working folder."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

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
    def logs(self) -> Path:
        return self.root / "logs"


def mark(root: Path) -> None:
    """Makes a folder, and marks it as a working folder, or as part of one.

    Raises:
        EnvironmentProblem: if it cannot be written.
    """
    (make_writable(root) / _MARK).touch()


def is_workdir(folder: Path) -> bool:
    """Whether `mark` marked the folder, or the keys in it, as in `data`."""
    return any((place / _MARK).is_file() for place in (folder, folder / "keys"))


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
        raise EnvironmentProblem(
            f"Expected a folder that can be written. Received: '{folder}' ({error.strerror}); "
            "give another with --workdir, or mend its permissions."
        ) from error
    return folder
