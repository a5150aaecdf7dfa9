"""What was given at submission, laid over what a component is told, in its container: before anything else sees it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from piecehub.facts.content import canonical_json
from pipelines.recipe.loader import load_recipe

# Of the inputs that carry such values; no parameter of a component begins so.
PREFIX = "recipe--"
Json = dict[str, Any]


def tables_of(parameters: Mapping[str, Any], table: str) -> Iterator[tuple[str, Json]]:
    """The parameters that are the JSON of a recipe's table: its own, or the full model's where a piece has another."""
    for key in (table, f"upstream_{table}"):
        text = parameters.get(key)
        if isinstance(text, str) and text.startswith("{"):
            yield key, json.loads(text)


def lay_over(parameters: Mapping[str, Any]) -> Json:
    """The parameters of a component with the recipe's entries among them laid over its tables.

    Raises:
        RecipeError: in the recipe's own sentence, if it would not take one of the values.
    """
    given = {key: value for key, value in parameters.items() if key.startswith(PREFIX)}
    found = {key: value for key, value in parameters.items() if key not in given}
    settings: dict[str, Any] = {}
    for key, value in given.items():
        path = key.removeprefix(PREFIX).split("--")
        for name, table in tables_of(found, path[0]):
            place = table
            for word in path[1:-1]:
                place = place[word]
            # Every number that Kubeflow hands on is a double.
            is_whole = isinstance(place[path[-1]], int) and float(value).is_integer()
            place[path[-1]] = settings[".".join(path)] = int(value) if is_whole else value
            found[name] = canonical_json(table).decode()
    if settings and found.get("recipe_folder"):
        load_recipe(found["recipe_folder"], settings)
    return found
