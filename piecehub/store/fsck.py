"""Reads every byte of a store, and says what is not as it was written.

A blob is compared with the digest that is its name, a manifest and an event with the seal that it carries, store.json
with the one text that it can have. What a manifest names must stand, and a log has no gap. Nothing is changed.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from piecehub.errors import StoreError
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import Manifest, is_intact, is_sealed
from piecehub.store import index, layout
from piecehub.store.backend import Backend, Entry
from piecehub.store.catalog import Store
from piecehub.store.events import Event

GRACE = timedelta(hours=24)


class Kind(StrEnum):
    """What can be found; the first four are damage, the others are for a person to know."""

    DAMAGED = "damaged"
    MISSING = "missing"
    MISPLACED = "misplaced"
    GAP = "gap"
    UNREFERENCED = "unreferenced"
    LEFTOVER = "leftover"
    UNSEALED = "unsealed"
    UNKNOWN = "unknown"
    INDEX = "index"


_HARMLESS = frozenset({Kind.UNREFERENCED, Kind.LEFTOVER, Kind.UNSEALED, Kind.UNKNOWN, Kind.INDEX})


@dataclass(frozen=True, order=True)
class Finding:
    """One object that is not as it should be.

    Attributes:
        kind: what is wrong.
        key: where it stands, or should.
        digest: what its bytes should have, if that is known; else empty.
        sentence: what was found, for a person.
    """

    kind: Kind
    key: str
    digest: str
    sentence: str

    @property
    def is_damage(self) -> bool:
        """Whether a reader could meet it."""
        return self.kind not in _HARMLESS


@dataclass(frozen=True)
class Checked:
    """What a check came to: how much was read, and what was found, damage first."""

    objects: int
    size_bytes: int
    findings: tuple[Finding, ...]

    @property
    def damage(self) -> list[Finding]:
        """What a reader could meet."""
        return [finding for finding in self.findings if finding.is_damage]


def check_store(store: Store, *, grace: timedelta = GRACE) -> Checked:
    """Reads every object of the store; safe beside publishers.

    Args:
        store: what to read.
        grace: how old an unreferenced blob or a leftover must be to be named; younger ones may be somebody's work.

    Raises:
        EnvironmentProblem: if the store cannot be reached.
    """
    # The listing comes first: a manifest that comes after it names blobs that are not judged, and harms nothing.
    entries = sorted(entry for entry in store.backend.list() if not entry.key.startswith(f"{layout.WORK}/"))
    check = _Check(store.backend, datetime.now(UTC) - grace)
    for entry in entries:
        check.look_at(entry)
    check.conclude(entries)
    ordered = sorted(check.findings, key=lambda f: (not f.is_damage, f.key, f.kind))
    return Checked(len(entries), sum(entry.size_bytes for entry in entries), tuple(ordered))


class _Check:
    """One pass over a store's objects."""

    def __init__(self, backend: Backend, oldest: datetime) -> None:
        self._backend = backend
        self._oldest = oldest
        self._referenced: dict[str, str] = {}  # digest of a blob → handle of a version that names it
        self._sizes: dict[str, int] = {}
        self._numbers: dict[str, list[int]] = {}
        self._files: dict[tuple[str, str], str] = {}  # content digest and path → sha256 of the file
        self._copies: dict[str, tuple[str, str]] = {}  # key → content digest and path, of expanded copies
        self.findings: list[Finding] = []

    def look_at(self, entry: Entry) -> None:
        if (digest := layout.blob_digest(entry.key)) is not None:
            self._blob(entry, digest)
        elif (place := layout.manifest_place(entry.key)) is not None:
            self._manifest(entry.key, *place)
        elif (place := layout.event_place(entry.key)) is not None:
            self._event(entry.key, *place)
        elif (copy := layout.expanded_place(entry.key)) is not None:
            self._copies[entry.key] = copy
        elif entry.key == layout.STORE_FILE:
            if self._backend.read(entry.key) != layout.STORE_TEXT.encode():
                self._note(Kind.DAMAGED, entry.key, "", f"It does not read {layout.STORE_TEXT.strip()}.")
        elif entry.key.split("/")[0] in (layout.STAGING, layout.TRASH, layout.PROBE):
            if entry.modified < self._oldest:
                self._note(Kind.LEFTOVER, entry.key, "", f"It was left behind at {entry.modified:%Y-%m-%d %H:%M} UTC.")
        elif entry.key.startswith(f"{layout.INDEX}/"):
            self._index(entry.key)
        else:
            self._note(Kind.UNKNOWN, entry.key, "", "It is not ours.")

    def conclude(self, entries: list[Entry]) -> None:
        """What can be said only of the whole."""
        damaged = {finding.key for finding in self.findings}
        standing = {digest: e for e in entries if (digest := layout.blob_digest(e.key)) is not None}
        for digest, handle in self._referenced.items():
            key = layout.blob_key(digest)
            entry = standing.get(digest) or self._backend.stat(key)  # it may have come after the listing
            if entry is None:
                self._note(Kind.MISSING, key, digest, f"{handle} names it.")
            elif entry.size_bytes != self._sizes[digest] and key not in damaged:
                self._note(Kind.DAMAGED, key, digest, f"{handle} says {self._sizes[digest]} bytes.")
        for digest, entry in standing.items():
            if digest not in self._referenced and entry.modified < self._oldest:
                self._note(Kind.UNREFERENCED, entry.key, digest, f"No version names it; {entry.size_bytes} bytes.")
        for model, numbers in self._numbers.items():
            for number in sorted(set(range(1, max(numbers) + 1)) - set(numbers)):
                self._note(Kind.GAP, layout.event_key(model, number), "", f"Event {number} of {model} is gone.")
        for key, copy in self._copies.items():
            self._copy(key, copy)
        if any(e.key.startswith(f"{layout.MODELS}/") for e in entries) and not any(
            e.key == layout.STORE_FILE for e in entries
        ):
            self._note(Kind.MISSING, layout.STORE_FILE, "", "The store has versions, and no store.json.")

    def _blob(self, entry: Entry, digest: str) -> None:
        try:
            found = f"sha256:{self._sha256(entry.key)}"
        except StoreError:  # a `gc` took it meanwhile; `conclude` says so if a version names it
            return
        if found != digest:
            self._note(Kind.DAMAGED, entry.key, digest, f"Its bytes have the digest {found}.")

    def _copy(self, key: str, copy: tuple[str, str]) -> None:
        """A file of an expanded copy, which clients read without us."""
        expected = self._files.get(copy)
        if expected is None:
            self._note(Kind.UNREFERENCED, key, "", "It is a file of no version.")
        elif self._sha256(key) != expected:
            again = "; `piecehub store expand` writes it again"
            self._note(Kind.DAMAGED, key, f"sha256:{expected}", f"Its bytes have another digest{again}.")

    def _sha256(self, key: str) -> str:
        sha256 = hashlib.sha256()
        for block in self._backend.stream(key):
            sha256.update(block)
        return sha256.hexdigest()

    def _manifest(self, key: str, model: str, version: int) -> None:
        text = self._text(key)
        if text is None or not is_intact(text):
            self._note(Kind.DAMAGED, key, "", "It is no manifest, or not the one that was written.")
            return
        if not is_sealed(text):
            self._note(Kind.UNSEALED, key, "", "It is older than seals: a flipped letter of its facts cannot be told.")
        manifest = Manifest.from_json(text)
        if str(manifest.handle) != f"{model}/{version}":
            self._note(Kind.MISPLACED, key, "", f"It is the manifest of {manifest.handle}.")
        for blob in (manifest.archive, *manifest.blobs):
            self._referenced.setdefault(blob.digest, str(manifest.handle))
            self._sizes[blob.digest] = blob.size_bytes
        self._files |= {(manifest.digest, file.path): file.sha256 for file in manifest.files}

    def _index(self, key: str) -> None:
        """Lists read it, and who finds it damaged reads the log instead."""
        data = self._backend.read(key)  # None: somebody folded it meanwhile
        if data is not None and not index.is_as_written(key, data):
            self._note(Kind.INDEX, key, "", "It is not as it was written; `piecehub store reindex` makes it anew.")

    def _event(self, key: str, model: str, number: int) -> None:
        self._numbers.setdefault(model, []).append(number)
        try:
            event = Event.from_json(self._backend.read(key) or b"")
        except StoreError as error:
            self._note(Kind.DAMAGED, key, "", error.sentence)
            return
        if (event.model, event.number) != (model, number):
            self._note(Kind.MISPLACED, key, "", f"It is event {event.number} of {event.model}.")

    def _text(self, key: str) -> str | None:
        try:
            return (self._backend.read(key) or b"").decode()
        except UnicodeDecodeError:
            return None

    def _note(self, kind: Kind, key: str, digest: str, sentence: str) -> None:
        self.findings.append(Finding(kind, key, digest, sentence))


def referenced(store: Store) -> dict[str, list[Handle]]:
    """The versions that name each blob; raises StoreError if a manifest cannot be read."""
    found: dict[str, list[Handle]] = {}
    for manifest in _manifests(store):
        for blob in (manifest.archive, *manifest.blobs):
            found.setdefault(blob.digest, []).append(manifest.handle)
    return found


def _manifests(store: Store) -> Iterator[Manifest]:
    for entry in store.backend.list(layout.MODELS):
        if (place := layout.manifest_place(entry.key)) is not None:
            yield store.manifest(Handle.parse(f"{place[0]}/{place[1]}"))
