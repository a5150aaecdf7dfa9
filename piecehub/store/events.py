"""What people said about published versions: a log for each model, of which every entry is created once.

    {"schema": 1, "model": "<publisher>/<name>", "number": 3,
     "kind": "yank" | "unyank" | "quarantine" | "release" | "alias",
     "version": 2, "alias": "champion" or "", "by": "…", "at": UTC, "why": "…", "seal": "sha256:…"}

Entries are numbered from 1 without a gap, so of two people who speak at once one is told to look again, and nobody
ever overwrites what another one said. What holds now is computed: the last word on each version, and on each alias.

yanked       hidden from `newest` and lists, still served to those who name the version (as PEP 592 has it)
quarantined  not served to anybody (410), and never published again
alias        a name for a version, such as `candidate` or `champion`; version 0 takes the name away
"""

import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from piecehub.errors import RecipeError, StoreError
from piecehub.facts.seal import UNSEALED, check_seal, seal

_SCHEMA = 1
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,62}")
_COMPUTED = frozenset({"latest", "newest"})


class Kind(StrEnum):
    """What a person can say."""

    YANK = "yank"
    UNYANK = "unyank"
    QUARANTINE = "quarantine"
    RELEASE = "release"
    ALIAS = "alias"


class Status(StrEnum):
    """What holds for a version."""

    PUBLISHED = "published"
    YANKED = "yanked"
    QUARANTINED = "quarantined"


# Yank and quarantine are two questions: a version that is released from quarantine may still be yanked.
_OPPOSITES = {Kind.YANK: True, Kind.UNYANK: False, Kind.QUARANTINE: True, Kind.RELEASE: False}


@dataclass(frozen=True)
class Event:
    """One entry of a model's log."""

    model: str
    number: int
    kind: Kind
    version: int
    by: str
    at: str
    why: str
    alias: str = ""

    def to_json(self) -> str:
        """The sealed text of the entry."""
        value = asdict(self) | {"schema": _SCHEMA, "seal": UNSEALED}
        return seal(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Reads what `to_json` wrote; raises StoreError if it is damaged, or of another schema."""
        try:
            text = data.decode()
            value: dict[str, Any] = json.loads(text)
            schema = value.pop("schema")
            if schema == _SCHEMA:
                check_seal(text, value.pop("seal"))
                return cls(kind=Kind(value.pop("kind")), **value)
        except (ValueError, KeyError, TypeError, AttributeError, StoreError) as error:
            raise StoreError(f"Expected an event. Received: a damaged one ({error}); run `store fsck`.") from error
        raise StoreError(f"Expected an event of schema {_SCHEMA}. Received: {schema!r}; use a newer piecehub.")


@dataclass(frozen=True)
class ModelState:
    """What holds for one model.

    Attributes:
        model: `publisher/name`.
        versions: the numbers that are taken, lowest first, whatever their status.
        events: the whole log, oldest first.
    """

    model: str
    versions: tuple[int, ...]
    events: tuple[Event, ...]

    @property
    def newest(self) -> int:
        """The highest version that is neither yanked nor quarantined; 0 if there is none."""
        return max((v for v in self.versions if self.status(v) is Status.PUBLISHED), default=0)

    @property
    def aliases(self) -> dict[str, int]:
        """The version that each alias means."""
        named = {event.alias: event.version for event in self.events if event.kind is Kind.ALIAS}
        return {alias: version for alias, version in sorted(named.items()) if version}

    def status(self, version: int) -> Status:
        """What holds for a version."""
        if self._last_word(version, Kind.QUARANTINE, Kind.RELEASE):
            return Status.QUARANTINED
        return Status.YANKED if self._last_word(version, Kind.YANK, Kind.UNYANK) else Status.PUBLISHED

    def reason(self, version: int) -> Event | None:
        """The event that made a version's status, or None if nobody said anything."""
        kind = {Status.QUARANTINED: Kind.QUARANTINE, Status.YANKED: Kind.YANK}.get(self.status(version))
        return next((e for e in reversed(self.events) if e.version == version and e.kind is kind), None)

    def refusal(self, version: int) -> str:
        """Why nobody may have a version, as the rest of a sentence; empty if it is not quarantined."""
        if self.status(version) is not Status.QUARANTINED:
            return ""
        reason = self.reason(version)
        return f"quarantined on {reason.at[:10]}: {reason.why}" if reason else "quarantined"

    def aliases_of(self, version: int) -> tuple[str, ...]:
        """The names that mean a version."""
        return tuple(alias for alias, meant in self.aliases.items() if meant == version)

    def changes(self, kind: Kind, version: int, alias: str) -> bool:
        """Whether saying so would change anything."""
        if kind is Kind.ALIAS:
            return self.aliases.get(alias, 0) != version
        pair = (Kind.YANK, Kind.UNYANK) if kind in (Kind.YANK, Kind.UNYANK) else (Kind.QUARANTINE, Kind.RELEASE)
        return self._last_word(version, *pair) is not _OPPOSITES[kind]

    def _last_word(self, version: int, *kinds: Kind) -> bool:
        words = [_OPPOSITES[event.kind] for event in self.events if event.version == version and event.kind in kinds]
        return bool(words) and words[-1]


def check_alias(alias: str) -> str:
    """Returns `alias`; raises RecipeError if it is not allowed."""
    if not _ALIAS.fullmatch(alias) or alias in _COMPUTED:
        raise RecipeError(
            "Expected an alias of lower-case letters, digits and '-', and not 'latest' or 'newest', which are "
            f"computed. Received: '{alias}'."
        )
    return alias
