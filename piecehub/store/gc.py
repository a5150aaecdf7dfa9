"""Removes blobs that no version names, beside publishers at work.

    publisher    P1 put blobs      P2 create the manifest     P3 look whether every blob stands; put again what does not
    gc           G1 move to trash  G2 read all manifests      G3 move back what a manifest names; delete the rest

No clock is needed for the end to be right: if G1 took a blob before P3, the publisher puts it again; if after, then
the manifest stood before G2, and gc moves it back. In the second case the blob is away for a moment, so only what has
been unreferenced for longer than any publishing takes is touched (`grace`). What a killed gc left in the trash is
brought back, if a version names it, or removed, by the next one.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from piecehub.store import layout
from piecehub.store.backend import Entry
from piecehub.store.catalog import Store
from piecehub.store.fsck import GRACE, referenced


@dataclass(frozen=True)
class Collected:
    """What was removed and brought back: digests of blobs, keys of leftovers, and the bytes that were freed."""

    removed: tuple[str, ...]
    restored: tuple[str, ...]
    leftovers: tuple[str, ...]
    size_bytes: int


def unreferenced(store: Store, *, grace: timedelta = GRACE) -> list[Entry]:
    """The blobs that `collect` would remove; raises StoreError if a manifest cannot be read."""
    oldest = datetime.now(UTC) - grace
    blobs = list(store.backend.list(layout.BLOBS))
    named = referenced(store)  # after the listing: a blob that is named by then is known to be
    old = (entry for entry in blobs if entry.modified <= oldest)
    return sorted(e for e in old if (d := layout.blob_digest(e.key)) is not None and d not in named)


def collect(store: Store, *, grace: timedelta = GRACE) -> Collected:
    """Removes what no version names and is older than `grace`.

    Raises:
        StoreError: if a manifest cannot be read: then nobody knows what it names, and nothing is removed.
        EnvironmentProblem: if the store cannot be reached or written.
    """
    restored = _empty_trash(store, grace)
    trash = f"{layout.TRASH}/{uuid.uuid4().hex}"
    moved: dict[str, Entry] = {}
    for entry in unreferenced(store, grace=grace):
        if store.backend.move(entry.key, f"{trash}/{entry.key.rpartition('/')[2]}"):
            moved[f"sha256:{entry.key.rpartition('/')[2]}"] = entry
    named = referenced(store) if moved else {}
    for digest, entry in moved.items():
        away = f"{trash}/{digest.partition(':')[2]}"
        if digest in named:
            store.backend.move(away, entry.key)
            restored.append(digest)
        else:
            store.backend.delete(away)
    removed = {digest: entry for digest, entry in moved.items() if digest not in named}
    leftovers = _sweep(store, grace)
    return Collected(
        tuple(sorted(removed)),
        tuple(sorted(restored)),
        tuple(sorted(e.key for e in leftovers)),
        sum(e.size_bytes for e in (*removed.values(), *leftovers)),
    )


def _empty_trash(store: Store, grace: timedelta) -> list[str]:
    """Brings back what a killed gc took from a version; what nobody names goes once it is old."""
    restored: list[str] = []
    entries = list(store.backend.list(layout.TRASH))
    named = referenced(store) if entries else {}
    for entry in entries:
        digest = f"sha256:{entry.key.rpartition('/')[2]}"
        if digest in named and store.backend.stat(layout.blob_key(digest)) is None:
            if store.backend.move(entry.key, layout.blob_key(digest)):
                restored.append(digest)
        elif entry.modified < datetime.now(UTC) - grace:
            store.backend.delete(entry.key)
    return restored


def _sweep(store: Store, grace: timedelta) -> list[Entry]:
    """Removes what killed publishers and probes left; whoever is alive would miss it, so never under 24 hours."""
    oldest = datetime.now(UTC) - max(grace, GRACE)
    entries = [*store.backend.list(layout.STAGING), *store.backend.list(layout.PROBE)]
    old = [entry for entry in entries if entry.modified < oldest]
    for entry in old:
        store.backend.delete(entry.key)
    return old
