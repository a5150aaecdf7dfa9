"""Who may read a private publisher's models: a file that holds digests of tokens, never a token.

    acme = ["<sha256 of a token, in hex>", …]     # TOML; several, so that one can be replaced before it is taken away
    beta = "<sha256 of a token, in hex>"

A publisher that the file names is private; every other one is public.
"""

import hashlib
import hmac
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from piecehub.errors import RecipeError
from piecehub.facts.handle import check_publisher

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Tokens:
    """The digests of the tokens that open each private publisher."""

    digests: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a tokens file; raises RecipeError if it is none."""
        try:
            value = tomllib.loads(path.read_text(encoding="utf-8"))
            return cls({check_publisher(publisher): _digests(given) for publisher, given in value.items()})
        except (OSError, ValueError, RecipeError) as error:
            # A ValueError of ours does not quote the file: a token that stands there by mistake stays out of the log.
            raise RecipeError(
                f"Expected a TOML file of publishers with the sha256 of their tokens. Received: '{path}' "
                f'({type(error).__name__}: {error}); write `publisher = "<64 hex digits>"`.'
            ) from error

    def is_private(self, publisher: str) -> bool:
        """Whether a token is needed."""
        return publisher in self.digests

    def opens(self, publisher: str, token: str) -> bool:
        """Whether whoever shows `token` (or '') may read; takes as long for a wrong token as for a right one."""
        if not self.is_private(publisher):
            return True
        shown = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        matches = [hmac.compare_digest(shown, known) for known in self.digests[publisher]]
        return bool(token) and any(matches)


def _digests(given: Any) -> tuple[str, ...]:
    values = cast("list[Any]", given if isinstance(given, list) else [given])
    if not values or not all(isinstance(value, str) and _SHA256.fullmatch(value) for value in values):
        raise ValueError("a value is not the sha256 of a token, in lower-case hex")
    return tuple(values)
