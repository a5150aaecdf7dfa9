"""The records that a recipe reads, in a folder or a bucket: which there are, told without reading one.

    <place>/upstream/{train,eval}/*     and <place>/<task>/{pool,test}/*: parts and their splits (examples/layout.py)
    <place> with spans                  the newest that is complete: every split has records (facts/spans.py)

Nothing tells that somebody is still writing: a span is to be written under another name and renamed, or its last split
last.

What tells that somebody changed a part holds the name and size of each file and, in a bucket, a tag that is made of its
bytes: two spans of equal files have one. Where only a time tells of a file (in a folder, and in a bucket of another
kind), two that differ may have one time, as all files of an unpacked archive do; there it holds the span's folder too.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from piecehub.errors import DataError
from piecehub.examples import layout
from piecehub.facts.content import sha256_bytes
from piecehub.facts.progress import phase
from piecehub.facts.spans import Span, fixed_part, has_spans, names_like, refuse_pattern
from piecehub.store.backend import Backend, Entry
from piecehub.store.place import is_uri, open_backend

# The splits of each part: of `upstream`, and of each task.
Parts = Mapping[str, Sequence[str]]
FOLDER, FINGERPRINT = "folder", "fingerprint"
# What S3 makes of an object's bytes, or of those of its parts; other tags are told by the time of writing.
_OF_BYTES = re.compile(r'"?[0-9a-fA-F]{32}(-[0-9]+)?"?')
# Split, name and size of a file, and what changes with its bytes.
_File = tuple[str, str, int, str]


@dataclass(frozen=True)
class Found:
    """Where the newest records lie, and what tells of each part that somebody changed it.

    Attributes:
        place: a folder or a uri, without spans in it.
        span: which one it is; empty without spans.
        fingerprints: by part, of names and sizes of its files, and of their tags, or times and place.
    """

    place: str
    span: str
    fingerprints: Mapping[str, str]

    @property
    def name(self) -> str:
        """A hex sha256 that other records have."""
        return sha256_bytes(json.dumps(sorted(self.fingerprints.items())).encode())


def output(part: str, what: str) -> str:
    """The name under which a task tells others where a part lies (`FOLDER`), or what it is (`FINGERPRINT`)."""
    return f"{part}-{what}"


def list_data(place: str, parts: str, span: str = "") -> dict[str, str]:
    """What the listing of the data does on Kubeflow: the newest records, by the names of `output`.

    A part's folder is told with the spans in its name, as they were given: what reads it finds it again by the
    fingerprint (`listed_again`), so nothing changes for it with a span whose files are copies.

    Args:
        place: a folder, or the uri of a bucket, with spans or without.
        parts: `Parts` as JSON.
        span: the one to read, as `Span` is written; the newest if empty.

    Raises:
        DataError: if a split has no records, or there is no such span.
        EnvironmentProblem: if the place cannot be reached.
    """
    found = find_data(place, json.loads(parts), span)
    print(f"Records: {found.place}", flush=True)
    return {
        **{output(part, FOLDER): f"{place.rstrip('/')}/{part}" for part in found.fingerprints},
        **{output(part, FINGERPRINT): value for part, value in found.fingerprints.items()},
        "span": found.span,
    }


def find_data(place: str, parts: Parts, span: str = "") -> Found:
    """The newest records of a place; arguments and errors as `list_data` has them, RecipeError for wrong spans too."""
    refuse_pattern(place)
    place = place.rstrip("/")
    spans = _newest_first(place)
    if span:
        spans = [one for one in spans if str(one[0]) == span]
        if not spans:
            raise DataError(
                f"Expected the span '{span}' of '{place}'. Received: none of that name; write one, or correct it "
                "(a number, or a day as 2026-01-31)."
            )
    lacking: list[str] = []
    for found, name in spans:
        listed = {part: {split: _files(name, part, split) for split in splits} for part, splits in parts.items()}
        if not (empty := _without_records(listed)):
            told = {part: (file for files in each.values() for file in files) for part, each in listed.items()}
            return Found(name, str(found), {part: layout.fingerprint(files) for part, files in told.items()})
        lacking.append(empty)
    raise _nothing(place, [str(span) for span, _ in spans], lacking)


def part_fingerprint(source: str, splits: Sequence[str]) -> str:
    """What `Found` tells of a part, which lies in the folder or uri `source`."""
    place, _, part = source.rpartition("/")
    return layout.fingerprint(file for split in splits for file in _files(place, part, split))


def listed_again(source: str, splits: Sequence[str], fingerprint: str) -> str:
    """The folder or uri of the part that a listing told of, the newest if there are several.

    Args:
        source: where the part lies, with spans or without.
        splits: its own.
        fingerprint: what was told of it. If it is a folder of `source`, records were laid down by their content, and
            nobody looks.

    Raises:
        DataError: if there are no such records any more.
        EnvironmentProblem: if the place cannot be reached.
    """
    if fingerprint and fingerprint in source.split("/"):
        return source
    found = (name for _, name in _newest_first(source) if part_fingerprint(name, splits) == fingerprint)
    if name := next(found, ""):
        return name
    raise DataError(
        f"Expected the records of '{source}' that were listed when the run began. Received: others; they changed "
        "between listing and ingestion, so start the run again."
    )


def _newest_first(place: str) -> list[tuple[Span, str]]:
    """The spans of a place, each with its own place; without spans the place itself."""
    if not has_spans(place):
        return [(Span(), place)]
    fixed = fixed_part(place)
    return sorted(_spans(fixed, place.removeprefix(f"{fixed}/").split("/"), {}), reverse=True)


def _nothing(place: str, spans: Sequence[str], lacking: Sequence[str]) -> DataError:
    """The error of a place without records, by its spans, the newest first, and a split that each lacks."""
    if not spans:
        return DataError(
            f"Expected records in '{place}'. Received: no folder of such a name; write one, or correct it."
        )
    if not has_spans(place):
        return DataError(f"Expected records in the split '{lacking[0]}'. Received: none in '{place}'.")
    return DataError(
        f"Expected a span of '{place}' of which every split has records. Received: none of {len(spans)}, and the "
        f"newest, {spans[0]}, lacks '{lacking[0]}'; write it."
    )


def record_files(source: str, split: str) -> Iterator[str]:
    """The files of a split, each on this machine: of a bucket one after the other, gone when the next is asked for."""
    if not is_uri(source):
        yield from layout.split_files(source, split)
        return
    backend = open_backend(source)
    for entry in _entries(backend, "", split):
        with tempfile.TemporaryDirectory(prefix="piecehub-") as scratch:
            yield str(_fetched(backend, entry.key, Path(scratch, split)))


def bring_data(found: Found, parts: Parts, destination: Path) -> None:
    """Copies the records of a bucket into a folder, in the same layout; errors are those of `find_data`."""
    backend = open_backend(found.place)
    for part, splits in parts.items():
        for split in splits:
            with phase(f"fetching '{part}/{split}'"):
                for entry in _entries(backend, part, split):
                    _fetched(backend, entry.key, destination / part / split)


def _fetched(backend: Backend, key: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / key.rpartition("/")[2]
    with path.open("wb") as file:
        for block in backend.stream(key):
            file.write(block)
    return path


def _without_records(listed: Mapping[str, Mapping[str, Sequence[_File]]]) -> str:
    """The first split of which no file has a byte; empty if there is none."""
    empty = (f"{p}/{s}" for p, each in listed.items() for s, files in each.items() if not any(f[2] for f in files))
    return next(empty, "")


def _files(place: str, part: str, split: str) -> list[_File]:
    """The files of a split, sorted."""
    if is_uri(place):
        entries = _entries(open_backend(place), part, split)
        return [(split, Path(e.key).name, e.size_bytes, _identity(e, f"{place}/{part}")) for e in entries]
    paths = [(path, path.stat()) for path in map(Path, layout.split_files(f"{place}/{part}", split))]
    return [(split, path.name, it.st_size, f"{it.st_mtime_ns} {place}/{part}") for path, it in paths]


def _identity(entry: Entry, folder: str) -> str:
    """What changes with an object's bytes; the same for equal bytes elsewhere where its tag is made of them."""
    if _OF_BYTES.fullmatch(entry.etag):
        return entry.etag.strip('"').lower()
    return f"{entry.etag or entry.modified.isoformat()} {folder}"


def _entries(backend: Backend, part: str, split: str) -> list[Entry]:
    """The objects of a split in a bucket, sorted by their keys."""
    for folder in layout.split_folders(part, split):
        prefix = folder.lstrip("/")
        found = [entry for entry in backend.list(prefix) if _is_record(entry.key, prefix)]
        if found:
            return sorted(found)
    return []


def _is_record(key: str, folder: str) -> bool:
    above, _, name = key.rpartition("/")
    return above == folder and layout.counts_as_records(name)


def _spans(place: str, rest: Sequence[str], known: Mapping[str, str]) -> Iterator[tuple[Span, str]]:
    """The spans below a place, each with its own place; `rest` are the folders that are still to be found."""
    if not rest:
        span = Span.of(known)
        yield from [(span, place)] if span else []
    elif not has_spans(rest[0]):
        yield from _spans(f"{place}/{rest[0]}", rest[1:], known)
    else:
        form = names_like(rest[0], known)
        for name in open_backend(place).folders():
            if match := form.fullmatch(name):
                yield from _spans(f"{place}/{name}", rest[1:], {**known, **match.groupdict()})
