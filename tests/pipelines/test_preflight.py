"""What a recipe gets wrong stops the run before anything is computed: here, what its model page will say."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from piecehub.errors import RecipeError, SeveralFaults

pytest.importorskip("tfx")

from pipelines import preflight
from pipelines.recipe.loader import RECIPES, load_recipe, parse
from pipelines.recipe.settings import Settings

RGB = """
import keras
from keras import layers

def build_model(*, seed, classes, **others):
    images = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D(name="features")(layers.Conv2D(4, 3)(images))
    return keras.Model(images, layers.Dense(classes)(x))
"""


def _refusal(recipe: str | Path, settings: Settings, folder: Path) -> str:
    """Why a run would not start, whichever way it is found."""
    try:
        preflight.check(load_recipe(recipe, settings), folder)
    except RecipeError as error:
        return error.sentence
    return ""


@pytest.mark.parametrize("recipe", ["digits", "nuclei", "docstrings"])
def test_c4_the_shipped_recipes_have_pages_that_pass_the_validator(recipe: str, tmp_path: Path) -> None:
    assert _refusal(recipe, [], tmp_path) == ""


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('documentation.hub_tasks=["image-feature-vector"]', "D22"),
        ("documentation.hub_tasks=[]", "X4"),
        ('documentation.hub_tasks=["digits"]', "a value of 'task' that TensorFlow Hub knows"),
        ('documentation.hub_tasks=["text-embedding"]', "D22"),
        ('piece.hub_tasks=["text-embedding"]', "D22"),
        ("documentation.license=mine", "a value of 'license' that TensorFlow Hub knows"),
        ('documentation.description="# A heading"', "a description under the first line"),
        ('documentation.description="One paragraph.\\n\\nAnother."', "only metadata up to the first heading"),
    ],
)
def test_n3_a_page_that_the_validator_refuses_stops_the_run_before_it_starts(
    setting: str, said: str, tmp_path: Path
) -> None:
    refusal = _refusal("digits", [setting], tmp_path)
    assert said in refusal and setting.partition("=")[0].rpartition(".")[2] in refusal


def test_n3_a_feature_vector_must_say_the_range_of_its_images(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    for file in ("schema.pbtxt", "recipe.toml", "data.py"):
        text = (Path(preflight.__file__).parent / "recipes" / "digits" / file).read_text("utf-8")
        (recipe / file).write_text(text.replace("size: 1 }", "size: 3 }"), encoding="utf-8")
    (recipe / "model.py").write_text(RGB, encoding="utf-8")
    setting: dict[str, Any] = {"documentation.hub_tasks": ["image-feature-vector"]}
    assert "images are in [0, 1]" in _refusal(recipe, setting, tmp_path)
    setting["documentation.intended_use"] = "Images of 8x8 pixels, RGB in [0, 1]."
    assert _refusal(recipe, setting, tmp_path) == ""


def test_n11_an_argument_that_the_function_does_not_take_is_named(tmp_path: Path) -> None:
    refusal = _refusal("digits", ["model.arguments.widht=3"], tmp_path)
    assert (
        "'model.arguments'" in refusal
        and "'widht'; it takes classes, l2, width" in refusal
        and "building.py" not in refusal
    )


def test_n11_what_a_function_of_any_arguments_does_with_one_is_told_when_it_is_built(tmp_path: Path) -> None:
    shutil.copytree(RECIPES / "digits", tmp_path / "recipe")
    code = "def build_model(*, seed, classes, **others):\n    return {}['widht' if 'widht' in others else 'no']\n"
    (tmp_path / "recipe" / "model.py").write_text(code, encoding="utf-8")
    refusal = _refusal(tmp_path / "recipe", ["model.arguments.widht=3"], tmp_path)
    assert "KeyError: 'widht'" in refusal and "building.py" not in refusal


def test_n11_a_misspelt_entry_is_named_and_not_only_the_missing_one() -> None:
    with pytest.raises(SeveralFaults) as raised:
        parse({"train": {"epoch": 3, "batch_size": 8, "learning_rate": 0.1}})
    about = [line for line in raised.value.lines if "epoch" in line]
    assert about == ["Expected only known keys in the recipe. Received: 'train.epoch'; did you mean 'train.epochs'?"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.callbacks=gone", "function 'gone'"),
        ("train.optimizer=adamm", "function 'adamm'"),
        ('train.schedule={class_name="Cosine"}', "one of CosineDecay"),
        ('train.optimizer={class_name="SGD", config={nestrov=true}}', "nestrov"),
        ("train.early_stopping={patience=1}", ""),
    ],
)
def test_a_training_that_keras_refuses_stops_the_run_before_it_starts(setting: str, said: str, tmp_path: Path) -> None:
    refusal = _refusal("digits", [setting], tmp_path)
    assert said in refusal and bool(refusal) == bool(said)
