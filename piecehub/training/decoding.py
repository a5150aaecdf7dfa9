"""The recipe's `decode`: what makes of an example's features what the model takes, the same wherever examples are read.

Trainer, evaluator, `piecehub evaluate` and the model page go through it, so training and evaluation cannot differ.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import tensorflow as tf

from piecehub.errors import RecipeError
from piecehub.examples.stream import Decode
from piecehub.facts.tables import ModelTable
from piecehub.training.recipe_modules import get_function, load_module, recipe_code


def decode_of(folder: Path, table: ModelTable) -> Decode | None:
    """The recipe's function, traced into a graph that takes one example; None if the recipe names none.

    Raises:
        RecipeError: if there is no such function; when it is called, if it raises, or returns no dict.
    """
    if not table.decode:
        return None
    graph: Any = tf.function(get_function(load_module(folder, table.module), table.decode))

    def decode(features: Mapping[str, Any]) -> dict[str, Any]:
        with recipe_code(f"'{table.decode}' to decode an example", RecipeError, folder):
            found: Any = graph(dict(features))
        if not isinstance(found, dict) or not found:
            raise RecipeError(
                f"Expected '{table.decode}' to return a dict of features. Received: {type(found).__name__}; return one."
            )
        return cast(dict[str, Any], found)

    # AutoGraph would rewrite the `with` above, and hide what raised.
    autograph: Any = tf.autograph
    return autograph.experimental.do_not_convert(decode)
