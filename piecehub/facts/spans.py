"""Places that stand for several, one for each span of time: `s3://shop/clicks/{YYYY}-{MM}-{DD}`, `records/{SPAN}`.

    {SPAN}              a whole number
    {YYYY} {MM} {DD}    a day, by all three

What stands in braces otherwise is part of a name, but for words in capitals, which are mistakes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Self

from piecehub.errors import RecipeError

_FORMS = {"SPAN": r"\d+", "YYYY": r"\d{4}", "MM": r"\d{2}", "DD": r"\d{2}"}
_DAY = ("YYYY", "MM", "DD")
_WORD = re.compile(r"\{([A-Z]+(?::[^}]*)?)\}")


@dataclass(frozen=True, order=True)
class Span:
    """One span: a day, a number, or both; the later is the greater.

    Attributes:
        day: empty without one, else `YYYY-MM-DD`.
        number: -1 without one.
    """

    day: str = ""
    number: int = -1

    def __str__(self) -> str:
        return "/".join([*([self.day] if self.day else []), *([str(self.number)] if self.number >= 0 else [])])

    @classmethod
    def of(cls, words: Mapping[str, str]) -> Self | None:
        """The span that the words of a pattern say; None if that is no day."""
        try:
            day = date(*(int(words[word]) for word in _DAY)).isoformat() if "YYYY" in words else ""
        except ValueError:
            return None
        return cls(day, int(words["SPAN"]) if "SPAN" in words else -1)


def has_spans(place: str) -> bool:
    """Whether a place stands for several."""
    return bool(_WORD.search(place))


def fixed_part(place: str) -> str:
    """A place up to the first folder whose name is not fixed; empty if that is the first."""
    parts = place.split("/")
    fixed = next((number for number, part in enumerate(parts) if has_spans(part)), len(parts))
    return "/".join(parts[:fixed])


def names_like(part: str, known: Mapping[str, str]) -> re.Pattern[str]:
    """What the name of a folder looks like; a word that is `known` from a folder above says the same here."""
    found, seen, end = "", set[str](), 0
    for word in _WORD.finditer(part):
        name = word[1]
        new = f"(?P={name})" if name in seen else f"(?P<{name}>{_FORMS[name]})"
        found += re.escape(part[end : word.start()]) + (re.escape(known[name]) if name in known else new)
        seen, end = seen | {name}, word.end()
    return re.compile(found + re.escape(part[end:]))


def refuse_pattern(place: str) -> None:
    """Passes a place without spans, and one with spans that are understood.

    Raises:
        RecipeError: naming what is not.
    """
    words = set(_WORD.findall(place))
    if unknown := sorted(words - _FORMS.keys()):
        raise RecipeError(
            f"Expected {{SPAN}}, or {{YYYY}}, {{MM}} and {{DD}}, in '{place}'. Received: '{{{unknown[0]}}}'; name the "
            "folders of the records by one of these."
        )
    day = words & set(_DAY)
    if day and len(day) < len(_DAY):
        raise RecipeError(
            f"Expected a whole day, {{YYYY}}, {{MM}} and {{DD}}, in '{place}'. Received: only "
            f"{', '.join(f'{{{word}}}' for word in _DAY if word in day)}; name all three, or a {{SPAN}}."
        )
    first = fixed_part(place)
    if words and (not first or (first.endswith("/") and "://" in place)):
        raise RecipeError(
            f"Expected the spans of '{place}' in a folder of their own. Received: one in the first part of its name; "
            "put a folder around them."
        )
