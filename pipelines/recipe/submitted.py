"""What a submission gives a package, held against its recipe before any task sees it; a task of the package does so.

It hands on the values, each of its own type. Who takes one comes from the cache as long as that value stays, whatever
else the recipe says.
"""

import json
from typing import Any

from piecehub.errors import RecipeError
from piecehub.store.place import refuse_no_place
from pipelines.recipe.loader import check_text

Scalar = str | bool | int | float

# What every package has beside the entries of its recipe.
STORE, DATA, SPAN = "store", "data", "span"
# Of the inputs of that task which carry what was submitted.
GIVEN = "given--"
_CALLED: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def check_submission(recipe: str, settings: str, asked: str, **given: str) -> dict[str, Scalar]:
    """What the check of a submission does on Kubeflow: returns the values by the names of the package's parameters.

    Args:
        recipe: the text of its `recipe.toml`.
        settings: what was laid over that when the package was compiled, as JSON.
        asked: by parameter, the `entry` of the recipe that it gives (empty for none) and its `default`, as JSON.
        given: what was submitted, as text, each by the parameter's name behind `GIVEN`.

    Raises:
        RecipeError: in the recipe's own sentence, if it would not take one of the values.
    """
    told: dict[str, dict[str, Any]] = json.loads(asked)
    values = {name: _read(given[GIVEN + name], one["default"]) for name, one in told.items()}
    changed = {name: value for name, value in values.items() if value != told[name]["default"]}
    if STORE in changed:
        refuse_no_place(str(changed[STORE]), "with --store")
    if DATA in changed:
        refuse_no_place(str(changed[DATA]), "as the parameter 'data'", may_be_folder=True)
    laid = {told[name]["entry"]: value for name, value in changed.items() if told[name]["entry"]}
    check_text(recipe, {**json.loads(settings), **laid})
    return {name: _of_type(name, value, told[name]["default"]) for name, value in values.items()}


def _read(text: str, default: Scalar) -> Scalar:
    """A value as it was given; Kubeflow turns each into a text, and 3.0 into 3."""
    if isinstance(default, str):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return float(value) if isinstance(default, float) and type(value) is int else value


def _of_type(name: str, value: Any, default: Scalar) -> Scalar:
    """The value, if it is of its default's type: of whole numbers Kubeflow itself refuses no others."""
    if type(value) is not type(default):
        raise RecipeError(
            f"Expected {_CALLED[type(default)]} for the parameter '{name}'. Received: {json.dumps(value)}."
        )
    return value
