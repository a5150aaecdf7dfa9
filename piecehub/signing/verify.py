"""Holds a published version against everything that is promised of it. Needs no network for a store at hand.

1 the manifest is whole, and its file list has the content digest        4 the archive holds just those files
2 every blob has its digest                                              5 `model.sig` is about just those files
3 the archive has its digest                                             6 the provenance names handle and archive
                                                                         7 the key may sign for the publisher, then
"""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

from piecehub.errors import NotVerified
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import Manifest
from piecehub.signing import envelope, signature, slsa
from piecehub.signing.attest import KEY_TITLE
from piecehub.signing.keys import PublicKey, parse_public_key
from piecehub.signing.trust import Trust
from piecehub.store import archive
from piecehub.store.shelf import Shelf, checked_file, small_file


@dataclass(frozen=True)
class Signed:
    """A signature that holds.

    Attributes:
        fingerprint: of the key.
        trusted_as: the name that the consumer has for the key; empty if nobody was asked.
        signed_at: the time that the provenance states; empty without one.
        builder: who built it, as the provenance says; empty without one.
    """

    fingerprint: str
    trusted_as: str
    signed_at: str = ""
    builder: str = ""


@dataclass(frozen=True)
class Verdict:
    """What held; `signed` is None if the version is unsigned, and nobody asked for a signature."""

    name: str
    digest: str
    files: int
    size_bytes: int
    signed: Signed | None


def verify_version(shelf: Shelf, handle: Handle, trust: Trust | None = None) -> Verdict:
    """Checks all of one published version.

    Args:
        shelf: where it stands.
        handle: which one.
        trust: whose signature is asked for; None asks for none, but one that is there must hold.

    Raises:
        NotVerified: if something is not what was promised, or not signed by who is trusted.
        ArchiveError: if the archive does not hold what the manifest says; the file is named.
        PiecehubError: if it cannot be found or read.
    """
    manifest = shelf.manifest(handle)
    for blob in manifest.blobs:
        with checked_file(shelf, handle, blob):
            pass
    with checked_file(shelf, handle, manifest.archive) as path:
        archive.verify(path, manifest.files)
    signed = check_signed(shelf, manifest, trust)
    size_bytes = sum(file.size_bytes for file in manifest.files)
    return Verdict(str(handle), manifest.digest, len(manifest.files), size_bytes, signed)


def check_signed(shelf: Shelf, manifest: Manifest, trust: Trust | None) -> Signed | None:
    """The signature of a version, by its manifest; errors as `verify_version` has them.

    Whether the archive is what the manifest says is not looked at here.
    """
    found = {title: manifest.blob(title) for title in (signature.TITLE, slsa.TITLE, KEY_TITLE)}
    texts = {title: small_file(shelf, manifest.handle, blob) for title, blob in found.items() if blob}
    if not {signature.TITLE, slsa.TITLE} & set(texts):
        return _unsigned(str(manifest.handle), trust)
    for title in (signature.TITLE, slsa.TITLE):
        if title not in texts:
            raise NotVerified(f"Expected '{title}' beside '{manifest.handle}'. Received: only the other half.")
    own = parse_public_key(texts[KEY_TITLE], KEY_TITLE) if KEY_TITLE in texts else None
    keys = _keys(trust, own)
    key = signature.check_files(texts[signature.TITLE], manifest.files, keys)
    statement, builder_key = envelope.open_envelope(_json(texts[slsa.TITLE]), keys, slsa.TITLE)
    builder, signed_at = slsa.check_subject(statement, manifest)
    names = [trust.check(k, manifest.handle.publisher, signed_at) for k in (key, builder_key)] if trust else [""]
    return Signed(key.fingerprint, names[0], signed_at, builder)


def verify_folder(folder: Path, bundle: Path, trust: Trust) -> Verdict:
    """Checks a SavedModel that lies in a folder against a bundle that lies beside it.

    A bundle states no publisher and no time, so `trust` should be in one key.

    Raises:
        NotVerified: if a file was changed, added, removed or renamed, or no trusted key signed the bundle.
        PiecehubError: if the folder holds a link or the like.
    """
    files = list_files(folder)
    key = signature.check_files(bundle.read_bytes(), files, trust.keys)
    name = next(entry.name for entry in trust.known if entry.key == key)
    size_bytes = sum(file.size_bytes for file in files)
    return Verdict(str(folder), content_digest(files), len(files), size_bytes, Signed(key.fingerprint, name))


def _unsigned(name: str, trust: Trust | None) -> None:
    if trust is not None:
        raise NotVerified(f"Expected a signature of '{name}'. Received: none; it was published unsigned.")


def _keys(trust: Trust | None, own: PublicKey | None) -> list[PublicKey]:
    """The keys to try: those that are known here first, then the one that the version brings."""
    return list(dict.fromkeys(itertools.chain(trust.keys if trust else [], [own] if own else [])))


def _json(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError as error:
        raise NotVerified(f"Expected JSON in '{slsa.TITLE}'. Received: something else ({error}).") from error
