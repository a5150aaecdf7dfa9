"""What is wrong with a recipe's keys and types, each in one sentence."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.recipe.lines import Path
from pipelines.recipe.spelling import meant

UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
MISSING = ("missing", "missing_argument")


def sentence(error: Mapping[str, Any], entry: Path, needed: Iterable[str] = ()) -> str:
    """One of pydantic's errors, with its key and what it should be.

    Args:
        error: as `ValidationError.errors` has it.
        entry: what it is about.
        needed: the entries that the table must have, if it is missing.
    """
    key = dotted(entry)
    if error["type"] in UNKNOWN:
        return f"Expected only known keys in the recipe. Received: '{key}'{did_you_mean('.'.join(meant(entry)))}"
    if error["type"] in MISSING and len(entry) == 1:
        keys = ", ".join(f"'{name}'" for name in needed)
        header = "[[task]]" if key == "task" else f"[{key}]"
        return f"Expected the table '{header}' in the recipe, with {keys}. Received: none; add it."
    if error["type"] in MISSING:
        return f"Expected the entry '{key}' in the recipe. Received: none; add it."
    return f"Expected {_wanted(error)} for '{key}' in the recipe. Received: {_shortened(error['input'])}."


def dotted(entry: Path) -> str:
    """An entry as a person writes it: without the number of a table, which its line tells."""
    return ".".join(part for part in entry if isinstance(part, str))


def did_you_mean(other: str) -> str:
    """The end of a sentence about an unknown word."""
    return f"; did you mean '{other}'?" if other else "."


def _wanted(error: Mapping[str, Any]) -> str:
    """What pydantic says that it wants, without `Input should be`."""
    words = re.sub(r"^\w+ should (be |have |match )?", "", error["msg"]).partition(" after validation")[0]
    what = {"greater": "a number ", "less": "a number ", "string_too": "a text of ", "too": "a list of "}
    start = next((words for start, words in what.items() if error["type"].startswith(f"{start}_")), "")
    return f"{start}{words}".replace("an object", "a table")


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]}… ({len(text)} characters)"
