"""What the store holds, and where.

    store.json                                   {"schema": 1}: the layout below; written once
    tmp/<uuid>/                                  staging of one publisher; swept after 24 hours
    blobs/sha256/ab/<hex>                        archives, documentation, evidence, …; named by their own bytes
    m/<publisher>/<name…>/<version>/manifest.json
                                                 written once, by link(2): a version exists if and only if this does

A manifest is linked only after every blob that it names is on the disk, so a reader that starts at manifests never
meets half a version. Nothing is ever overwritten, and nothing else is to be trusted: no index, no `latest`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from piecehub.errors import StoreError
from piecehub.handle import Handle, check_name, check_publisher
from piecehub.manifest import FILE_NAME, Manifest, check_digest
from piecehub.store import disk

_SCHEMA = 1
_STORE_FILE = "store.json"


@dataclass(frozen=True)
class Store:
    """A store on this machine; reading one that does not exist yet finds nothing, and creates nothing."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> Self:
        """The store at `root`; raises StoreError if it has a layout that we do not know."""
        path = root / _STORE_FILE
        if path.is_file():
            _check_schema(path)
        return cls(root)

    @classmethod
    def create(cls, root: Path) -> Self:
        """The store at `root`, made if there is none.

        Raises:
            EnvironmentProblem: if it cannot be written.
            StoreError: if it has a layout that we do not know.
        """
        if not (root / _STORE_FILE).is_file():
            with disk.writing_to(root), disk.staging(root) as staging:
                draft = staging / _STORE_FILE
                disk.write_synced(draft, f'{{"schema": {_SCHEMA}}}\n'.encode())
                disk.link_new(draft, root / _STORE_FILE, root)
        return cls.open(root)

    def versions(self, publisher: str, name: str) -> list[int]:
        """The published versions of a model, oldest number first; none if the model is unknown."""
        folder = self.root / "m" / check_publisher(publisher) / check_name(name)
        return sorted(int(path.parent.name) for path in folder.glob(f"*/{FILE_NAME}") if _is_version(path.parent.name))

    def newest(self, publisher: str, name: str) -> Manifest | None:
        """The manifest of the highest version, or None if the model is unknown."""
        versions = self.versions(publisher, name)
        return self.manifest(Handle(publisher, name, versions[-1])) if versions else None

    def find(self, handle: Handle) -> Manifest | None:
        """The manifest of one version, or None; raises StoreError if it is damaged."""
        path = self.manifest_path(handle)
        if not path.is_file():
            return None
        manifest = Manifest.from_json(path.read_text(encoding="utf-8"))
        if manifest.handle != handle:
            raise StoreError(f"Expected the manifest of {handle}. Received: that of {manifest.handle}; restore it.")
        return manifest

    def manifest(self, handle: Handle) -> Manifest:
        """The manifest of one version; raises StoreError if it was not published."""
        manifest = self.find(handle)
        if manifest is None:
            raise StoreError(f"Expected a published version. Received: '{handle}'; `piecehub models` lists them.")
        return manifest

    def models(self) -> list[Manifest]:
        """Every published version, the newest published first."""
        manifests = [self.manifest(handle) for handle in self._handles()]
        return sorted(manifests, key=lambda m: (m.published_at, m.handle), reverse=True)

    def blob_path(self, digest: str) -> Path:
        """The file of a blob; raises StoreError if `digest` is not one, or the blob is missing."""
        path = self.blob_target(digest)
        if not path.is_file():
            raise StoreError(f"Expected the blob {digest}. Received: none; the store is damaged, restore it.")
        return path

    def blob_target(self, digest: str) -> Path:
        """Where a blob stands, or will."""
        algorithm, _, hexadecimal = check_digest(digest).partition(":")
        return self.root / "blobs" / algorithm / hexadecimal[:2] / hexadecimal

    def manifest_path(self, handle: Handle) -> Path:
        """Where a version's manifest stands, or will; a Handle's parts are checked, so it lies below the store."""
        return self.root / "m" / handle.publisher / handle.name / str(handle.version) / FILE_NAME

    def _handles(self) -> Iterator[Handle]:
        top = self.root / "m"
        for path in top.rglob(FILE_NAME):
            if _is_version(path.parent.name):
                yield Handle.parse(path.parent.relative_to(top).as_posix())


def _is_version(name: str) -> bool:
    """True for the one spelling of a version: '7', not '07'."""
    return name.isascii() and name.isdigit() and not name.startswith("0")


def _check_schema(path: Path) -> None:
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"Expected the JSON of a store. Received: a damaged '{path}'; restore it.") from error
    if schema != _SCHEMA:
        raise StoreError(
            f"Expected a store of schema {_SCHEMA}. Received: schema {schema} in '{path}'; use a newer piecehub."
        )
