"""The cache of TensorFlow Hub's client (tensorflow_hub 0.16.1, resolver.py), and what can be wrong in it.

    <cache>/<sha1 of the handle>/                    a model; whatever is in it is loaded, for ever, without a look
    <cache>/<sha1>.descriptor.txt                    "Module: <handle>" and when it came from where
    <cache>/<sha1>.<uuid>.tmp/, <sha1>.lock          a download that goes on, or was killed

The client takes a folder that is not empty for a model. A download that was cut between two members stands there for
ever, and a token in a handle stands in the descriptor in clear.
"""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from piecehub.errors import EnvironmentProblem, PiecehubError
from piecehub.facts.content import FileEntry, list_files

_VARIABLE = "TFHUB_CACHE_DIR"
_DEFAULT = "tfhub_modules"
_DESCRIPTOR = ".descriptor.txt"
# TensorFlow reads one of these; a folder with none of them is no model.
_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "tfhub_module.pb")
# After this time without a new byte the client itself takes a download for dead.
_DEAD_AFTER_S = 600
_NAME = re.compile(r"[0-9a-f]{40}(\.descriptor\.txt)?")
# The last form is what `fetch` unpacks into, if it is killed at that moment.
_DOWNLOAD = re.compile(r"[0-9a-f]{40}(\.lock|\..+\.tmp)|\.[0-9a-f]{40}\..+\.tmp\..+")

# What a server says that a handle's files are, or None if it does not answer.
Ask = Callable[[str], tuple[FileEntry, ...] | None]


class Kind(StrEnum):
    """What can be wrong with an entry."""

    NO_MODEL = "no model"
    DIFFERS = "differs"
    ORPHAN = "orphan"
    LEFTOVER = "leftover"
    TOKEN = "token"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong; `paths` is what a purge removes, and `handle` is without its query."""

    kind: Kind
    paths: tuple[Path, ...]
    handle: str
    sentence: str


def cache_folder() -> Path:
    """The folder that the client uses here, unless it is told another one by its flag.

    Raises:
        EnvironmentProblem: if it lies on gs://.
    """
    named = os.environ.get(_VARIABLE, "")
    if "://" in named:
        raise EnvironmentProblem(f"Expected a folder in {_VARIABLE}. Received: '{named}'; give another by --cache.")
    return Path(named) if named else Path(tempfile.gettempdir(), _DEFAULT)


def entry_name(handle: str) -> str:
    """The name of a handle's entry; every character of the handle counts, a trailing slash too."""
    return hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()


def descriptor_path(entry: Path) -> Path:
    """The descriptor of an entry."""
    return entry.with_name(f"{entry.name}{_DESCRIPTOR}")


def check_cache(cache: Path, ask: Ask | None = None) -> list[Finding]:
    """Looks at every entry; other files are nobody's business.

    Args:
        cache: the folder; one that does not exist has nothing wrong.
        ask: tells the files of a handle, to compare with; None compares nothing.
    """
    entries = sorted(cache.iterdir()) if cache.is_dir() else []
    return [finding for path in entries for finding in _look_at(path, ask)]


def purge(finding: Finding) -> None:
    """Removes what is wrong, the folder before its descriptor; raises EnvironmentProblem if it cannot."""
    try:
        for path in finding.paths:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"Expected a cache that can be written. Received: '{error.filename}' ({error.strerror})."
        ) from error


def _look_at(path: Path, ask: Ask | None) -> Iterator[Finding]:
    if _DOWNLOAD.fullmatch(path.name):
        if time.time() - _last_change(path) > _DEAD_AFTER_S:
            yield Finding(Kind.LEFTOVER, (path,), "", "a download that was killed")
    elif _NAME.fullmatch(path.name):
        if path.name.endswith(_DESCRIPTOR):
            yield from _descriptor(path)
        elif path.is_dir():
            yield from _model(path, ask)


def _descriptor(path: Path) -> Iterator[Finding]:
    entry, handle = path.with_name(path.name.removesuffix(_DESCRIPTOR)), _handle(path)
    if not entry.is_dir():
        yield Finding(Kind.ORPHAN, (path,), _shown(handle), "a descriptor without its model")
    if "?" in handle:
        yield Finding(Kind.TOKEN, (entry, path), _shown(handle), "a handle with a query, which may be a secret")


def _model(entry: Path, ask: Ask | None) -> Iterator[Finding]:
    descriptor = descriptor_path(entry)
    handle = _handle(descriptor)
    both = (entry, descriptor)
    if not any((entry / name).is_file() for name in _MODEL_FILES):
        what = "files, but no saved_model.pb" if any(entry.iterdir()) else "nothing"
        yield Finding(Kind.NO_MODEL, both, _shown(handle), f"a folder with {what}")
    elif ask and handle and (promised := ask(handle)) is not None and (why := _difference(entry, promised)):
        yield Finding(Kind.DIFFERS, both, _shown(handle), why)


def _difference(entry: Path, promised: tuple[FileEntry, ...]) -> str:
    try:
        standing = {file.path: file for file in list_files(entry)}
    except PiecehubError as error:
        return error.sentence
    wanted = {file.path: file for file in promised}
    wrong = sorted(path for path in {*standing, *wanted} if standing.get(path) != wanted.get(path))
    return f"other files than were published: {', '.join(wrong[:5])}" if wrong else ""


def _handle(descriptor: Path) -> str:
    """The handle that a descriptor names, or an empty one."""
    try:
        first = descriptor.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except OSError:
        return ""
    return first.removeprefix("Module: ") if first.startswith("Module: ") else ""


def _shown(handle: str) -> str:
    """A handle without its query, where people put tokens."""
    return handle.partition("?")[0]


def _last_change(path: Path) -> float:
    return max(found.lstat().st_mtime for found in (path, *path.rglob("*")))
