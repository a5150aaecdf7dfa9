"""Keys: ECDSA on NIST P-256, in PEM files as openssl writes them.

    piecehub keys new key.pem             key.pem (mode 600) and key.pem.pub
    openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out key.pem
    openssl pkey -in key.pem -pubout -out key.pem.pub

A fingerprint is the sha256 of the public key as DER: `openssl pkey -pubin -in key.pem.pub -outform DER | sha256sum`.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from piecehub.errors import EnvironmentProblem, RecipeError
from piecehub.facts.content import sha256_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

_CURVE = "secp256r1"


@dataclass(frozen=True)
class PublicKey:
    """A public key; equal keys have equal PEM."""

    pem: bytes

    @property
    def fingerprint(self) -> str:
        """What a person compares, `sha256:<hex>`."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        der = self.load().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"sha256:{sha256_bytes(der)}"

    def load(self) -> "EllipticCurvePublicKey":
        """The key as `cryptography` has it."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        key = load_pem_public_key(self.pem)
        assert isinstance(key, EllipticCurvePublicKey)  # `parse_public_key` saw to it
        return key


def new_key(path: Path) -> PublicKey:
    """Makes a key pair: the private one at `path`, for its owner only, the public one at `<path>.pub`.

    Raises:
        EnvironmentProblem: if one of the two files exists, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    public = _public_of(key)
    try:
        with path.with_name(f"{path.name}.pub").open("xb") as file:
            file.write(public.pem)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    except OSError as error:
        raise EnvironmentProblem(
            f"Expected to write a new key to '{path}' and '{path}.pub'. Received: {error.strerror}; give another path."
        ) from error
    return public


def read_private_key(path: Path) -> "EllipticCurvePrivateKey":
    """The private key in a PEM file.

    Raises:
        EnvironmentProblem: if the file cannot be read.
        RecipeError: if it is no unencrypted P-256 private key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it has a password
        raise _no_key("private", str(path)) from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name != _CURVE:
        raise _no_key("private", str(path))
    return key


def public_key_of(private_key: Path) -> PublicKey:
    """The public half of a private key's file; errors as `read_private_key` has them."""
    return _public_of(read_private_key(private_key))


def read_public_key(path: Path) -> PublicKey:
    """The public key in a PEM file; errors as `read_private_key` has them."""
    return parse_public_key(_read(path), str(path))


def parse_public_key(pem: bytes, where: str) -> PublicKey:
    """The public key that `pem` holds; raises RecipeError, which names `where`, if it is no P-256 public key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _no_key("public", where) from error
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name != _CURVE:
        raise _no_key("public", where)
    return PublicKey(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _public_of(key: "EllipticCurvePrivateKey") -> PublicKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return PublicKey(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(
            f"Expected a key at '{path}'. Received: {error.strerror}; `piecehub keys new` makes one."
        ) from error


def _no_key(half: str, where: str) -> RecipeError:
    return RecipeError(
        f"Expected a {half} key on P-256, in PEM and without a password. Received: '{where}', which is none; "
        "`piecehub keys new` makes a pair."
    )
