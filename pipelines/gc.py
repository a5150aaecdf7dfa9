"""Removes from a working folder what no published version, no recent run and no run that goes on needs.

    a published version   all that it was made from, by ML Metadata, with its examples; and the page of its run
    a run that stays      its page, logs and examples, and every artifact that it read or made
    … which is            one that goes on, the newest of each pipeline, and the last of each that came to its end

Runs of one working folder follow one another, so a moment belongs to the run that had begun last before it. So it is
known whose trials and checkpoints are, which no record names: that run's in whose time they were last used. What
piecehub did not write stays, and so does the store, which has a gc of its own, and ML Metadata: lineage is read there.

It is safe beside runs: while it looks, and renames what goes, nobody begins to rely on anything (`relied_on` in
piecehub/facts/workdir.py); deleting takes its time afterwards. Pages go last, for if this gc is killed, the next one
knows by them whose the rest was.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from piecehub.errors import EnvironmentProblem, RecipeError
from piecehub.facts.workdir import Workdir, is_gone, is_workdir, take_away, taking_away
from piecehub.lineage import recorded
from piecehub.lineage.recorded import Recorded
from pipelines.staying import UNTOLD, Needed, Runs, folder_of, runs_of, versions_elsewhere, versions_in

_NOBODY = "no published version and no run that stays needs it"
_INTERRUPTED = "an interrupted gc left it"


@dataclass(frozen=True)
class Thing:
    """What stays or goes as a whole.

    Attributes:
        shown: what a person is told that it is: a path below the working folder, or what many are together.
        used_at: of what is known by time alone; if that is another once it shall go, it stays.
    """

    shown: str
    paths: tuple[Path, ...]
    goes: bool
    why: str
    used_at: float | None = None

    @cached_property
    def size_bytes(self) -> int:
        """What its files hold."""
        return sum(_size(path) for path in self.paths)


def plan(workdir: Workdir, keep_runs: int) -> list[Thing]:
    """What would stay and go, and why; nothing is changed.

    Args:
        workdir: where.
        keep_runs: how many of the newest runs of each pipeline stay.

    Raises:
        RecipeError: if the folder is no working folder.
        StoreError: if a manifest cannot be read: nobody knows what that version needs.
    """
    if not is_workdir(workdir.root):
        raise RecipeError(
            f"Expected a working folder of piecehub. Received: '{workdir.root}', in which no run was; give another "
            "with --workdir."
        )
    own = versions_in(workdir)
    known = recorded.read(workdir.metadata) if workdir.metadata.is_file() else Recorded({}, {}, {})
    versions = [*own.items(), *versions_elsewhere(workdir, known)]
    told = runs_of(workdir, versions, known, keep_runs)
    needed = Needed.by(workdir, told, known, versions)
    found = [
        *_artifacts(workdir, told, known, needed),
        *_examples(workdir, told, needed),
        *_checkpoints(workdir, told),
        *_trials(workdir, told),
        *_unpacked(workdir, set(own.values())),
        *_always(workdir),
        *_pages(workdir, told),
    ]
    for thing in found:
        _ = thing.size_bytes  # while it is there
    return found


def collect(workdir: Workdir, keep_runs: int) -> list[Thing]:
    """Removes what `plan` says that goes; returns what stayed and what is gone.

    Raises:
        PiecehubError: as `plan` does, or if something cannot be removed, or somebody else but a run is at work.
    """
    if not is_workdir(workdir.root):
        return plan(workdir, keep_runs)
    try:
        with taking_away(workdir):
            things = plan(workdir, keep_runs)
            going = [thing for thing in things if thing.goes and not _was_used_again(thing)]
            away = [gone for thing in going for path in thing.paths if (gone := take_away(path)) is not None]
        for path in away:
            shutil.rmtree(path)
    except OSError as error:
        raise EnvironmentProblem(
            f"Expected to remove what nobody needs. Received: '{error.filename}' ({error.strerror}); mend its "
            "permissions, and call again: what is gone is gone whole."
        ) from error
    return [thing for thing in things if not thing.goes or thing in going]


def _artifacts(workdir: Workdir, told: Runs, known: Recorded, needed: Needed) -> Iterator[Thing]:
    root = workdir.artifacts.resolve()
    places = {folder_of(workdir, place) for place in known.places.values()}
    for path in [*root.glob("*/*/[!.]*/*"), *root.glob("*/*/.system/*/*")]:
        inside = path.relative_to(root)
        is_system = inside.parts[2] == ".system"
        shown = f"artifacts/{inside.parts[0]}/*/.system" if is_system else f"artifacts/{inside.as_posix()}"
        number = _execution_of(path)
        why = needed.folders.get(path) or needed.executions.get(number, "")
        if is_gone(path):
            yield Thing(shown, (path,), True, _INTERRUPTED)
        elif why:
            yield Thing(shown, (path,), False, why)
        elif number not in known.executions and path not in places:
            yield Thing(shown, (path,), False, "ML Metadata does not know it")
        else:
            yield _by_need(shown, path, "" if told.all else UNTOLD)


def _execution_of(path: Path) -> int:
    """The id of the execution whose output it is, or was about to be (`.7.x1y2`); 0 if it is none's."""
    name = path.name.removeprefix(".").partition(".")[0]
    return int(name) if name.isdecimal() else 0


