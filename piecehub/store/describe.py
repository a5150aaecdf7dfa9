"""What machines are told about models and versions, as plain values for JSON: by the server and in an export."""

from collections.abc import Iterable
from typing import Any

from piecehub.facts.manifest import Blob, Manifest
from piecehub.store.events import ModelState
from piecehub.store.listing import Row

API = "/api/v1/models"
# What has an address of its own, and the titles by which a version carries it, the best first.
SPECIAL = {"provenance": ("provenance.dsse.json", "provenance.json"), "signature": ("model.sig",)}


def summary(manifest: Manifest, store_url: str) -> dict[str, str]:
    """A version in a list, for a store that is served at `store_url`."""
    return {
        "name": str(manifest.handle),
        "handle": manifest.handle.url(store_url),
        "digest": manifest.digest,
        "published_at": manifest.published_at,
    }


def listed(row: Row, store_url: str) -> dict[str, str]:
    """The same of a version that an index told of, with its status."""
    return {
        "name": str(row.handle),
        "handle": row.handle.url(store_url),
        "digest": row.digest,
        "published_at": row.published_at,
        "status": str(row.status),
    }


def model(state: ModelState) -> dict[str, Any]:
    """Every version of a model with its status, and what its aliases mean."""
    reasons = {version: state.reason(version) for version in state.versions}
    return {
        "name": state.model,
        "newest": state.newest or None,
        "aliases": state.aliases,
        "versions": [
            {"version": version, "status": state.status(version), "why": reason.why if reason else ""}
            for version, reason in reasons.items()
        ],
    }


def version(manifest: Manifest, state: ModelState, store_url: str) -> dict[str, Any]:
    """One version: its status, its archive, what was published with it, and the files of its SavedModel."""
    number = manifest.handle.version
    reason = state.reason(number)
    return summary(manifest, store_url) | {
        "status": state.status(number),
        "why": reason.why if reason else "",
        "aliases": list(state.aliases_of(number)),
        "compression": manifest.compression,
        "facts": dict(manifest.facts),
        "archive": _blob(manifest, manifest.archive, store_url),
        "blobs": [_blob(manifest, blob, store_url) for blob in manifest.blobs],
        "files": files(manifest),
    }


def files(manifest: Manifest) -> list[dict[str, Any]]:
    """The files of the SavedModel."""
    return [{"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256} for file in manifest.files]


def blob_named(manifest: Manifest, names: Iterable[str]) -> Blob | None:
    """The version's blob of the first such title or digest; a digest of somebody else's blob is none of its own."""
    blobs = (manifest.archive, *manifest.blobs)
    return next((blob for name in names for blob in blobs if name in (blob.title, blob.digest)), None)


def _blob(manifest: Manifest, blob: Blob, store_url: str) -> dict[str, Any]:
    return {
        "title": blob.title,
        "digest": blob.digest,
        "size_bytes": blob.size_bytes,
        "media_type": blob.media_type,
        "url": f"{store_url.rstrip('/')}{API}/{manifest.handle}/blobs/{blob.digest}",
    }
