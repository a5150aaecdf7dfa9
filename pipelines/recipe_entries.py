"""Where an entry of a recipe reaches components: found by compiling the recipe once more, with another value there.

So nothing is listed by hand, and what follows from an entry is seen too: a digest of a file, another component, a list
that is made of it. Of such an entry no container could make what the compiler made.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass, replace
from typing import Any, cast

from tfx.orchestration.data_types import RuntimeParameter

from piecehub.errors import PiecehubError, RecipeError
from piecehub.facts.tables import value_of
from pipelines.kubeflow_mend import MAX_EXACT_INTEGER
from pipelines.recipe.loader import parse_text
from pipelines.recipe.spelling import meant
from pipelines.recipe.submitted import Scalar
from pipelines.recipe.tables import LoadedRecipe, Recipe, table_classes

# What each task is told: its parameters, by its id.
Tasks = dict[str, Mapping[str, Any]]
# The name of a recipe's pipeline, and what each component is told.
Told = Callable[[Recipe], tuple[str, Tasks]]
# A task, a parameter of its own, and the path in its JSON; no path is the parameter itself.
Place = tuple[str, str, tuple[str, ...]]
_NONE = object()
_WHAT = "Expected in kubeflow.parameters entries that a submission can change, as train.epochs."
# What is told to tasks of Kubeflow's own alone.
_APART = {
    "data.folder": "which every package that lists one has as its parameter 'data'",
    "data.module": "whose code is that of the package",
}


def value_of_entry(config: Recipe, entry: str) -> Scalar:
    """The value of an entry.

    Raises:
        RecipeError: if there is none, or it is neither a number nor a text nor true or false.
    """
    place: Any = config
    for word in entry.split("."):
        if isinstance(place, tuple):
            raise RecipeError(f"{_WHAT} Received: '{entry}', of a table that may stand several times; take it out.")
        place = cast(dict[str, Any], place).get(word, _NONE) if isinstance(place, dict) else getattr(place, word, _NONE)
    if place is _NONE:
        words = tuple(entry.split("."))
        other = ".".join(meant(words)) if len(words) == 2 and words[0] in table_classes() else ""
        hint = f"; did you mean '{other}'?" if other else "; correct it."
        raise RecipeError(f"{_WHAT} Received: '{entry}', which is none{hint}")
    if not isinstance(place, bool | int | float | str):
        received = "nothing" if place is None else "a table" if is_dataclass(place) else json.dumps(place)
        raise RecipeError(
            "Expected a number, a text, true or false for each entry of kubeflow.parameters. Received: "
            f"'{entry}', which is {received}."
        )
    if not can_be_given(place):
        raise RecipeError(f"{_WHAT} Received: '{entry}', which is {place}: Kubeflow keeps no such number; take it out.")
    return place


def can_be_given(value: Any) -> bool:
    """Whether Kubeflow hands on a value as it is; its numbers are doubles, in JSON."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= MAX_EXACT_INTEGER
    return isinstance(value, bool | str) or (isinstance(value, float) and math.isfinite(value))


def places_of(loaded: LoadedRecipe, entry: str, told: Told) -> tuple[Place, ...]:
    """The places that an entry reaches.

    Raises:
        RecipeError: if a submission cannot change it, saying why.
    """
    value = value_of_entry(loaded.config, entry)
    if entry in _APART:
        raise RecipeError(f"{_WHAT} Received: '{entry}', {_APART[entry]}; take it out.")
    for other in _others(value):
        try:
            after = told(_with(loaded, entry, other))
        except PiecehubError:
            continue
        before = told(loaded.config)
        if before[0] != after[0] or before[1].keys() != after[1].keys():
            raise RecipeError(f"{_WHAT} Received: '{entry}', by which the package has other tasks; take it out.")
        if found := tuple(_differences(entry, (value, other), before[1], after[1])):
            return found
        raise RecipeError(f"{_WHAT} Received: '{entry}', which changes nothing that a task is told; take it out.")
    raise RecipeError(f"{_WHAT} Received: '{entry}', which is read when the package is compiled; take it out.")


def _others(value: Scalar) -> list[Scalar]:
    """Values of its type, of which one may be possible."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    return [value * 0.99 or 0.01, value + 0.01] if isinstance(value, float) else [f"{value}x"]


def _with(loaded: LoadedRecipe, entry: str, value: Scalar) -> Recipe:
    """The recipe with another value, and what follows from it; without the latter, if the types do not take it."""
    try:
        return parse_text(loaded.text, {**loaded.settings, entry: value})
    except RecipeError:
        return _replaced(loaded.config, entry.split("."), value)


def _replaced(place: Any, path: list[str], value: Scalar) -> Any:
    if not path:
        return value
    first, *rest = path
    if isinstance(place, dict):
        return {**place, first: _replaced(place.get(first), rest, value)}
    return replace(place, **{first: _replaced(getattr(place, first), rest, value)})


def _differences(entry: str, values: tuple[Scalar, Scalar], before: Tasks, after: Tasks) -> Iterator[Place]:
    for task, was in before.items():
        for key, one in was.items():
            other = after[task].get(key)
            if _plain(one) == _plain(other):
                continue
            path = _path((_plain(one), _plain(other)), values)
            if path is None:
                raise RecipeError(
                    f"{_WHAT} Received: '{entry}', of which '{key}' of {task} is worked out when the package is "
                    "compiled, or which it leaves out at its default; take it out."
                )
            yield task, key, path


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, RuntimeParameter) else value


def _path(pair: tuple[Any, Any], values: tuple[Scalar, Scalar]) -> tuple[str, ...] | None:
    """The way to the one value in which two parameters differ, if these are the two values; else None."""
    if pair == values:
        return ()
    first, second = (value_of(one) for one in pair)
    if not isinstance(first, dict) or not isinstance(second, dict):
        return None
    one, other = cast(dict[str, Any], first), cast(dict[str, Any], second)
    differ = [key for key in one.keys() | other.keys() if one.get(key, _NONE) != other.get(key, _NONE)]
    if len(differ) != 1 or not {*differ} <= one.keys() & other.keys():
        return None
    inner = _path((one[differ[0]], other[differ[0]]), values)
    return None if inner is None else (differ[0], *inner)
