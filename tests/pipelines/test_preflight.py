"""What a recipe gets wrong stops the run before anything is computed: here, what its model page will say."""

from pathlib import Path
from typing import Any

import pytest

from piecehub.errors import RecipeError

pytest.importorskip("tfx")

from pipelines import preflight
from pipelines.recipe.loader import load_recipe, parse
from pipelines.recipe.tables import LoadedRecipe

RGB = """
import keras
from keras import layers

def build_model(*, seed, classes, **others):
    images = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D(name="features")(layers.Conv2D(4, 3)(images))
    return keras.Model(images, layers.Dense(classes)(x))
"""


def _refusal(loaded: LoadedRecipe, folder: Path) -> str:
    try:
        preflight.check(loaded, folder)
    except RecipeError as error:
        return error.sentence
    return ""


@pytest.mark.parametrize("recipe", ["digits", "nuclei", "docstrings"])
def test_c4_the_shipped_recipes_have_pages_that_pass_the_validator(recipe: str, tmp_path: Path) -> None:
    assert _refusal(load_recipe(recipe), tmp_path) == ""


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
    refusal = _refusal(load_recipe("digits", [setting]), tmp_path)
    assert said in refusal and "hub_tasks" in refusal


def test_n3_a_feature_vector_must_say_the_range_of_its_images(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    for file in ("schema.pbtxt", "recipe.toml", "data.py"):
        text = (Path(preflight.__file__).parent / "recipes" / "digits" / file).read_text("utf-8")
        (recipe / file).write_text(text.replace("size: 1 }", "size: 3 }"), encoding="utf-8")
    (recipe / "model.py").write_text(RGB, encoding="utf-8")
    setting: dict[str, Any] = {"documentation.hub_tasks": ["image-feature-vector"]}
    assert "images are in [0, 1]" in _refusal(load_recipe(recipe, setting), tmp_path)
    setting["documentation.intended_use"] = "Images of 8x8 pixels, RGB in [0, 1]."
    assert _refusal(load_recipe(recipe, setting), tmp_path) == ""


def test_n11_an_argument_that_the_function_does_not_take_is_named(tmp_path: Path) -> None:
    refusal = _refusal(load_recipe("digits", ["model.arguments.widht=3"]), tmp_path)
    assert "'model.arguments'" in refusal and "widht" in refusal and "building.py" not in refusal


def test_n11_a_misspelt_entry_is_named_and_not_only_the_missing_one() -> None:
    with pytest.raises(RecipeError) as raised:
        parse({"train": {"epoch": 3, "batch_size": 8, "learning_rate": 0.1}})
    assert raised.value.sentence.endswith("Received: 'train.epoch'; did you mean 'train.epochs'?")


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
    refusal = _refusal(load_recipe("digits", [setting]), tmp_path)
    assert said in refusal and bool(refusal) == bool(said)
