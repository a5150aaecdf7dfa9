"""Whom a consumer trusts: `trust.toml`, which lies beside the public keys.

    schema = 1

    [[key]]
    name = "acme 2026"                       # for people
    file = "acme-2026.pem"                   # beside this file
    publishers = ["acme"]                    # whose models it may sign; ["*"] for everybody's
    valid_from = 2026-01-01                  # optional, UTC: what it signed from then on …
    valid_until = 2027-01-01                 # optional, UTC: … and before then
    revoked = "the laptop was stolen"        # optional: nothing that it ever signed counts any more

Rotation is a second key, with periods that overlap. The time of a signature is the one that the provenance states, and
the key's owner wrote it: a period keeps honest people in order. A key that leaked is revoked, since who holds it can
write any time.
"""

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Self

from piecehub.errors import EnvironmentProblem, NotVerified, RecipeError
from piecehub.signing.keys import PublicKey, read_public_key

_SCHEMA = 1
_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_BOUNDS = ("valid_from", "valid_until")
_KNOWN = {"name", "file", "publishers", *_BOUNDS, "revoked"}


@dataclass(frozen=True)
class TrustedKey:
    """One key, and what it may do; `revoked` says why it may not any more, and is empty if it may."""

    name: str
    key: PublicKey
    publishers: tuple[str, ...] = ("*",)
    valid_from: datetime = _ALWAYS[0]
    valid_until: datetime = _ALWAYS[1]
    revoked: str = ""

    def refusal(self, publisher: str, signed_at: datetime) -> str:
        """Why a signature of that time is not trusted for `publisher`; empty if it is."""
        if self.revoked:
            return f"'{self.name}' is revoked ({self.revoked})"
        if publisher not in self.publishers and "*" not in self.publishers:
            return f"'{self.name}' may sign for {', '.join(self.publishers) or 'nobody'}, not for {publisher}"
        if not self.valid_from <= signed_at < self.valid_until:
            return f"'{self.name}' was not valid at {signed_at:%Y-%m-%d %H:%M} UTC"
        return ""


@dataclass(frozen=True)
class Trust:
    """Every key that a consumer knows; the same key may stand there more than once."""

    known: tuple[TrustedKey, ...]

    @classmethod
    def in_key(cls, path: Path) -> Self:
        """Trust in one public key, for everybody and always; errors as `keys.read_public_key` has them."""
        return cls((TrustedKey(path.name, read_public_key(path)),))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a `trust.toml`.

        Raises:
            EnvironmentProblem: if it, or the file of a key, cannot be read.
            RecipeError: if it is no such file; an unknown word is an error, since it may have been meant to restrict.
        """
        try:
            value = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise EnvironmentProblem(f"Expected a trust file. Received: '{path}' ({error.strerror}).") from error
        except ValueError as error:
            raise RecipeError(f"Expected TOML in '{path}'. Received: {error}.") from error
        if value.get("schema") != _SCHEMA or set(value) - {"schema", "key"}:
            raise RecipeError(f"Expected schema = {_SCHEMA} and [[key]] tables in '{path}'. Received: {sorted(value)}.")
        return cls(tuple(_key(entry, path) for entry in value.get("key", [])))

    @property
    def keys(self) -> list[PublicKey]:
        """The keys alone."""
        return [entry.key for entry in self.known]

    def check(self, key: PublicKey, publisher: str, signed_at: str) -> str:
        """The name of a key that may have signed for `publisher` at that time.

        Raises:
            NotVerified: if it may not, though its signature is valid.
        """
        entries = [entry for entry in self.known if entry.key == key]
        refusals = [entry.refusal(publisher, _time(signed_at)) for entry in entries]
        revoked = any(entry.revoked for entry in entries)
        if not revoked and "" in refusals:
            return entries[refusals.index("")].name
        why = next((r for e, r in zip(entries, refusals, strict=True) if e.revoked or not revoked), "nobody named it")
        raise NotVerified(
            f"Expected a signature that is trusted here. Received: a valid but untrusted one by {key.fingerprint}: "
            f"{why}."
        )


def _key(entry: dict[str, Any], path: Path) -> TrustedKey:
    if set(entry) - _KNOWN or not {"name", "file", "publishers"} <= set(entry):
        raise RecipeError(
            f"Expected 'name', 'file' and 'publishers', and at most 'valid_from', 'valid_until' and 'revoked' in a "
            f"[[key]] of '{path}'. Received: {sorted(entry)}."
        )
    key = read_public_key(path.parent / str(entry["file"]))
    publishers, revoked = entry["publishers"], entry.get("revoked", "")
    if not isinstance(publishers, list) or not isinstance(revoked, str) or ("revoked" in entry and not revoked.strip()):
        raise RecipeError(
            f"Expected a list of publishers, and a reason if revoked, for '{entry['name']}' in '{path}'. "
            f"Received: {publishers!r} and {revoked!r}."
        )
    since, until = (_bound(entry.get(word), default, path) for word, default in zip(_BOUNDS, _ALWAYS, strict=True))
    return TrustedKey(str(entry["name"]), key, tuple(map(str, publishers)), since, until, revoked)


def _bound(value: Any, default: datetime, path: Path) -> datetime:
    if value is None:
        return default
    if not isinstance(value, date):  # a datetime is one too
        raise RecipeError(f"Expected a date such as 2026-01-01 in '{path}'. Received: {value!r}.")
    found = value if isinstance(value, datetime) else datetime.combine(value, time())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise NotVerified(f"Expected the time of a signature. Received: {text[:80]!a}.") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
