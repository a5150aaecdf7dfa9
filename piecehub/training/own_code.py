"""The functions of a recipe that a training calls, beside the one that builds the model."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from piecehub.examples.stream import Augment
from piecehub.facts.tables import TrainTable
from piecehub.training.recipe_modules import get_function

Measure = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class OwnCode:
    """What a recipe does in its own way; None is what we do.

    Attributes:
        loss: what is made small, of each example: `(y_true, y_pred) -> [batch] float32`; None learns the class.
        accuracy: how right the model is with each example, 0 to 1; together with `loss`.
        optimizer: `(learning_rate=…)`, a number or a schedule where the recipe has one, -> a Keras optimizer.
        callbacks: `() ->` a list of Keras callbacks.
        augment: `(features, seed) -> features` of one decoded example; `seed` is for stateless operations.
        fit: `(training)` trains the model (own_fit.py).
    """

    loss: Measure | None = None
    accuracy: Measure | None = None
    optimizer: Callable[..., Any] | None = None
    callbacks: Callable[[], Any] | None = None
    augment: Augment | None = None
    fit: Callable[[Any], None] | None = None

    @classmethod
    def of(cls, module: ModuleType, settings: TrainTable) -> "OwnCode":
        """Those that the settings name; raises RecipeError if the module lacks one."""
        return cls(**{key: get_function(module, name) for key, name in settings.functions().items()})
