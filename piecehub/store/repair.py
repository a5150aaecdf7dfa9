"""Mends a store from a second copy: another store, or files that somebody kept.

Nothing is taken on trust: a blob must have its digest, a manifest or an event its seal and its place. What no source
holds is named as lost; it stays as it is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from piecehub.errors import RecipeError, StoreError
from piecehub.facts.content import sha256_file
from piecehub.facts.manifest import Manifest, is_intact
from piecehub.store import layout
from piecehub.store.backend import Backend
from piecehub.store.catalog import Store
from piecehub.store.events import Event
from piecehub.store.fsck import Finding, check_store
from piecehub.store.place import open_backend


@dataclass(frozen=True)
class Repaired:
    """What was damaged: the part that is whole again, and the part that no source holds."""

    mended: tuple[Finding, ...]
    lost: tuple[Finding, ...]


def repair(store: Store, sources: Iterable[Path | str]) -> Repaired:
    """Replaces what `check_store` finds damaged or missing.

    Args:
        store: what to mend.
        sources: in their order: stores (folders or uris), folders of files such as saved archives, single files.

    Raises:
        RecipeError: if a source is not there.
        EnvironmentProblem: if a store cannot be reached or written.
    """
    copies = [_Trash(store.backend), *(_open_source(source) for source in sources)]
    mended: list[Finding] = []
    damage = check_store(store).damage
    tried: set[str] = set()
    # Again, because a manifest that is whole again names blobs that nobody missed before; but each object once, for a
    # manifest that lies about a size makes a blob damaged whatever stands there.
    while now := [f for f in damage if f.key not in tried and _mend(store.backend, f, copies)]:
        tried |= {finding.key for finding in now}
        mended += now
        damage = check_store(store).damage
    lost = {finding.key for finding in damage}
    return Repaired(tuple(f for f in mended if f.key not in lost), tuple(damage))


def _mend(backend: Backend, finding: Finding, copies: Iterable["_Copy"]) -> bool:
    with backend.staging() as staging:
        draft = staging / "draft"
        if finding.key == layout.STORE_FILE:
            draft.write_bytes(layout.STORE_TEXT.encode())
            backend.put(finding.key, draft)
            return True
        for copy in copies:
            for found in copy.candidates(finding.key):
                _save(found, draft)
                if _fits(finding.key, draft):
                    backend.put(finding.key, draft)
                    return True
    return False


def _fits(key: str, path: Path) -> bool:
    """Whether a file is what was written at `key`."""
    if (digest := layout.blob_digest(key)) is not None:
        return f"sha256:{sha256_file(path)}" == digest
    try:
        text = path.read_text(encoding="utf-8")
        if (place := layout.manifest_place(key)) is not None:
            return is_intact(text) and str(Manifest.from_json(text).handle) == f"{place[0]}/{place[1]}"
        event = Event.from_json(text.encode())
    except (UnicodeDecodeError, StoreError):
        return False
    return (event.model, event.number) == layout.event_place(key)


class _Store:
    """A second store: what stands there at the same key."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def candidates(self, key: str) -> Iterator[Iterator[bytes]]:
        if self._backend.stat(key) is not None:
            yield self._backend.stream(key)


class _Trash:
    """What a killed `gc` left in the store's own trash."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def candidates(self, key: str) -> Iterator[Iterator[bytes]]:
        name = key.rpartition("/")[2]
        for entry in self._backend.list(layout.TRASH):
            if entry.key.rpartition("/")[2] == name:
                yield self._backend.stream(entry.key)


class _Files:
    """Files of any name, such as archives that were fetched once; read only if a blob of their digest is needed."""

    def __init__(self, root: Path) -> None:
        self._files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
        self._by_digest: dict[str, Path] = {}

    def candidates(self, key: str) -> Iterator[Iterator[bytes]]:
        digest = layout.blob_digest(key)
        if digest is None:
            return
        if not self._by_digest:
            self._by_digest = {f"sha256:{sha256_file(path)}": path for path in self._files}
        if (path := self._by_digest.get(digest)) is not None:
            yield _blocks(path)


_Copy = _Store | _Trash | _Files


def _open_source(source: Path | str) -> _Copy:
    backend = open_backend(source)
    if backend.stat(layout.STORE_FILE) is not None:
        return _Store(backend)
    if "://" not in str(source) and Path(source).exists():
        return _Files(Path(source))
    raise RecipeError(f"Expected a store, a folder or a file to mend from. Received: '{source}', which is none.")


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block


def _save(blocks: Iterator[bytes], path: Path) -> None:
    with path.open("wb") as file:
        for block in blocks:
            file.write(block)
