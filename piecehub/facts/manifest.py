"""The manifest: the facts of one published version, in the form of an OCI image manifest.

    {"schemaVersion": 2,
     "mediaType": "application/vnd.oci.image.manifest.v1+json",
     "artifactType": "application/vnd.piecehub.model.v1+json",
     "config": the descriptor of the empty object,
     "layers": [{"mediaType", "digest", "size", "annotations": {"org.opencontainers.image.title": "model.tar.gz"}}, …],
     "annotations": {"org.opencontainers.image.title": "<publisher>/<name>", "….version": "<N>", "….created": UTC,
                     "piecehub.content-digest": "sha256:…", "piecehub.seal": "sha256:…" (seal.py)},
     "model": {"compression", "facts": {…}, "files": [{"path", "size", "sha256"}, …]}}

The first layer is the archive. `model` is ours: readers of OCI manifests pass over keys that they do not know
(OCI image spec 1.1, considerations.md), so an export to an OCI registry need not change a byte.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from piecehub.errors import PiecehubError, StoreError
from piecehub.facts.content import FileEntry, content_digest
from piecehub.facts.handle import Handle
from piecehub.facts.seal import UNSEALED, check_seal, seal

FILE_NAME = "manifest.json"
ARTIFACT_TYPE = "application/vnd.piecehub.model.v1+json"
MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARCHIVE_TITLE = "model.tar.gz"
# Beside a page in a run: the entries of the recipe that a person has still to write before it is published.
UNSAID = "unsaid.json"
DOCUMENTATION_TITLE = "documentation.md"

_OCI_KEY = "org.opencontainers.image."
_DIGEST_KEY = "piecehub.content-digest"
_SEAL_KEY = "piecehub.seal"
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
        digest: the content digest of the SavedModel's files (`piecehub/facts/content.py`), not of the archive.
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
        """The sealed text of `manifest.json`; equal manifests give equal bytes."""
        value = self._value()
        value["annotations"][_SEAL_KEY] = UNSEALED
        return seal(_text(value))

    def unsealed_json(self) -> str:
        """The text as it was before manifests were sealed."""
        return _text(self._value())

    def _value(self) -> dict[str, Any]:
        return {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE,
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

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Reads what `to_json` wrote, or wrote before there were seals.

        Raises:
            StoreError: if the text is another kind of manifest, or a damaged one.
        """
        try:
            text = text.decode() if isinstance(text, bytes) else text
            value = json.loads(text)
            kind = (value.get("schemaVersion"), value.get("artifactType"))
            if kind == (2, ARTIFACT_TYPE):
                if _SEAL_KEY in value["annotations"]:
                    check_seal(text, value["annotations"][_SEAL_KEY])
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


def is_intact(text: str) -> bool:
    """Whether a manifest's text is as it was written; of an unsealed one only the spelling can be told."""
    try:
        manifest = Manifest.from_json(text)
    except StoreError:
        return False
    return is_sealed(text) or manifest.unsealed_json() == text


def is_sealed(text: str) -> bool:
    """Whether a manifest's text carries a seal; those of the first weeks do not."""
    return _SEAL_KEY in json.loads(text)["annotations"]


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
