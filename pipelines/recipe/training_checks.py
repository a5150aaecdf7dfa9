"""What the types of `[train]` do not say: entries that exclude or need each other, and the keys of its tables."""

from collections.abc import Collection, Iterator
from typing import Any

from piecehub.facts.tables import TrainTable
from pipelines.recipe.faults import Fault, fault
from pipelines.recipe.sentences import did_you_mean
from pipelines.recipe.spelling import closest

# As `keras.optimizers.serialize` writes it.
_KERAS_TABLE = ("class_name", "config", "module", "registered_name")
CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")
# The arguments of Keras' `EarlyStopping`.
EARLY_STOPPING = (
    *("monitor", "min_delta", "patience", "verbose", "mode", "baseline", "restore_best_weights", "start_from_epoch"),
)
# What a `fit` of the recipe's own does itself.
_OF_OUR_FIT = ("schedule", "gradient_clip", "early_stopping", "class_weight", "callbacks")


def training_faults(train: TrainTable, label: str) -> Iterator[Fault]:
    """All that does not hold together in `[train]`."""
    yield from _table_faults(train)
    yield from _weight_faults(train, label)
    yield from _own_fit_faults(train) if train.fit else _rate_faults(train)


def _table_faults(train: TrainTable) -> Iterator[Fault]:
    for key, table in (("optimizer", train.optimizer), ("schedule", train.schedule)):
        if isinstance(table, dict):
            unknown = list(_unknown(key, table, _KERAS_TABLE))
            yield from unknown
            is_class = isinstance(table.get("class_name"), str) and isinstance(table.get("config", {}), dict)
            if not is_class and not unknown:
                yield fault(
                    f"Expected a 'class_name' and a table 'config' in 'train.{key}'. Received: {table}; write it as "
                    "Keras serializes it.",
                    f"train.{key}",
                )
    if train.gradient_clip is not None:
        yield from _unknown("gradient_clip", train.gradient_clip, CLIPS)
        if len(train.gradient_clip) != 1:
            yield fault(
                f"Expected one of {', '.join(CLIPS)} in 'train.gradient_clip'. Received: {len(train.gradient_clip)}.",
                "train.gradient_clip",
            )
    stopping = train.early_stopping or {}
    yield from _unknown("early_stopping", stopping, EARLY_STOPPING)
    if (mode := stopping.get("mode", "auto")) not in ("auto", "min", "max"):
        yield fault(
            f"Expected 'auto', 'min' or 'max' as the mode of 'train.early_stopping'. Received: '{mode}'.",
            "train.early_stopping.mode",
        )


def _unknown(key: str, table: dict[str, Any], known: Collection[str]) -> Iterator[Fault]:
    for entry in table:
        if entry not in known:
            end = did_you_mean(closest(entry, known))
            yield fault(
                f"Expected only {', '.join(known)} in 'train.{key}'. Received: '{entry}'{end}", ("train", key, entry)
            )


def _weight_faults(train: TrainTable, label: str) -> Iterator[Fault]:
    if train.class_weight is None:
        return
    if train.sample_weight:
        yield fault(
            "Expected 'train.class_weight' or 'train.sample_weight' in the recipe. Received: both; multiply them in "
            "the data.",
            "train.class_weight",
            "train.sample_weight",
        )
    if not label:
        yield fault(
            "Expected the entry 'data.label' beside 'train.class_weight' in the recipe. Received: none.",
            "train.class_weight",
            "data.label",
        )
    bad = [key for key in train.class_weight if not key.isdecimal()] if isinstance(train.class_weight, dict) else []
    if bad or train.class_weight == {}:
        yield fault(
            f"Expected labels, whole numbers from 0, as the keys of 'train.class_weight'. Received: '{(*bad, '')[0]}'.",
            "train.class_weight",
        )


def _own_fit_faults(train: TrainTable) -> Iterator[Fault]:
    for key in _OF_OUR_FIT:
        if getattr(train, key):
            yield fault(
                f"Expected no 'train.{key}' beside 'train.fit', which trains by itself. Received: both; do it in "
                f"'{train.fit}'.",
                f"train.{key}",
                "train.fit",
            )


def _rate_faults(train: TrainTable) -> Iterator[Fault]:
    table: dict[str, Any] = train.optimizer.get("config", {}) if isinstance(train.optimizer, dict) else {}
    known = isinstance(table, dict) and "learning_rate" in table
    if known and (train.learning_rate is not None or train.schedule):
        other = "train.schedule" if train.schedule else "train.learning_rate"
        yield fault(
            f"Expected one learning rate in the recipe. Received: '{other}', and another one in 'train.optimizer'.",
            other,
            "train.optimizer",
        )
    named = "optimizer" not in train.functions()
    if named and not known and not train.schedule and train.learning_rate is None:
        yield fault(
            "Expected the entry 'train.learning_rate' in the recipe, or a 'train.schedule'. Received: neither; add "
            "one.",
            "train.learning_rate",
            "train.schedule",
            "train.optimizer",
        )
