"""A published version where it stands: in a store, or on a server of piecehub.

    GET <server>/api/v1/models/<publisher>/<name>/<version>/manifest          its manifest, byte for byte
    GET <server>/api/v1/models/<publisher>/<name>/<version>/blobs/<digest>    the archive, and what goes with it

Nothing that comes from a shelf is believed: who takes a file compares it with its digest.
"""

import contextlib
import tempfile
import urllib.parse
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from piecehub.errors import NotVerified, RecipeError
from piecehub.facts.content import sha256_file
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import Blob, Manifest
from piecehub.facts.progress import phase
from piecehub.store.catalog import Store, read_manifest
from piecehub.store.download import MAX_DOWNLOAD_BYTES, fetch_file

_MAX_MANIFEST_BYTES = 64 << 20
_MAX_SMALL_BYTES = 64 << 20


class Shelf(Protocol):
    """Where a version stands."""

    def manifest(self, handle: Handle) -> Manifest:
        """The manifest of a version; raises PiecehubError if there is none, or it is damaged."""
        ...

    def file(self, handle: Handle, blob: Blob) -> AbstractContextManager[Path]:
        """A blob of a version as a file to read, gone afterwards; nobody compared it with its digest yet."""
        ...


@dataclass(frozen=True)
class StoreShelf:
    """A store on this machine or in a bucket."""

    store: Store

    def manifest(self, handle: Handle) -> Manifest:
        """The store's own manifest."""
        return self.store.manifest(handle)

    def file(self, handle: Handle, blob: Blob) -> AbstractContextManager[Path]:
        """The store's own file."""
        return self.store.blob_file(blob.digest)


@dataclass(frozen=True)
class ServerShelf:
    """A server; `token` is for private publishers, and is sent to nobody but the server itself."""

    url: str
    token: str = ""

    def manifest(self, handle: Handle) -> Manifest:
        """The manifest that the server has for the handle."""
        with self._fetched(f"{handle}/manifest", _MAX_MANIFEST_BYTES, "asking the server") as path:
            manifest = read_manifest(path.read_bytes(), handle)
        if manifest.handle != handle:
            raise NotVerified(f"Expected the manifest of '{handle}'. Received: that of '{manifest.handle}'.")
        return manifest

    def file(self, handle: Handle, blob: Blob) -> AbstractContextManager[Path]:
        """A blob, of no more bytes than the manifest says."""
        most_bytes = min(blob.size_bytes, MAX_DOWNLOAD_BYTES)
        return self._fetched(f"{handle}/blobs/{blob.digest}", most_bytes, f"fetching {blob.title}")

    @contextmanager
    def _fetched(self, route: str, max_bytes: int, doing: str) -> Generator[Path, None, None]:
        with tempfile.TemporaryDirectory(prefix="piecehub-fetch-") as beside:
            path = Path(beside, "file")
            with phase(doing):
                fetch_file(f"{self.url}/api/v1/models/{route}", path, max_bytes=max_bytes, token=self.token)
            yield path


@dataclass(frozen=True)
class Address:
    """A handle as `hub.load` takes it, taken apart."""

    server: str
    handle: Handle

    @classmethod
    def parse(cls, url: str, server: str = "") -> Self:
        """Takes `https://server/publisher/name/version` apart.

        Args:
            url: what `hub.load` will be called with.
            server: the part before the publisher, if the store is not at the server's root.

        Raises:
            RecipeError: if it has no version, or a query: a token there would stand in every cache and log.
        """
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.query or parts.fragment or parts.username or parts.password:
            raise RecipeError(
                f"Expected 'https://server/publisher/name/version' and nothing else. Received: '{parts.scheme}://"
                f"{parts.hostname or ''}{parts.path}' with more or less; give a token by --token-file."
            )
        root = server.rstrip("/") or f"{parts.scheme}://{parts.netloc}"
        if not url.startswith(f"{root}/"):
            raise RecipeError(f"Expected an address below '{root}'. Received: '{url}'.")
        return cls(root, Handle.parse(url.removeprefix(root)))


@contextlib.contextmanager
def checked_file(shelf: Shelf, handle: Handle, blob: Blob) -> Generator[Path, None, None]:
    """A blob whose bytes were compared with its digest.

    Raises:
        NotVerified: if they are others; blob and digest are named.
    """
    with shelf.file(handle, blob) as path:
        found = f"sha256:{sha256_file(path)}"
        if (found, path.stat().st_size) != (blob.digest, blob.size_bytes):
            raise NotVerified(
                f"Expected '{blob.title}' with the digest {blob.digest} and {blob.size_bytes} bytes. "
                f"Received: {found} and {path.stat().st_size} bytes."
            )
        yield path


def small_file(shelf: Shelf, handle: Handle, blob: Blob) -> bytes:
    """The bytes of a small blob; raises NotVerified as `checked_file` does, and if it is not small."""
    if blob.size_bytes > _MAX_SMALL_BYTES:
        raise NotVerified(f"Expected a short '{blob.title}'. Received: {blob.size_bytes} bytes.")
    with checked_file(shelf, handle, blob) as path:
        return path.read_bytes()
