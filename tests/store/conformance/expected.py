"""What must be there: read of a store, kept as JSON, so that a server far away can be checked without its store.

python -m tests.store.conformance.expected <folder or uri of the store> > expected.json
pytest tests/store/conformance --base-url https://models.example.com --expected expected.json
"""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from piecehub.facts.manifest import ARCHIVE_TITLE
from piecehub.store import expanded, layout
from piecehub.store.catalog import Store


@dataclass(frozen=True)
class Version:
    """One version, as a server is to show it."""

    name: str
    status: str
    why: str
    is_newest: bool
    archive_sha256: str
    archive_bytes: int
    files: dict[str, str]
    blobs: dict[str, str]
    manifest_sha256: str
    gcs_location: str

    @property
    def model(self) -> str:
        """Publisher and name."""
        return self.name.rpartition("/")[0]

    @property
    def is_gone(self) -> bool:
        """Whether nobody may have it."""
        return self.status == "quarantined"


@dataclass(frozen=True)
class Expected:
    """Every version of a store."""

    versions: tuple[Version, ...]

    @property
    def served(self) -> list[Version]:
        """Those that somebody may have."""
        return [version for version in self.versions if not version.is_gone]

    @property
    def listed(self) -> set[str]:
        """The names in the list of what there is to take."""
        return {version.name for version in self.versions if version.status == "published"}

    @classmethod
    def of(cls, store: Store) -> Self:
        """Reads a store."""
        return cls(tuple(_version(store, manifest) for manifest, _ in store.listing()))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `main` wrote."""
        return cls(tuple(Version(**value) for value in json.loads(path.read_text(encoding="utf-8"))))


def _version(store: Store, manifest: Any) -> Version:
    handle = manifest.handle
    state = store.state(handle.publisher, handle.name)
    reason = state.reason(handle.version)
    text = store.backend.read(layout.manifest_key(handle)) or b""
    return Version(
        name=str(handle),
        status=str(state.status(handle.version)),
        why=reason.why if reason else "",
        is_newest=handle.version == state.newest,
        archive_sha256=manifest.archive.digest.removeprefix("sha256:"),
        archive_bytes=manifest.archive.size_bytes,
        files={file.path: file.sha256 for file in manifest.files},
        blobs={b.title: b.digest for b in manifest.blobs if b.title != ARCHIVE_TITLE},
        manifest_sha256=hashlib.sha256(text).hexdigest(),
        gcs_location=expanded.location(store, manifest) or "",
    )


def main(place: str) -> None:
    """Writes what a store's servers must show to standard output."""
    print(json.dumps([asdict(version) for version in Expected.of(Store.open(place)).versions], indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
