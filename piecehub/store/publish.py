"""Publishes a version: all of it, or nothing.

    1 pack into staging                  4 the other blobs likewise
    2 read back, compare every file      5 create the manifest: THE COMMIT
    3 put it under its digest, durably   6 look whether every blob still stands
                                         7 note it in the index (index.py), which nothing here reads

A crash before 5 leaves unreferenced blobs, a crash after it a whole version; a retry ends well in both cases, because
the content decides what it finds. `create` has one winner, on a disk by link(2), in a bucket by a conditional PUT, so
racing publishers get the versions 1..n. Step 6 is the publisher's half of the bargain with `gc` (gc.py).
"""

import itertools
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from piecehub.errors import StaleIncumbent, StoreError, VersionExists
from piecehub.facts.content import FileEntry, content_digest, list_files, sha256_file
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import ARCHIVE_TITLE, Blob, Manifest
from piecehub.facts.progress import phase
from piecehub.store import archive, index, layout
from piecehub.store.archive import Compression
from piecehub.store.catalog import Store
from piecehub.store.events import ModelState, Status


class Unset(Enum):
    """Says that no incumbent was looked at, where None says that there was none."""

    UNSET = "unset"


# Makes the blobs that name the version itself, such as signatures, from the manifest without them.
Attest = Callable[[Manifest], Mapping[str, bytes]]
# A publisher loses once to each other one; who loses more often meets no publisher.
MAX_RACES = 1000
UNSET: Literal[Unset.UNSET] = Unset.UNSET


@dataclass(frozen=True)
class Published:
    """Where the content stands now; `created` is False if it stood there before, `warning` a sentence or empty."""

    handle: Handle
    digest: str
    created: bool
    warning: str = ""


@dataclass(frozen=True)
class _Wish:
    publisher: str
    name: str
    version: int | None
    digest: str
    judged_against: int | Unset | None


def publish(
    store: Store,
    model_dir: Path,
    publisher: str,
    name: str,
    *,
    version: int | None = None,
    blobs: Mapping[str, Path | bytes],
    facts: Mapping[str, Any],
    judged_against: int | Unset | None = UNSET,
    attest: Attest | None = None,
    compression: Compression = Compression.DEFLATE,
) -> Published:
    """Publishes the SavedModel in `model_dir`; content that is already there is a success.

    Args:
        store: where to; made if there is none yet.
        model_dir: the SavedModel; it must not change meanwhile.
        publisher: first part of the handle.
        name: second part of the handle.
        version: the version to take; None takes the next one, or stays at the newest if that has the same content.
        blobs: what goes with it, by title: `documentation.md`, `evidence.json`, …
        facts: plain JSON values for pages and gates.
        judged_against: the newest version when the candidate was judged (None or 0: there was none).
        attest: makes more blobs once handle, time and archive are known; called for each number that is tried.
        compression: of the archive; the version's identity does not depend on it.

    Raises:
        RecipeError: if the handle is not allowed.
        ArchiveError: if `model_dir` cannot be an archive.
        VersionExists: if `version` holds other content.
        StaleIncumbent: if another version is the newest by now.
        StoreError: if the content is quarantined.
        EnvironmentProblem: if the store cannot be written.
    """
    files = tuple(list_files(model_dir))
    wish = _Wish(publisher, name, version, content_digest(files), judged_against)
    settled = _settle(store, wish)
    if isinstance(settled, Published):
        return settled
    store.made()
    with store.backend.staging() as staging:
        placed = _Placed(store, staging)
        stored = placed.archive(model_dir, files, compression)
        with phase("storing what goes with it"):
            others = tuple(placed.blob(title, blobs[title]) for title in sorted(blobs))
            draft = Manifest(settled, wish.digest, files, "", compression.described, stored, others, facts)
            published, manifest = _commit(store, wish, draft, lambda manifest: placed.attested(manifest, attest))
            placed.look_again()
            index.note(store, publisher, name, manifest)
        return published


def find_published(
    store: Store, model_dir: Path, publisher: str, name: str, *, version: int | None = None
) -> Published | None:
    """What `publish` would answer without writing anything: the version that holds the content, or None.

    Arguments and errors are those of `publish`, so that what cannot be published is refused before it is checked.
    """
    settled = _settle(store, _Wish(publisher, name, version, content_digest(list_files(model_dir)), UNSET))
    return settled if isinstance(settled, Published) else None


