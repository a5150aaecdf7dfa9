"""Publishes a version: all of it, or nothing.

    1 pack into tmp/, sync          4 the other blobs likewise
    2 read back, compare every file 5 write the manifest into tmp/, sync
    3 rename to blobs/, sync folder 6 link it into m/, sync folder: THE COMMIT

A crash before 6 leaves unreferenced files, a crash after it a whole version; a retry ends well in both cases, because
the content decides what it finds. link(2) has one winner, so racing publishers get the versions 1..n.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from piecehub.content import FileEntry, content_digest, list_files, sha256_file
from piecehub.errors import StaleIncumbent, StoreError, VersionExists
from piecehub.handle import Handle
from piecehub.manifest import ARCHIVE_TITLE, FILE_NAME, Blob, Manifest
from piecehub.store import archive, disk
from piecehub.store.catalog import Store


class Unset(Enum):
    """Says that no incumbent was looked at, where None says that there was none."""

    UNSET = "unset"


UNSET: Literal[Unset.UNSET] = Unset.UNSET


@dataclass(frozen=True)
class Published:
    """Where the content stands now; `created` is False if it stood there before."""

    handle: Handle
    digest: str
    created: bool


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

    Raises:
        RecipeError: if the handle is not allowed.
        ArchiveError: if `model_dir` cannot be an archive.
        VersionExists: if `version` holds other content.
        StaleIncumbent: if another version is the newest by now.
        EnvironmentProblem: if the store cannot be written.
    """
    files = tuple(list_files(model_dir))
    wish = _Wish(publisher, name, version, content_digest(files), judged_against)
    settled = _settle(store, wish)
    if isinstance(settled, Published):
        return settled
    Store.create(store.root)
    with disk.writing_to(store.root), disk.staging(store.root) as staging:
        stored = _store_archive(store, staging, model_dir, files)
        others = tuple(_store_blob(store, staging, title, blobs[title]) for title in sorted(blobs))
        draft = Manifest(settled, wish.digest, files, "", archive.COMPRESSION, stored, others, facts)
        return _commit(store, staging, wish, draft)


def _settle(store: Store, wish: _Wish) -> Published | Handle:
    """The answer, if the store holds it already; else the handle to try."""
    newest = store.newest(wish.publisher, wish.name)
    following = newest.handle.version + 1 if newest else 1
    handle = Handle(wish.publisher, wish.name, following if wish.version is None else wish.version)
    standing = newest if wish.version is None else store.find(handle)
    if standing and standing.digest == wish.digest:
        return Published(standing.handle, wish.digest, created=False)
    if standing and wish.version is not None:
        raise VersionExists(
            f"Expected a free version. Received: '{handle}', which holds other content ({standing.digest}); "
            "versions are immutable, take another number."
        )
    _check_incumbent(newest, wish)
    return handle


def _check_incumbent(newest: Manifest | None, wish: _Wish) -> None:
    found = newest.handle.version if newest else 0
    judged = wish.judged_against or 0  # versions start at 1
    if judged in (UNSET, found) or (newest and newest.digest == wish.digest):
        return
    raise StaleIncumbent(
        f"Expected version {judged} of '{wish.publisher}/{wish.name}' to be the newest still. "
        f"Received: {found} (0: none); run again, so that the candidate is judged against it."
    )


def _commit(store: Store, staging: Path, wish: _Wish, draft: Manifest) -> Published:
    """Links the manifest; if another publisher was faster, looks again at what the store holds."""
    while True:
        settled = _settle(store, wish)
        if isinstance(settled, Published):
            return settled
        manifest = replace(draft, handle=settled, published_at=_now())
        path = staging / f"{settled.version}-{FILE_NAME}"
        disk.write_synced(path, manifest.to_json().encode())
        if disk.link_new(path, store.manifest_path(settled), store.root):
            return Published(settled, wish.digest, created=True)


def _store_archive(store: Store, staging: Path, model_dir: Path, files: tuple[FileEntry, ...]) -> Blob:
    path = staging / ARCHIVE_TITLE
    packed = archive.pack(model_dir, path)
    disk.sync(path)
    archive.verify(path, files)
    blob = Blob(ARCHIVE_TITLE, f"sha256:{packed.sha256}", packed.size_bytes)
    disk.move_synced(path, store.blob_target(blob.digest), store.root)
    return blob


def _store_blob(store: Store, staging: Path, title: str, content: Path | bytes) -> Blob:
    if title == ARCHIVE_TITLE:
        raise StoreError(f"Expected another title. Received: '{title}', which is the archive's.")
    path = staging / "blob"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        shutil.copyfile(content, path)
    disk.sync(path)
    blob = Blob(title, f"sha256:{sha256_file(path)}", path.stat().st_size)
    disk.move_synced(path, store.blob_target(blob.digest), store.root)
    return blob


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
