"""The signature over a model's files: a Sigstore bundle as `model-signing` writes and reads it.

Inside lies a DSSE envelope with an in-toto statement, predicate `https://model_signing/signature/v1.0`, which lists
every file with its sha256 (https://github.com/sigstore/model-transparency). Git's files are listed too: by default the
tool leaves `.gitignore` and the like out, so one could be added to a signed model.

Read strictly: what is signed must be what stands there, file for file, whatever a bundle says may be passed over.
"""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from piecehub.errors import NotVerified, PiecehubError
from piecehub.facts.content import FileEntry
from piecehub.signing.envelope import open_envelope
from piecehub.signing.keys import PublicKey, public_key_of, read_private_key

TITLE = "model.sig"
_PREDICATE = "https://model_signing/signature/v1.0"


def sign_files(folder: Path, files: Iterable[FileEntry], private_key: Path) -> bytes:
    """The bundle over the files of `folder`.

    Args:
        folder: of the SavedModel.
        files: what it holds, as the manifest will say.
        private_key: the PEM file; errors as `keys.read_private_key` has them.

    Raises:
        PiecehubError: if the folder holds something else, or something that cannot be signed.
    """
    from model_signing import hashing, signing

    read_private_key(private_key)
    with tempfile.TemporaryDirectory(prefix="piecehub-sign-") as beside:
        bundle = Path(beside, TITLE)
        everything = hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)
        config = signing.Config().use_elliptic_key_signer(private_key=private_key)
        try:
            config.set_hashing_config(everything).sign(folder, bundle)
        except (ValueError, OSError) as error:
            raise PiecehubError(f"Expected a folder that can be signed. Received: '{folder}' ({error}).") from error
        signed = bundle.read_bytes()
    check_files(signed, files, [public_key_of(private_key)])
    return signed


def check_files(bundle: bytes, files: Iterable[FileEntry], keys: Iterable[PublicKey]) -> PublicKey:
    """The key that signed exactly `files`.

    Raises:
        NotVerified: if none of the keys signed the bundle, or it is about other files; the first one is named.
    """
    try:
        value = json.loads(bundle)["dsseEnvelope"]
    except (ValueError, KeyError, TypeError) as error:
        raise NotVerified(f"Expected '{TITLE}' to be a Sigstore bundle. Received: a damaged one ({error}).") from error
    statement, key = open_envelope(value, keys, TITLE)
    signed, standing = _signed_files(statement), {file.path: file.sha256 for file in files}
    for path in sorted({*signed, *standing}):
        if signed.get(path) != standing.get(path):
            raise NotVerified(f"Expected the files that were signed. Received: {_difference(path, signed, standing)}.")
    return key


def _signed_files(statement: dict[str, Any]) -> dict[str, str]:
    """The sha256 of each file by its path, as a statement lists them."""
    try:
        predicate = statement["predicate"]
        resources = [(item["name"], item["algorithm"], item["digest"]) for item in predicate["resources"]]
        kind = (statement["predicateType"], predicate["serialization"]["method"], {how for _, how, _ in resources})
    except (KeyError, TypeError) as error:
        raise NotVerified(f"Expected '{TITLE}' to list files. Received: a statement without them ({error}).") from error
    signed = {path: digest for path, _, digest in resources}
    if kind != (_PREDICATE, "files", {"sha256"}) or len(signed) != len(resources):
        raise NotVerified(
            f"Expected '{TITLE}' to list each file once, with its sha256. Received: {str(kind)[:200]}; sign it again "
            "with model-signing 1, file by file."
        )
    return signed


def _difference(path: str, signed: dict[str, str], standing: dict[str, str]) -> str:
    if path not in standing:
        return f"no '{path}'"
    return f"'{path}', which is {'changed' if path in signed else 'not signed'}"
