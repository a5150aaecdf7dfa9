"""Settings, laid over a recipe's own values: `KEY=VALUE` texts, or values by their keys."""

import tomllib
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any

from piecehub.errors import RecipeError

Settings = Iterable[str] | Mapping[str, Any]


def lay_over(values: dict[str, Any], settings: Settings) -> list[tuple[str, ...]]:
    """Lays settings over the values of a `recipe.toml`, which changes them; returns the entries that it laid.

    Args:
        values: of the recipe.
        settings: texts like `train.epochs=3`, whose values are TOML or bare words, or `{"train.epochs": 3}`.

    Raises:
        RecipeError: if one is none, or goes through a value that is no table.
    """
    named = by_name(settings)
    for key, value in named.items():
        _lay_one(values, key, value)
    return [tuple(key.split(".")) for key in named]


def by_name(settings: Settings) -> dict[str, Any]:
    """Settings as values by their keys, of which the last counts; raises RecipeError if one is none."""
    pairs = settings.items() if isinstance(settings, Mapping) else map(_read, settings)
    return {key: fspath(value) if isinstance(value, PathLike) else value for key, value in pairs}


def _read(setting: str) -> tuple[str, Any]:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip().split(".")[-1]:
        raise RecipeError(f"Expected a setting like 'train.epochs=3'. Received: '{setting}'.")
    try:
        return key.strip(), tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), text  # a bare word is a text: `--set recipe.publisher=acme`


def _lay_one(values: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    place: Any = values
    for table in tables:
        place = place.setdefault(table, {})
        if not isinstance(place, dict):
            raise RecipeError(
                f"Expected a table of the recipe before the last dot. Received: '{key}', where '{table}' is none."
            )
    place[last] = value
