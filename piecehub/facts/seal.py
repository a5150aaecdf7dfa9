"""A text that carries the digest of itself, so that no flipped bit in it goes unseen.

The seal is the sha256 of the text in which the seal's own 64 digits are zeros. Blobs need none: their name is their
digest. Manifests and events have names that people choose, so they carry it inside.
"""

import re

from piecehub.errors import StoreError
from piecehub.facts.content import sha256_bytes

UNSEALED = f"sha256:{'0' * 64}"
_SEAL = re.compile(r"sha256:[0-9a-f]{64}")


def seal(text: str) -> str:
    """`text` with the first `UNSEALED` in it replaced by its seal."""
    return text.replace(UNSEALED, f"sha256:{sha256_bytes(text.encode())}", 1)


def check_seal(text: str, found: str) -> None:
    """Raises StoreError unless `found`, as it stands in `text`, is the seal of `text`."""
    if not _SEAL.fullmatch(found) or f"sha256:{sha256_bytes(text.replace(found, UNSEALED, 1).encode())}" != found:
        raise StoreError(f"its bytes do not have the seal {found[:80]!a} that it carries")
