"""The recipe's `decode`: what makes of an example's features what the model takes, the same wherever examples are read.

Trainer, evaluator, `piecehub evaluate` and the model page go through it, so training and evaluation cannot differ.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import tensorflow as tf

import piecehub.images  # noqa: F401 - a recipe may call it, so it belongs to what a component's code digest is made of
from piecehub.errors import RecipeError
from piecehub.facts.content import sha256_file
from piecehub.facts.tables import ModelTable
from piecehub.training.recipe_modules import get_function, load_module, recipe_code

_autograph: Any = tf.autograph.experimental


class RecipeDecode:
    """The recipe's function over one example, traced into a graph (a `stream.Decode`).

    Args:
        folder: the recipe.
        table: names the module and the function.
        function: `decode(features) -> features`.
    """

    def __init__(self, folder: Path, table: ModelTable, function: Callable[[dict[str, Any]], Any]) -> None:
        self._folder, self._table = folder, table
        self._function = function
        self._graph: Any = tf.function(function)

    @_autograph.do_not_convert  # AutoGraph would rewrite the `with`, and hide what raised
    def __call__(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """What the recipe makes of an example.

        Raises:
            RecipeError: if the function raises, or returns no dict.
        """
        name = self._table.decode
        # Outside of a graph it is asked what is wrong with an example, and says it in its own words.
        called = self._function if tf.executing_eagerly() else self._graph
        with recipe_code(f"'{name}' to decode an example", RecipeError, self._folder):
            found: Any = called(dict(features))
        if not isinstance(found, dict) or not found:
            raise RecipeError(
                f"Expected '{name}' to return a dict of features. Received: {type(found).__name__}; return one."
            )
        return cast(dict[str, Any], found)

    def facts(self) -> dict[str, str]:
        """What the model page says of it: the function, its module, the file's sha256, and what its docstring says."""
        return {
            "function": self._table.decode,
            "module": self._table.module,
            "digest": f"sha256:{sha256_file(self._folder / self._table.module)}",
            "does": (inspect.getdoc(self._function) or "").split("\n\n")[0].replace("\n", " "),
        }


def decode_of(folder: Path, table: ModelTable) -> RecipeDecode | None:
    """The function that the recipe names; None if it names none.

    Raises:
        RecipeError: if there is no such function.
    """
    if not table.decode:
        return None
    return RecipeDecode(folder, table, get_function(load_module(folder, table.module), table.decode))
