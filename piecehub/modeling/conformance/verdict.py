"""What one dynamic check says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Whether a check held, and what was seen."""

    passed: bool
    sentence: str


def held(seen: str) -> Verdict:
    """The check held."""
    return Verdict(True, seen)


def short(expected: str, received: str, remedy: str) -> Verdict:
    """The check fell short."""
    return Verdict(False, f"Expected {expected}. Received: {received}; {remedy}.")
