"""The manifest: the facts of one published version, in the form of an OCI image manifest.

    {"schemaVersion": 2,
     "mediaType": "application/vnd.oci.image.manifest.v1+json",
     "artifactType": "application/vnd.piecehub.model.v1+json",
     "config": the descriptor of the empty object,
     "layers": [{"mediaType", "digest", "size", "annotations": {"org.opencontainers.image.title": "model.tar.gz"}}, …],
     "annotations": {"org.opencontainers.image.title": "<publisher>/<name>", "….version": "<N>", "….created": UTC,
                     "piecehub.content-digest": "sha256:…"},
     "model": {"compression", "facts": {…}, "files": [{"path", "size", "sha256"}, …]}}

The first layer is the archive. `model` is ours: readers of OCI manifests pass over keys that they do not know
(OCI image spec 1.1, considerations.md), so an export to an OCI registry need not change a byte.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from piecehub.content import FileEntry, content_digest
from piecehub.errors import PiecehubError, StoreError
from piecehub.handle import Handle

FILE_NAME = "manifest.json"
ARTIFACT_TYPE = "application/vnd.piecehub.model.v1+json"
ARCHIVE_TITLE = "model.tar.gz"
DOCUMENTATION_TITLE = "documentation.md"

_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_OCI_KEY = "org.opencontainers.image."
_DIGEST_KEY = "piecehub.content-digest"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# The descriptor that OCI image spec 1.1 gives to `{}`, for artifacts without a configuration.
_EMPTY_CONFIG = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "size": 2,
}
# Written out, because `mimetypes` reads the machine's own table and would make manifests differ.
_MEDIA_TYPES = {
    ".gz": "application/gzip",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


def check_digest(digest: str) -> str:
    """Returns `digest`; raises StoreError if it is not `sha256:` and 64 hex digits."""
    if not _DIGEST.fullmatch(digest):
        raise StoreError(f"Expected a digest 'sha256:<64 hex digits>'. Received: '{digest}'.")
    return digest


@dataclass(frozen=True)
class Blob:
    """One file of the store, addressed by the digest of its bytes."""

    title: str
    digest: str
    size_bytes: int

    @property
    def media_type(self) -> str:
        """What the title's ending says."""
        return _MEDIA_TYPES.get(f".{self.title.rpartition('.')[2]}", "application/octet-stream")

    def descriptor(self) -> dict[str, Any]:
        """The blob as an OCI descriptor."""
        return {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size_bytes,
            "annotations": {f"{_OCI_KEY}title": self.title},
        }

    @classmethod
    def from_descriptor(cls, value: Mapping[str, Any]) -> Self:
        """Reads what `descriptor` wrote."""
        return cls(value["annotations"][f"{_OCI_KEY}title"], check_digest(value["digest"]), int(value["size"]))


@dataclass(frozen=True)
class Manifest:
    """One published version.

    Attributes:
        handle: publisher, name and version.
        digest: the content digest of the SavedModel's files (`piecehub/content.py`), not of the archive.
        files: the files of the SavedModel, sorted.
        published_at: UTC, ISO 8601.
        compression: what compressed the archive.
        archive: the `.tar.gz` that the hosting protocol serves.
        blobs: what else was published with it, such as `documentation.md`.
        facts: what pages and gates read, such as `fine_tunable`; plain JSON values.
    """

    handle: Handle
    digest: str
    files: tuple[FileEntry, ...]
    published_at: str
    compression: str
    archive: Blob
    blobs: tuple[Blob, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def blob(self, title: str) -> Blob | None:
        """The blob of that title, or None."""
        return next((b for b in (self.archive, *self.blobs) if b.title == title), None)

    def to_json(self) -> str:
        """The text of `manifest.json`; equal manifests give equal bytes."""
        value = {
            "schemaVersion": 2,
            "mediaType": _OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": _EMPTY_CONFIG,
            "layers": [b.descriptor() for b in (self.archive, *sorted(self.blobs, key=lambda b: b.title))],
            "annotations": {
                f"{_OCI_KEY}title": f"{self.handle.publisher}/{self.handle.name}",
                f"{_OCI_KEY}version": str(self.handle.version),
                f"{_OCI_KEY}created": self.published_at,
                _DIGEST_KEY: self.digest,
            },
            "model": {
                "compression": self.compression,
                "facts": dict(self.facts),
                "files": [{"path": f.path, "size": f.size_bytes, "sha256": f.sha256} for f in sorted(self.files)],
            },
        }
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            StoreError: if the text is another kind of manifest, or a damaged one.
        """
        try:
            value = json.loads(text)
            kind = (value.get("schemaVersion"), value.get("artifactType"))
            if kind == (2, ARTIFACT_TYPE):
                return cls._from_value(value)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, PiecehubError) as error:
            raise StoreError(
                f"Expected a manifest of piecehub. Received: a damaged one ({type(error).__name__}: {error}); "
                "publish that version under another number."
            ) from error
        raise StoreError(
            f"Expected a manifest of schema 2 and type '{ARTIFACT_TYPE}'. Received: schema {kind[0]} and type "
            f"'{kind[1]}'; read it with a newer piecehub."
        )

    @classmethod
    def _from_value(cls, value: Mapping[str, Any]) -> Self:
        notes, model = value["annotations"], value["model"]
        files = tuple(FileEntry(f["path"], int(f["size"]), f["sha256"]) for f in model["files"])
        digest = check_digest(notes[_DIGEST_KEY])
        if content_digest(files) != digest:
            raise StoreError(f"its file list does not have the digest {digest}")
        archive, *blobs = (Blob.from_descriptor(layer) for layer in value["layers"])
        return cls(
            Handle.parse(f"{notes[f'{_OCI_KEY}title']}/{notes[f'{_OCI_KEY}version']}"),
            digest,
            files,
            notes[f"{_OCI_KEY}created"],
            model["compression"],
            archive,
            tuple(blobs),
            model["facts"],
        )
