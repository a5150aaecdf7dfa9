"""What is wrong with a recipe's keys and types, in one sentence."""

import difflib
from collections.abc import Sequence

from pydantic import ValidationError

from pipelines.recipe.tables import About, Data, DocumentationFacts, Evaluation, Gate, Model, Piece, Train

_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


def sentence(error: ValidationError | TypeError) -> str:
    """The first fault, with its key and what it should be."""
    if isinstance(error, TypeError):
        return f"Expected numbers, texts, lists and tables in the recipe. Received: {error}."
    # A misspelt entry is unknown, and another one is missing for it: the first of these says what to do.
    first = min(error.errors(include_url=False), key=lambda found: found["type"] not in _UNKNOWN)
    key = _key(first["loc"])
    match first["type"]:
        case kind if kind in _UNKNOWN:
            return f"Expected only known keys in the recipe. Received: '{key}'{_closest(key) or '.'}"
        case "missing" | "missing_argument":
            return f"Expected the entry '{key}' in the recipe. Received: none; add it."
        case _:
            message = first["msg"].removeprefix("Input should be ")
            return f"Expected {message} for '{key}' in the recipe. Received: {first['input']!r}."


def _key(location: Sequence[str | int]) -> str:
    """Where an error lies as a person writes it: without the number of a table, and of what a union tried."""
    words = [str(part) for part in location if part not in ("str", "tuple[constrained-str, ...]")]
    return ".".join(w for n, w in enumerate(words) if not (n == 1 and w.isdigit() and words[0] == "piece"))


def _closest(key: str) -> str:
    known = [f"{table}.{entry}" for table, entry in _known_keys()] + [table for table, _ in _known_keys()]
    match = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    return f"; did you mean '{match[0]}'?" if match else ""


def _known_keys() -> list[tuple[str, str]]:
    tables = {
        "recipe": About,
        "data": Data,
        "model": Model,
        "train": Train,
        "piece": Piece,
        "evaluation": Evaluation,
        "gate": Gate,
        "documentation": DocumentationFacts,
    }
    return [(name, key) for name, table in tables.items() for key in table.__dataclass_fields__]
