"""The recipe loader is strict, and says what is wrong in one sentence."""

import copy
import tomllib
from typing import Any

import pytest

from piecehub.errors import RecipeError
from pipelines.recipe.loader import RECIPES, load_recipe, parse


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
        ("piece.layer", 3, "for 'piece.layer'"),
        ("piece.layr", "features", "Received: 'piece.layr'; did you mean 'piece.layer'?"),
        ("piece.road", "round", "Expected 'cut', 'take', 'whole', 'core' or 'as_is' for 'piece.road'"),
        ("piece.frozen", "thaw", "Expected 'refuse', 'unfreeze' or 'keep' for 'piece.frozen'"),
        ("piece.hyperparameters", ["width"], "'dropout_rate' or 'batch_norm_momentum'"),
        ("piece", [], "for 'piece'"),
        ("documentation.description", "x" * 3000, "for 'documentation.description'"),
        ("evaluation.seeds", [], "for 'evaluation.seeds'"),
        ("train.epochs", None, "Expected the entry 'train.epochs'"),
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
        ('piece.layer=""', "Expected the entry 'piece.layer'"),
        ("piece.layer=[]", "Expected the entry 'piece.layer'"),
        ("piece.road=whole", "Expected none in 'piece.layer' for the road 'whole'. Received: features"),
        ('piece={road="take", layer=["a", "b"]}', "Expected one layer in 'piece.layer' for the road 'take'"),
        ('piece=[{layer="a"}, {name="b", layer="b"}]', "Expected a name for each of several pieces"),
        ('piece=[{name="a.b", layer="a"}, {name="a-b", layer="b"}]', "Expected pieces whose names differ"),
        ('piece={name="A", layer="a"}', "Expected a model name"),
        ('task=[{name="a", pieces=["other"]}]', "Expected pieces of the recipe \\(digits\\) in a task"),
        ("model.parent=digits", "Expected 'publisher/name/version'"),
    ],
)
def test_a_wrong_setting_is_one_sentence(setting: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe("digits", [setting])


def test_an_unknown_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match=r"digits.*Received: 'digit'"):
        load_recipe("digit")


TWO = 'piece=[{name="logits", road="whole"}, {name="features", layer=["half", "features"], features="features"}]'


def test_one_piece_is_called_like_the_recipe_and_several_by_their_names() -> None:
    assert [piece.name for piece in load_recipe("digits").config.piece] == ["digits"]
    whole, cut = load_recipe("digits", [TWO]).config.piece
    assert (whole.name, whole.road, whole.layers) == ("logits", "whole", ())
    assert (cut.name, cut.layers) == ("features", ("half", "features"))


def test_a_task_judges_all_pieces_or_those_it_names() -> None:
    config = load_recipe("digits", [TWO, 'task=[{name="a"}, {name="b", pieces=["features"]}]']).config
    assert [[task.name for task in config.tasks_of(piece)] for piece in config.piece] == [["a"], ["a", "b"]]


def test_a_piece_that_no_task_judges_is_refused() -> None:
    with pytest.raises(RecipeError, match="Expected a task that judges the piece 'logits'"):
        load_recipe("digits", [TWO, 'task=[{name="b", pieces=["features"]}]'])
