"""One execution of a component of ours and what it read, whichever record tells of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Read:
    """An artifact that a step read.

    Attributes:
        key: the component's name for the input.
        type: the artifact's type.
        digest: its content digest; empty where ML Metadata has none, for artifacts of stock TFX.
        splits: for examples, the digest of each split's records.
        source: the id of the step that made it; empty for stock TFX.
    """

    key: str
    type: str
    digest: str
    splits: Mapping[str, str] = field(default_factory=dict[str, str])
    source: str = ""


@dataclass(frozen=True)
class Step:
    """One execution of a component of ours."""

    component: str
    parameters: Mapping[str, Any]
    code_digest: str
    lock_digest: str
    reads: tuple[Read, ...]

    def to_json(self) -> dict[str, Any]:
        """The step as plain JSON, without what only one of the two records knows."""
        inputs = [{"key": r.key, "type": r.type, "digest": r.digest} for r in sorted_reads(self.reads) if r.source]
        return {
            "component": self.component,
            "code_digest": self.code_digest,
            "lock_digest": self.lock_digest,
            "parameters": dict(sorted(self.parameters.items())),
            "inputs": inputs,
        }


def sorted_reads(reads: Iterable[Read]) -> list[Read]:
    """Reads in an order that does not depend on the record."""
    return sorted(reads, key=lambda read: (read.key, read.type, read.digest))
