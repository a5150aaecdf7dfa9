"""Keeps files and folders in a bucket, so that a pod with an empty disk goes on where one that was killed was.

    <place>/<name>/<sha256>      the bytes of a file
    <place>/<name>/whole.json    {"digest", "files": [[path, size_bytes, sha256], …]}: what belongs to it; written last

`name` is the thing's path below its folder here, such as `ab/<id>.npz` of a trial. Data come first and the list last,
and what is fetched is held against the list, so an upload that was cut short is nothing, and damage is as if nothing
were kept: the work is done again.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from piecehub.errors import ArchiveError, StoreError, telling_no_space
from piecehub.facts.content import FileEntry, canonical_json, content_digest, list_files, sha256_file
from piecehub.facts.kept import Keeper, kept_by
from piecehub.store.backend import Backend
from piecehub.store.members import safe_path
from piecehub.store.place import is_uri, open_backend

_WHOLE = "whole.json"
_AT_ONCE = 16  # of many small things
_log = logging.getLogger(__name__)


class InBucket:
    """The keeper of what lies below some folders here, each at a place of its own."""

    def __init__(self, places: dict[Path, Backend]) -> None:
        self._places = places
        self._known: dict[Path, tuple[FileEntry, ...]] = {}
        self._nowhere: set[Path] = set()

    def bring(self, things: Sequence[Path]) -> None:
        """See `Keeper`; what was not there once is not asked for again, for nobody else keeps it meanwhile."""
        wanted = [thing for thing in things if self._place_of(thing) and thing not in self._nowhere]
        with ThreadPoolExecutor(_AT_ONCE) as many:
            list(many.map(self._bring, [thing for thing in wanted if not thing.exists()]))

    def keep(self, thing: Path) -> None:
        """See `Keeper`; files that are there already are not sent again."""
        if not (found := self._place_of(thing)):
            return
        place, name = found
        files = _entries(thing)
        there = {file.sha256 for file in self._known.get(thing, ())}
        for file in files:
            if file.sha256 not in there:
                _send(place, f"{name}/{file.sha256}", thing / file.path)
        with place.staging() as staging:
            (staging / _WHOLE).write_bytes(_listed(files))
            place.put(f"{name}/{_WHOLE}", staging / _WHOLE)
        self._known[thing] = files
        self._nowhere.discard(thing)
        for old in there - {file.sha256 for file in files}:
            place.delete(f"{name}/{old}")

    def drop(self, thing: Path) -> None:
        """See `Keeper`."""
        if not (found := self._place_of(thing)):
            return
        place, name = found
        place.delete(f"{name}/{_WHOLE}")
        for entry in list(place.list(name)):
            place.delete(entry.key)
        self._known.pop(thing, None)

    def _place_of(self, thing: Path) -> tuple[Backend, str] | None:
        for folder, place in self._places.items():
            if thing.is_relative_to(folder):
                return place, thing.relative_to(folder).as_posix()
        return None

    def _bring(self, thing: Path) -> None:
        found = self._place_of(thing)
        assert found
        place, name = found
        listed = place.read(f"{name}/{_WHOLE}")
        if listed is None:
            self._nowhere.add(thing)
            return
        try:
            files = _read(listed)
            _fetch(place, name, files, thing)
        except (StoreError, ValueError, KeyError, TypeError) as error:
            _log.warning("Expected '%s' at '%s' as it was kept. Received: %s; done again.", name, place.uri, error)
            self._nowhere.add(thing)
            return
        self._known[thing] = files


@contextmanager
def kept_here(folders: Collection[str]) -> Generator[dict[str, str]]:
    """While this lasts, folders of this machine stand for those that are uris, and what is put there is kept.

    Args:
        folders: uris and paths.

    Yields:
        For each its folder here; a path stands for itself.

    Raises:
        EnvironmentProblem: if a bucket is missing, or may not be read.
    """
    uris = [folder for folder in folders if is_uri(folder)]
    with tempfile.TemporaryDirectory(prefix="piecehub-") as scratch:
        here = {uri: Path(scratch, str(number)).resolve() for number, uri in enumerate(uris)}
        for folder in here.values():
            folder.mkdir()
        keeper: Keeper = InBucket({folder: open_backend(uri) for uri, folder in here.items()})
        with kept_by(keeper):
            yield {**{folder: folder for folder in folders}, **{uri: str(folder) for uri, folder in here.items()}}


def _entries(thing: Path) -> tuple[FileEntry, ...]:
    """The files of a thing; a file is its own, by the empty path."""
    if thing.is_dir():
        return tuple(list_files(thing))
    return (FileEntry("", thing.stat().st_size, sha256_file(thing)),)


def _send(place: Backend, key: str, source: Path) -> None:
    if place.local_path(key) is None:
        place.put(key, source)
        return
    with place.staging() as staging:  # on a disk an object is a second name of a file, and this one may be edited
        place.put(key, Path(shutil.copyfile(source, staging / "file")))


def _listed(files: Sequence[FileEntry]) -> bytes:
    told = [[file.path, file.size_bytes, file.sha256] for file in files]
    return canonical_json({"digest": content_digest(files), "files": told})


def _read(listed: bytes) -> tuple[FileEntry, ...]:
    """What belongs to a thing, by its list; raises ValueError, KeyError, TypeError or StoreError if it is none."""
    told: dict[str, Any] = json.loads(listed)
    files = tuple(FileEntry(str(path), int(size), str(sha256)) for path, size, sha256 in told["files"])
    if content_digest(files) != told["digest"]:
        raise StoreError("another list than was written")
    for file in files:
        if file.path and safe_path(file.path) != file.path:
            raise ArchiveError(f"the path '{file.path}'")
    return files


def _fetch(place: Backend, name: str, files: Sequence[FileEntry], thing: Path) -> None:
    """Puts a thing in its place, once all of it is here and is what was kept; raises StoreError if it is not."""
    with telling_no_space(thing.parent):
        thing.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=thing.parent) as scratch:
            beside = Path(scratch, "thing")
            if not any(file.path == "" for file in files):
                beside.mkdir()
            for file in files:
                target = beside / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                _fetch_file(place, f"{name}/{file.sha256}", file, target)
            beside.replace(thing)


def _fetch_file(place: Backend, key: str, expected: FileEntry, target: Path) -> None:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        for block in place.stream(key):
            digest.update(block)
            size += len(block)
            if size > expected.size_bytes:
                break
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    if (size, digest.hexdigest()) != (expected.size_bytes, expected.sha256):
        raise StoreError(f"other bytes of '{expected.path or target.name}'")
