"""What one dynamic check says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """Whether a check held, and what was seen; `passed` is None where there is nothing to check."""

    passed: bool | None
    sentence: str


def held(seen: str) -> Verdict:
    """The check held."""
    return Verdict(True, seen)


def short(expected: str, received: str, remedy: str) -> Verdict:
    """The check fell short."""
    return Verdict(False, f"Expected {expected}. Received: {received}; {remedy}.")


def nothing(why: str) -> Verdict:
    """There is nothing to check, which is no fault."""
    return Verdict(None, why)


def names(variables: Sequence[Any]) -> str:
    """At most three variables by name, and how many more there are."""
    texts = [f"'{variable.name.partition(':')[0]}'" for variable in variables]
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")
