"""The page of all keys of a recipe, docs/recipe.md, made of its dataclasses: `piecehub recipe reference`.

Types and defaults are those of the fields, and what a key does is what the docstring of its class says under
`Attributes:`, or that of a class which it comes from.
"""

import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from piecehub.conformance import documentation_terms as terms
from pipelines.recipe.tables import table_classes

_HEAD = """\
# Every key of a recipe

A recipe is a folder with a `recipe.toml` and the files that it names (README, "Your own data and model"). This
page is printed by `piecehub recipe reference`, from the code that reads recipes.

    piecehub recipe check path/to/recipe      # all that is wrong with it, by file and line, in a second

An unknown key is an error. A table none of whose keys is required may be left out.
`--set train.epochs=3` lays a value over a recipe's own. Each task stands under a `[[task]]` of its own; so do several
pieces under `[[piece]]`.

The least that a recipe says:

```toml
[recipe]
name = "features"
publisher = "acme"

[data]
module = "data.py"
label = "label"

[train]
epochs = 10
batch_size = 32
learning_rate = 0.001

[piece]
layer = "features"

[[task]]
name = "my-task"

[documentation]
description = "…"
intended_use = "…"
limitations = "…"
training_data = "…"
license = "apache-2.0"
```

Texts that were left to be written (empty, `TODO`, `…`) are refused, for they are published.
"""
_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_MANY = {"text": "texts", "whole number": "whole numbers", "number": "numbers"}
_ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*): (.*)$")


def page() -> str:
    """The text of docs/recipe.md."""
    return _HEAD + "".join(_table(name, table) for name, table in table_classes().items()) + _words_of_the_hub()


def documented(table: type[Any]) -> dict[str, str]:
    """What the docstrings of a class and of those it comes from say of its fields."""
    found: dict[str, str] = {}
    for one in reversed(table.__mro__):
        found |= _attributes(inspect.getdoc(one) or "") if one is not object and one.__doc__ else {}
    return found


def _table(name: str, table: type[Any]) -> str:
    header, _, summary = (inspect.getdoc(table) or "").partition("\n\n")[0].partition(": ")
    hints, told = get_type_hints(table, include_extras=True), documented(table)
    rows = [
        f"| `{entry.name}` | {_type(hints[entry.name])} | {_default(entry)} | {told[entry.name]} |"
        for entry in fields(table)
        if entry.init
    ]
    heading = [f"\n## {header.partition(',')[0]}\n", f"{summary[:1].upper()}{' '.join(summary[1:].splitlines())}\n"]
    return "\n".join([*heading, "| key | type | default | what it does |", "|---|---|---|---|", *rows, ""])


def _attributes(docstring: str) -> dict[str, str]:
    """The entries of a docstring's `Attributes:`, each on one line; `a, b: …` is said of both."""
    _, _, section = docstring.partition("Attributes:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.split("\n"):
        if line and not line.startswith(" "):
            break
        if match := _ATTRIBUTE.match(line[4:]):
            names = match[1].split(", ")
            found |= dict.fromkeys(names, match[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found


def _type(hint: Any) -> str:
    """A type in words, such as "list of whole numbers, 1 or more"."""
    if hint is Any:
        return "anything"
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [word for extra in arguments[1:] if isinstance(extra, FieldInfo) for word in _bounds(extra)]
        return ", ".join([_type(arguments[0]), *bounds])
    if origin is Literal:
        *others, last = (f"`{_toml(value)}`" for value in arguments)
        return f"{', '.join(others)} or {last}" if others else last
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one) for one in arguments if one is not type(None))
    if origin is tuple:
        return f"list of {_many(arguments[0])}"
    if origin is dict:
        return "table" if arguments[1] is Any else f"table of {_many(arguments[1])}"
    return _WORDS[hint]


def _many(hint: Any) -> str:
    first, comma, bounds = _type(hint).partition(", ")
    return f"{_MANY.get(first, first)}{comma}{bounds}"


def _bounds(extra: FieldInfo) -> Iterator[str]:
    for one in extra.metadata:
        for name, words in (("ge", "{} or more"), ("gt", "above {}"), ("le", "at most {}"), ("lt", "below {}")):
            if (bound := getattr(one, name, None)) is not None:
                yield words.format(bound)


def _default(entry: "Field[Any]") -> str:
    if entry.default_factory is not MISSING:
        return "an empty table"
    if entry.default is MISSING:
        return "required"
    return {"": "none", "()": "none", "None": "none"}.get(str(entry.default), f"`{_toml(entry.default)}`")


def _toml(value: Any) -> str:
    """A value as a recipe has it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value}"


def _words_of_the_hub() -> str:
    """The values that TensorFlow Hub knows, which the page's metadata may have."""
    tasks, licenses = (", ".join(f"`{word}`" for word in sorted(words)) for words in (terms.TASKS, terms.LICENSES))
    return f"\n## What TensorFlow Hub knows\n\n`hub_tasks`: {tasks}.\n\n`license`: {licenses}.\n"
