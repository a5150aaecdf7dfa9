"""Fills the cache of TensorFlow Hub's client with a version that was verified first.

    piecehub fetch https://models.example/acme/tiny/1 --trust trust.toml
    hub.load("https://models.example/acme/tiny/1")         # the same text; no request is made

The client itself verifies nothing and can send no token. Here the files are unpacked beside the cache's entry, compared
with the manifest one by one, and renamed to it: the entry is absent or right.
"""

import datetime
import os
import shutil
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from piecehub.errors import EnvironmentProblem, NotVerified, no_space, telling_no_space
from piecehub.facts.content import FileEntry, list_files
from piecehub.facts.manifest import Manifest
from piecehub.facts.progress import phase
from piecehub.facts.workdir import make_writable
from piecehub.signing.hub_cache import descriptor_path, entry_name
from piecehub.signing.trust import Trust
from piecehub.signing.verify import Signed, check_signed
from piecehub.store import archive
from piecehub.store.shelf import Address, ServerShelf, checked_file


@dataclass(frozen=True)
class Fetched:
    """Where the model lies now; `created` is False if the right files lay there before."""

    entry: Path
    digest: str
    created: bool
    signed: Signed | None


def fetch(
    url: str,
    cache: Path,
    *,
    trust: Trust | None = None,
    token: str = "",
    server: str = "",
    max_bytes: int = archive.MAX_UNPACKED_BYTES,
) -> Fetched:
    """Puts a published version into the client's cache.

    Args:
        url: the handle, exactly as `hub.load` will be called with it.
        cache: the client's folder.
        trust: whose signature is asked for; None asks for none, but one that is there must hold.
        token: for private publishers; it is sent in a header, and written nowhere.
        server: the part of the address before the publisher, if the store is not at the server's root.
        max_bytes: a larger model is refused.

    Raises:
        RecipeError: if `url` is no address of a version.
        EnvironmentProblem: if the server or the cache cannot be used.
        NotVerified: if something is not what was promised, or not signed by who is trusted; the cache is as before.
        ArchiveError: if the archive is corrupt or hostile; the cache is as before.
    """
    address = Address.parse(url, server)
    shelf = ServerShelf(address.server, token)
    manifest = shelf.manifest(address.handle)
    if sum(file.size_bytes for file in manifest.files) > max_bytes:
        raise NotVerified(f"Expected a model of at most {max_bytes} bytes. Received: a larger '{address.handle}'.")
    signed = check_signed(shelf, manifest, trust)
    entry = make_writable(cache) / entry_name(url)
    created = not _stands(entry, manifest.files)
    if created:
        with telling_no_space(cache):
            _fill(entry, url, shelf, manifest)
    return Fetched(entry, manifest.digest, created, signed)


def _stands(entry: Path, files: tuple[FileEntry, ...]) -> bool:
    """Whether the right files lie there; an empty folder is nothing, as it is for the client.

    Raises:
        NotVerified: if other files do.
    """
    if not entry.is_dir() or not any(entry.iterdir()):
        return False
    if tuple(list_files(entry)) != tuple(sorted(files)):
        raise NotVerified(
            f"Expected the published files in the cache, or nothing. Received: others in '{entry}'; "
            "`piecehub cache doctor --purge` removes them."
        )
    return True


def _fill(entry: Path, url: str, shelf: ServerShelf, manifest: Manifest) -> None:
    # The ending is one that the client, and `cache doctor`, take for a download that goes on.
    beside = entry.with_name(f"{entry.name}.{uuid.uuid4().hex}.tmp")
    try:
        with checked_file(shelf, manifest.handle, manifest.archive) as path, phase("unpacking"):
            archive.unpack(path, beside, max_bytes=sum(file.size_bytes for file in manifest.files))
        if tuple(list_files(beside)) != tuple(sorted(manifest.files)):
            raise NotVerified(f"Expected the files of '{manifest.handle}' in its archive. Received: others.")
        _write_descriptor(entry, url)
        _rename(beside, entry, manifest.files)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _rename(beside: Path, entry: Path, files: tuple[FileEntry, ...]) -> None:
    try:
        beside.rename(entry)  # takes the place of an empty folder, and of no other
    except OSError as error:
        if not _stands(entry, files):  # else another process was faster, with the same files
            raise no_space(error, entry.parent) or EnvironmentProblem(
                f"Expected a cache that can be written. Received: '{entry}' ({error.strerror})."
            ) from error


def _write_descriptor(entry: Path, url: str) -> None:
    """As the client writes it; `url` has no query, so no token either."""
    text = f"Module: {url}\nDownload Time: {datetime.datetime.today()}\n"
    text += f"Downloader Hostname: {socket.gethostname()} (PID:{os.getpid()})"
    beside = entry.with_name(f"{entry.name}.{uuid.uuid4().hex}.tmp")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(descriptor_path(entry))
    finally:
        beside.unlink(missing_ok=True)