def _examples(workdir: Workdir, told: Runs, needed: Needed) -> Iterator[Thing]:
    keys = {key: key.read_text(encoding="utf-8", errors="replace") for key in (workdir.data / "keys").glob("[!.]*")}
    for path in _children(workdir.data):
        shown, names = f"data/{path.name}", tuple(key for key, name in keys.items() if name == path.name)
        if path.name == "keys":
            continue
        if is_gone(path) or path.name.startswith("tmp-"):
            is_written = not is_gone(path) and (bool(told.going_on) or told.starting)
            why = "a run writes it" if is_written else _INTERRUPTED if is_gone(path) else "a killed run left it"
            yield Thing(shown, (path,), not is_written, why)
        else:
            used_at = path.stat().st_mtime
            why = needed.of_examples(path.name) or told.need_of(used_at)
            yield Thing(shown, (*names, path), not why, why or _NOBODY, used_at)


def _checkpoints(workdir: Workdir, told: Runs) -> Iterator[Thing]:
    for path in _children(workdir.training):
        used_at = last_used(path)
        why = told.need_of(used_at, "FullModelTrainer")
        if is_gone(path):
            yield Thing(f"training/{path.name}", (path,), True, _INTERRUPTED)
        else:
            yield _by_need(f"training/{path.name}", path, why, used_at)


def _trials(workdir: Workdir, told: Runs) -> Iterator[Thing]:
    if not workdir.trials.is_dir():
        return
    from piecehub.transfer import spill  # needs numpy, which who only publishes does without

    for folder in _children(workdir.trials):
        for path in _children(folder):
            if folder.name == spill.FOLDER:
                left = spill.is_left(path)
                why = "a killed evaluation left it" if left else "an evaluation goes on"
                yield Thing(f"trials/{spill.FOLDER}", (path,), left, why)
                continue
            used_at = last_used(path)
            yield _by_need("trials", path, told.need_of(used_at, "FineTuneEvaluator"), used_at)


def _unpacked(workdir: Workdir, digests: set[str]) -> Iterator[Thing]:
    for path in _children(workdir.unpacked):
        if is_gone(path):
            yield Thing(f"unpacked/{path.name}", (path,), True, _INTERRUPTED)
        elif not path.name.startswith("."):  # one that begins so is being unpacked
            stands = f"sha256:{path.name}" in digests
            why = "a published version, loaded by its handle" if stands else "no version of that content is published"
            yield Thing(f"unpacked/{path.name}", (path,), not stands, why)


def _always(workdir: Workdir) -> Iterator[Thing]:
    told = {
        workdir.store: "what is published; `piecehub store gc` is its own",
        workdir.metadata: "lineage is read here",
    }
    for path, why in told.items():
        if path.exists():
            yield Thing(path.name, (path,), False, why)


def _pages(workdir: Workdir, told: Runs) -> Iterator[Thing]:
    known = {run.run for run in told.all}
    for run in told.all:
        why = told.why.get(run.run, "")
        both = (workdir.logs / run.run, workdir.runs / run.run)
        shown = f"runs/{run.run}"
        yield Thing(shown, both, not why, why or "neither recent, nor did it publish a version that stands")
    for path in [*_children(workdir.logs), *_children(workdir.runs)]:
        if is_gone(path):
            yield Thing(f"{path.parent.name}/{path.name}", (path,), True, _INTERRUPTED)
        elif path.is_dir() and path.name not in known:
            why = "a run goes on, or is about to" if told.starting or told.going_on else ""
            yield _by_need(f"{path.parent.name}/{path.name}", path, why)
    loading = workdir.logs / "loading.log"
    if loading.is_file():
        why = "a run goes on" if told.starting or told.going_on else ""
        yield Thing("logs/loading.log", (loading,), not why, why or "what libraries said while they loaded")


def _by_need(shown: str, path: Path, why: str, used_at: float | None = None) -> Thing:
    return Thing(shown, (path,), not why, why or _NOBODY, used_at)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def last_used(path: Path) -> float:
    """When a file, or anything of a folder, was last written or touched, in seconds since 1970; 0 if it is gone."""
    try:
        return max(found.lstat().st_mtime for found in (path, *path.rglob("*")))
    except FileNotFoundError:
        return 0.0


def _was_used_again(thing: Thing) -> bool:
    if thing.used_at is None:
        return False
    path = thing.paths[-1]
    return (path.stat().st_mtime if path.parent.name == "data" else last_used(path)) != thing.used_at


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]
    return sum(file.lstat().st_size for file in files)