def _settle(store: Store, wish: _Wish) -> Published | Handle:
    """The answer, if the store holds it already; else the handle to try.

    All of it rests on one look at the store: a version that comes after it takes the number that we would try.
    """
    state = store.state(wish.publisher, wish.name)
    following = max(state.versions, default=0) + 1
    handle = Handle(wish.publisher, wish.name, following if wish.version is None else wish.version)
    _check_quarantine(store, state, wish)
    for version in (state.newest, following - 1) if wish.version is None else (wish.version,):
        standing = store.find(replace(handle, version=version)) if version else None
        if standing and standing.digest == wish.digest:
            return Published(standing.handle, wish.digest, created=False)
        if standing and wish.version is not None:
            raise VersionExists(
                f"Expected a free version. Received: '{handle}', which holds other content ({standing.digest}); "
                "versions are immutable, take another number."
            )
    _check_incumbent(store, state, wish)
    return handle


def _check_quarantine(store: Store, state: ModelState, wish: _Wish) -> None:
    for version in state.versions:
        if state.status(version) is Status.QUARANTINED:
            handle = Handle(wish.publisher, wish.name, version)
            if store.manifest(handle).digest == wish.digest:
                raise StoreError(
                    f"Expected content that is not quarantined. Received: that of '{handle}'; publish a mended model."
                )


def _check_incumbent(store: Store, state: ModelState, wish: _Wish) -> None:
    judged, newest = wish.judged_against or 0, state.newest  # versions start at 1
    if judged in (UNSET, newest):
        return
    if newest and store.manifest(Handle(wish.publisher, wish.name, newest)).digest == wish.digest:
        return
    raise StaleIncumbent(
        f"Expected version {judged} of '{wish.publisher}/{wish.name}' to be the newest still. "
        f"Received: {newest} (0: none); run again, so that the candidate is judged against it."
    )


def _commit(
    store: Store, wish: _Wish, draft: Manifest, attested: Callable[[Manifest], Manifest]
) -> tuple[Published, Manifest | None]:
    """Creates the manifest; if another publisher was faster, looks again at what the store holds."""
    for _ in range(MAX_RACES):
        settled = _settle(store, wish)
        if isinstance(settled, Published):
            return settled, None
        manifest = attested(replace(draft, handle=settled, published_at=_now()))
        if store.backend.create(layout.manifest_key(settled), manifest.to_json().encode()):
            return Published(settled, wish.digest, created=True), manifest
    raise StoreError(
        f"Expected to win one of {MAX_RACES} races for a version of '{wish.publisher}/{wish.name}'. Received: none; "
        "something that is no manifest may stand there, run `piecehub store fsck`."
    )


class _Placed:
    """The blobs of one version: prepared in a staging folder, put into the store, and kept until the version stands."""

    def __init__(self, store: Store, staging: Path) -> None:
        self._backend = store.backend
        self._staging = staging
        self._files: dict[str, Path] = {}
        self._numbers = itertools.count()

    def archive(self, model_dir: Path, files: tuple[FileEntry, ...], compression: Compression) -> Blob:
        path = self._staging / ARCHIVE_TITLE
        packed = archive.pack(model_dir, path, compression=compression)
        archive.verify(path, files)
        with phase("storing the archive"):
            return self._put(Blob(ARCHIVE_TITLE, f"sha256:{packed.sha256}", packed.size_bytes), path)

    def blob(self, title: str, content: Path | bytes) -> Blob:
        if title == ARCHIVE_TITLE:
            raise StoreError(f"Expected another title. Received: '{title}', which is the archive's.")
        # A name of its own: a file that was put may be the very one that the store holds (a second name on a disk).
        path = self._staging / f"blob-{next(self._numbers)}"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            shutil.copyfile(content, path)
        return self._put(Blob(title, f"sha256:{sha256_file(path)}", path.stat().st_size), path)

    def attested(self, manifest: Manifest, attest: Attest | None) -> Manifest:
        if attest is None:
            return manifest
        more = tuple(self.blob(title, content) for title, content in sorted(attest(manifest).items()))
        return replace(manifest, blobs=(*manifest.blobs, *more))

    def look_again(self) -> None:
        """Puts once more what a `gc` took away between the blob and the manifest that names it."""
        for key, path in self._files.items():
            if self._backend.stat(key) is None:
                self._backend.put(key, path)

    def _put(self, blob: Blob, path: Path) -> Blob:
        key = layout.blob_key(blob.digest)
        self._backend.put(key, path)
        self._files[key] = path
        return blob


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
