"""What a key that nobody knows was meant to be."""

from collections.abc import Iterable
from dataclasses import fields

from piecehub.facts.nearest import nearest
from pipelines.recipe.lines import Path
from pipelines.recipe.tables import table_classes

_ALIKE = 0.7
_NEARLY_EQUAL = 0.85


def known_fields(table: str) -> list[str]:
    """The keys of a table of the recipe; of none, the names of its tables."""
    classes = table_classes()
    return [entry.name for entry in fields(classes[table]) if entry.init] if table else list(classes)


def closest(word: str, known: Iterable[str], alike: float = _ALIKE) -> str:
    """The one of those words that is most like a word, or that it is short for, as `lr` is for `learning_rate`."""
    words = list(known)
    short = (name for name in words if word == "".join(part[0] for part in name.split("_") if part))
    return next(short, nearest(word, words, alike))


def meant(entry: Path) -> tuple[str, ...]:
    """What an unknown entry was meant to be, without numbers of tables: of its own table, or else of another."""
    *tables, key = (part for part in entry if isinstance(part, str))
    own = known_fields("".join(tables))
    if sure := closest(key, own, _NEARLY_EQUAL):
        return (*tables, sure)
    tables_by_number = sorted(known_fields(""), key=lambda name: name in ("piece", "task"))  # those of one first
    elsewhere = {f"{name}.{known}": known for name in tables_by_number for known in known_fields(name)}
    same = [dotted for dotted, known in elsewhere.items() if tables and known == key]
    if same:
        return tuple(same[0].split("."))
    if alike := closest(key, own):
        return (*tables, alike)
    return tuple(closest(".".join([*tables, key]), elsewhere).split(".")) if tables else ()
