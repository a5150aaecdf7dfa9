"""What the types of `[train]` do not say: entries that exclude or need each other, and the keys of its tables."""

from collections.abc import Collection
from typing import Any

from piecehub.errors import RecipeError
from piecehub.facts.tables import TrainTable

# As `keras.optimizers.serialize` writes it.
_KERAS_TABLE = ("class_name", "config", "module", "registered_name")
CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")
# The arguments of Keras' `EarlyStopping`.
EARLY_STOPPING = (
    *("monitor", "min_delta", "patience", "verbose", "mode", "baseline", "restore_best_weights", "start_from_epoch"),
)
# What a `fit` of the recipe's own does itself.
_OF_OUR_FIT = ("schedule", "gradient_clip", "early_stopping", "class_weight", "callbacks")


def check_training(train: TrainTable, label: str) -> None:
    """Passes if `[train]` holds together.

    Raises:
        RecipeError: naming the first thing that does not.
    """
    _check_tables(train)
    _check_weights(train, label)
    if train.fit:
        _check_own_fit(train)
    else:
        _check_rate(train)


def _check_tables(train: TrainTable) -> None:
    for key, table in (("optimizer", train.optimizer), ("schedule", train.schedule)):
        if isinstance(table, dict):
            _refuse_unknown(key, table, _KERAS_TABLE)
            if not isinstance(table.get("class_name"), str) or not isinstance(table.get("config", {}), dict):
                raise RecipeError(
                    f"Expected a 'class_name' and a table 'config' in 'train.{key}'. Received: {table}; write it as "
                    "Keras serializes it."
                )
    if train.gradient_clip is not None:
        _refuse_unknown("gradient_clip", train.gradient_clip, CLIPS)
        if len(train.gradient_clip) != 1:
            raise RecipeError(
                f"Expected one of {', '.join(CLIPS)} in 'train.gradient_clip'. Received: {len(train.gradient_clip)}."
            )
    stopping = train.early_stopping or {}
    _refuse_unknown("early_stopping", stopping, EARLY_STOPPING)
    if (mode := stopping.get("mode", "auto")) not in ("auto", "min", "max"):
        raise RecipeError(f"Expected 'auto', 'min' or 'max' as the mode of 'train.early_stopping'. Received: '{mode}'.")


def _refuse_unknown(key: str, table: dict[str, Any], known: Collection[str]) -> None:
    if unknown := [entry for entry in table if entry not in known]:
        raise RecipeError(f"Expected only {', '.join(known)} in 'train.{key}'. Received: '{unknown[0]}'.")


def _check_weights(train: TrainTable, label: str) -> None:
    if train.class_weight is None:
        return
    if train.sample_weight:
        raise RecipeError(
            "Expected 'train.class_weight' or 'train.sample_weight' in the recipe. Received: both; multiply them in "
            "the data."
        )
    if not label:
        raise RecipeError("Expected the entry 'data.label' beside 'train.class_weight' in the recipe. Received: none.")
    bad = [key for key in train.class_weight if not key.isdecimal()] if isinstance(train.class_weight, dict) else []
    if bad or train.class_weight == {}:
        raise RecipeError(
            f"Expected labels, whole numbers from 0, as the keys of 'train.class_weight'. Received: '{(*bad, '')[0]}'."
        )


def _check_own_fit(train: TrainTable) -> None:
    given = [key for key in _OF_OUR_FIT if getattr(train, key)]
    if given:
        raise RecipeError(
            f"Expected no 'train.{given[0]}' beside 'train.fit', which trains by itself. Received: both; do it in "
            f"'{train.fit}'."
        )


def _check_rate(train: TrainTable) -> None:
    table: dict[str, Any] = train.optimizer.get("config", {}) if isinstance(train.optimizer, dict) else {}
    known = "learning_rate" in table
    if known and (train.learning_rate is not None or train.schedule):
        other = "train.schedule" if train.schedule else "train.learning_rate"
        raise RecipeError(
            f"Expected one learning rate in the recipe. Received: '{other}', and another one in 'train.optimizer'."
        )
    named = "optimizer" not in train.functions()
    if named and not known and not train.schedule and train.learning_rate is None:
        raise RecipeError(
            "Expected the entry 'train.learning_rate' in the recipe, or a 'train.schedule'. Received: neither; add one."
        )
