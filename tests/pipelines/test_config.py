"""The recipe loader is strict, and says what is wrong in one sentence."""

import copy
import tomllib
from typing import Any

import pytest

from piecehub.errors import RecipeError
from pipelines.config import RECIPES, load_recipe, parse


@pytest.fixture
def values() -> dict[str, Any]:
    return tomllib.loads((RECIPES / "digits" / "recipe.toml").read_text("utf-8"))


def _changed(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(values)
    *tables, last = key.split(".")
    place = changed
    for table in tables:
        place = place.setdefault(table, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


def test_the_shipped_recipe_loads_by_its_name() -> None:
    loaded = load_recipe("digits")
    assert loaded.config.recipe.name == "digits"
    assert loaded.folder == RECIPES / "digits"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("train.epoch", 3, "Received: 'train.epoch'; did you mean 'train.epochs'?"),
        ("training.epochs", 3, "Received: 'training'"),
        ("train.epochs", "three", "Expected a valid integer for 'train.epochs'"),
        ("train.epochs", -1, "for 'train.epochs'"),
        ("train.epochs", True, "for 'train.epochs'"),
        ("piece.layer", None, "Expected the entry 'piece.layer'"),
        ("piece.road", "round", "Expected 'cut' or 'take' for 'piece.road'"),
        ("documentation.license", None, "Expected the entry 'documentation.license'"),
        ("documentation.description", "", "for 'documentation.description'"),
        ("documentation.description", "x" * 3000, "for 'documentation.description'"),
        ("evaluation.seeds", [], "for 'evaluation.seeds'"),
        ("task", [], "for 'task'"),
    ],
)
def test_a_wrong_entry_is_one_sentence(values: dict[str, Any], key: str, value: Any, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(_changed(values, key, value))
    assert words in caught.value.sentence
    assert "\n" not in str(caught.value)


def test_a_whole_number_is_read_as_a_float_where_one_is_expected(values: dict[str, Any]) -> None:
    recipe = parse(_changed(values, "train.learning_rate", 1))
    assert isinstance(recipe.train.learning_rate, float)


def test_a_setting_lies_over_the_recipe() -> None:
    config = load_recipe("digits", ["train.epochs=0", "recipe.publisher=acme", "evaluation.shots=[5]"]).config
    assert (config.train.epochs, config.recipe.publisher, config.evaluation.shots) == (0, "acme", (5,))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("epochs", "Expected a setting like"),
        ("train.epochs", "Expected a setting like"),
        ("train.epochs.more=1", "Expected a table"),
        ("train.epoch=1", "did you mean 'train.epochs'"),
        ("recipe.publisher=models", "route of the server"),
        ("recipe.name=Digits", "Expected a model name"),
        ("train.seed=3", "no seed of the evaluation"),
        ('data.folder="x"', "either 'data.module' or 'data.folder'"),
    ],
)
def test_a_wrong_setting_is_one_sentence(setting: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe("digits", [setting])


def test_an_unknown_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match=r"digits.*Received: 'digit'"):
        load_recipe("digit")
