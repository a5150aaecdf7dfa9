"""DSSE envelopes: bytes, their type, and signatures over both (secure-systems-lab/dsse, protocol.md 1.0).

    {"payload": base64, "payloadType": "application/vnd.in-toto+json", "signatures": [{"keyid", "sig": base64}, …]}

A `keyid` is a hint that nobody signed, so it is not believed: every key that may have signed is tried.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from piecehub.errors import NotVerified
from piecehub.signing.keys import PublicKey, public_key_of, read_private_key

IN_TOTO = "application/vnd.in-toto+json"


def sign(payload: bytes, private_key: Path) -> bytes:
    """The JSON of an envelope around an in-toto statement; errors as `keys.read_private_key` has them."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey

    key, fingerprint = read_private_key(private_key), public_key_of(private_key).fingerprint
    envelope = Envelope(payload, IN_TOTO, {})
    envelope.sign(CryptoSigner(key, SSlibKey.from_crypto(key.public_key(), fingerprint)))
    return json.dumps(envelope.to_dict(), sort_keys=True, indent=1).encode() + b"\n"


def open_envelope(value: Any, keys: Iterable[PublicKey], title: str) -> tuple[dict[str, Any], PublicKey]:
    """The statement in an envelope, and the key that signed it.

    Args:
        value: the envelope as plain JSON.
        keys: the keys to try.
        title: what a person calls the envelope.

    Raises:
        NotVerified: if it is no envelope of an in-toto statement, or none of the keys signed it.
    """
    try:
        payload = base64.b64decode(value["payload"], validate=True)
        signatures = [base64.b64decode(signature["sig"], validate=True) for signature in value["signatures"]]
        statement = json.loads(payload)
        kind, is_statement = value["payloadType"], isinstance(statement, dict)
    except (ValueError, KeyError, TypeError) as error:
        raise NotVerified(f"Expected '{title}' to be a signed statement. Received: a damaged one ({error}).") from error
    if kind != IN_TOTO or not is_statement:
        raise NotVerified(f"Expected '{title}' to hold an in-toto statement. Received: {str(kind)[:80]!a}.")
    for key in keys:
        if any(_is_signed(payload, signature, key) for signature in signatures):
            return statement, key
    raise NotVerified(f"Expected '{title}' to be signed by a key that is known here. Received: {_hints(value)}.")


def _is_signed(payload: bytes, signature: bytes, key: PublicKey) -> bool:
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import Signature, SSlibKey

    known = SSlibKey.from_crypto(key.load(), key.fingerprint)
    envelope = Envelope(payload, IN_TOTO, {known.keyid: Signature(known.keyid, signature.hex())})
    try:
        envelope.verify([known], 1)
    except VerificationError:
        return False
    return True


def _hints(value: Mapping[str, Any]) -> str:
    named = [str(signature.get("keyid", ""))[:80] for signature in value["signatures"]]
    by = f", which says that {', '.join(filter(None, named))} signed it" if any(named) else ""
    return f"a signature of another key, or over other bytes{by}"
