"""What one check says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from piecehub.facts.conformance_report import Level


@dataclass(frozen=True)
class Verdict:
    """Whether a check held, and what was seen; `passed` is None where there is nothing to check.

    `level` is that of the check, unless it is given: a check that must hold may see what is only advice.
    """

    passed: bool | None
    sentence: str
    level: Level | None = None


def held(seen: str) -> Verdict:
    """The check held."""
    return Verdict(True, seen)


def short(expected: str, received: str, remedy: str) -> Verdict:
    """The check fell short."""
    return Verdict(False, f"Expected {expected}. Received: {received}; {remedy}.")


def advise(expected: str, received: str, remedy: str) -> Verdict:
    """The check saw what the interface does not forbid, and what had better be otherwise."""
    return replace(short(expected, received, remedy), level="warn")


def nothing(why: str) -> Verdict:
    """There is nothing to check, which is no fault."""
    return Verdict(None, why)


def names(variables: Sequence[Any]) -> str:
    """At most three variables by name, and how many more there are."""
    texts = [f"'{variable.name.partition(':')[0]}'" for variable in variables]
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")
