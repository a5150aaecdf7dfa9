"""What was given at submission, laid over what a component is told, in its container: before anything else sees it."""

import json
from collections.abc import Mapping
from typing import Any

from piecehub.facts.content import canonical_json

# Of the inputs that carry such values, followed by the parameter and the path in its JSON: `recipe--train--epochs`. No
# parameter of a component begins so.
PREFIX = "recipe--"
_BETWEEN = "--"


def input_name(parameter: str, path: tuple[str, ...]) -> str:
    """The input that carries a value of a parameter's JSON."""
    return PREFIX + _BETWEEN.join((parameter, *path))


def lay_over(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a component with the values among them laid over the JSON of the others.

    What stays as it was leaves the text as it was.
    """
    given = {key: value for key, value in parameters.items() if key.startswith(PREFIX)}
    found = {key: value for key, value in parameters.items() if key not in given}
    for key, value in given.items():
        parameter, *path = key.removeprefix(PREFIX).split(_BETWEEN)
        table = json.loads(found[parameter])
        place = table
        for word in path[:-1]:
            place = place[word]
        # Every number that Kubeflow hands on is a double.
        before = place[path[-1]]
        value = type(before)(value) if isinstance(before, int | float) else value
        if value != before:
            place[path[-1]] = value
            found[parameter] = canonical_json(table).decode()
    return found
