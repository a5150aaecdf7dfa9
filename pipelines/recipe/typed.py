"""A recipe of TOML's values: what is wrong with keys and types, all of it, and a recipe of what is right.

What is wrong is put right as far as one can guess, so that all else can be looked at, too: an entry that is unknown is
taken for the one that it resembles, a wrong one is left out, and a missing one gets a stand-in. Nothing more is said of
what was guessed.
"""

import json
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from pipelines.recipe.faults import Fault, fault, touch
from pipelines.recipe.lines import Path
from pipelines.recipe.sentences import MISSING, UNKNOWN, dotted, sentence
from pipelines.recipe.spelling import meant
from pipelines.recipe.tables import Recipe

# As often is put right what is wrong: a misspelt table, and what is wrong in it, take two rounds.
_ROUNDS = 4
_LISTS = ("piece", "task")
# What stands in for an entry that is missing or wrong, and has no default.
_STAND_INS: dict[str, Any] = {
    "recipe": {"name": "recipe"},
    "data": {"module": "data.py", "label": "label"},
    "train": {"epochs": 1, "batch_size": 1, "learning_rate": 0.1},
    "piece": {"layer": "layer"},
    "task": {"name": "task"},
    "documentation": {
        **dict.fromkeys(("description", "intended_use", "limitations", "training_data"), "Text."),
        "license": "custom",
    },
}
_RECIPE = TypeAdapter(Recipe)


@dataclass
class Typed:
    """What the types say.

    Attributes:
        recipe: of what is right; None if nothing can be made of it.
        faults: of keys and types.
        guessed: the entries that were guessed.
        aliases: where an entry stands that is written otherwise, by its path.
    """

    recipe: Recipe | None = None
    faults: list[Fault] = field(default_factory=list[Fault])
    guessed: set[Path] = field(default_factory=set[Path])
    aliases: dict[Path, Path] = field(default_factory=dict[Path, Path])

    def is_guessed(self, entries: Iterable[Path]) -> bool:
        """Whether one of the entries was guessed, is a table of which one was, or lies in one that was."""
        return any(touch(entry, guess) for entry in entries for guess in self.guessed)


def typed(values: dict[str, Any]) -> Typed:
    """What the types say of TOML's values, which stay as they are."""
    values, found = deepcopy(values), Typed()
    if isinstance(values.get("piece"), dict):
        values["piece"] = [values["piece"]]
    _leave_out_times(values, found)
    for _ in range(_ROUNDS):
        try:
            # JSON mode is what lets a strict reader take TOML's lists as tuples and its whole numbers as floats.
            found.recipe = _RECIPE.validate_json(json.dumps(values), strict=True)
            break
        except ValidationError as error:
            _put_right(values, _by_entry(error), found)
    return found


def _leave_out_times(values: dict[str, Any], found: Typed) -> None:
    """JSON has neither dates nor times, and no entry of a recipe is one."""
    for path, value in list(_leaves(values)):
        if not isinstance(value, str | int | float | None):
            entry = _entry(path)
            words = f"Expected a number, a text, a list or a table for '{dotted(entry)}' in the recipe."
            found.faults.append(fault(f"{words} Received: {value}; put it into quotes.", entry))
            _stand_in(values, entry, found)


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if not isinstance(value, dict | list | tuple):
        yield path, value
        return
    items = cast(dict[str, Any], value).items() if isinstance(value, dict) else enumerate(cast(list[Any], value))
    for key, item in items:
        yield from _leaves(item, (*path, key))


def _by_entry(error: ValidationError) -> dict[Path, dict[str, Any]]:
    """One error an entry: of what a union tried the one that came farthest."""
    found: dict[Path, dict[str, Any]] = {}
    for one in cast(list[dict[str, Any]], error.errors(include_url=False)):
        if one["type"] == "too_short" and one["input"]:
            continue  # its elements are wrong, which is told of these
        entry = _entry(one["loc"])
        if entry not in found or len(one["loc"]) > len(found[entry]["loc"]):
            found[entry] = one
    return found


def _entry(location: Path) -> Path:
    """The entry of a table that an error lies in, or the table."""
    return location[: 3 if location[0] in _LISTS and len(location) > 1 and isinstance(location[1], int) else 2]


def _put_right(values: dict[str, Any], errors: dict[Path, dict[str, Any]], found: Typed) -> None:
    for entry, error in errors.items():
        if error["type"] in UNKNOWN:
            found.faults.append(fault(sentence(error, entry), entry))
            _take_for_another(values, entry, found)
    for entry, error in errors.items():
        if error["type"] in UNKNOWN or (error["type"] in MISSING and entry[-1] in _table(values, entry)):
            continue
        if not found.is_guessed([entry]):
            needed = _STAND_INS.get(str(entry[0]), {})
            found.faults.append(fault(sentence(error, entry, needed), entry))
        _stand_in(values, entry, found)


def _take_for_another(values: dict[str, Any], entry: Path, found: Typed) -> None:
    """An unknown entry becomes the one that it resembles, if that is missing; else it goes."""
    table = _table(values, entry)
    value: Any = table.pop(entry[-1])
    *tables, name = meant(entry) or ("",)
    if not name or name in table or tables != [part for part in entry[:-1] if isinstance(part, str)]:
        return
    another = (*entry[:-1], name)
    is_table = len(entry) == 1 and all(isinstance(one, dict) for one in (value if isinstance(value, list) else [value]))
    table[name] = [value] if is_table and name in _LISTS and isinstance(value, dict) else value
    found.aliases[another] = entry
    if not is_table:
        found.guessed.add(another)


def _stand_in(values: dict[str, Any], entry: Path, found: Typed) -> None:
    """What is wrong or missing becomes what stands in for it, or goes, where there is a default."""
    found.guessed.add(entry)
    table, name, key = _table(values, entry), str(entry[0]), entry[len(entry) - 1]
    if isinstance(table, list):
        table[cast(int, key)] = deepcopy(_STAND_INS[name])
        return
    table.pop(key, None)
    stand_in = deepcopy(_STAND_INS.get(name))
    if len(entry) > 1:
        stand_in = (stand_in or {}).get(key)
    if stand_in is not None:
        table[key] = [stand_in] if len(entry) == 1 and name in _LISTS else stand_in


def _table(values: dict[str, Any], entry: Path) -> Any:
    """The table, or the list of tables, that has an entry, or lacks it."""
    table: Any = values
    for part in entry[:-1]:
        table = table[part]
    return table
