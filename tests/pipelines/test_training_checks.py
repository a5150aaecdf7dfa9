"""What a recipe may say in `[train]`: what excludes or needs each other is one sentence, found when it is loaded."""

import re
import tomllib
from typing import Any

import pytest

from piecehub.errors import RecipeError
from piecehub.facts.tables import MOST_BYTES, TrainTable
from pipelines.recipe.checks import checked
from pipelines.recipe.loader import RECIPES, parse


def _recipe(train: str) -> Any:
    values = tomllib.loads((RECIPES / "digits" / "recipe.toml").read_text())
    values["train"] = tomllib.loads(f"epochs = 3\nbatch_size = 32\nseed = 100\n{train}")
    return checked(parse(values))


def _json(train: str) -> str:
    return TrainTable.of(_recipe(train).train).to_json()


FULL = """
learning_rate = 1
optimizer = "my_optimizer"
sample_weight = "importance"
steps_per_epoch = 100
precision = "mixed_bfloat16"
callbacks = "my_callbacks"
augment = "my_augment"
schedule = { class_name = "CosineDecay", config = { alpha = 0.1 } }
gradient_clip = { global_clipnorm = 1 }
early_stopping = { patience = 3 }
"""


def test_all_entries_are_read_and_their_functions_are_known() -> None:
    train = _recipe(FULL).train
    assert train.functions() == {
        "optimizer": "my_optimizer",
        "callbacks": "my_callbacks",
        "augment": "my_augment",
    }
    assert TrainTable.from_json(_json(FULL)) == TrainTable.of(train)
    assert len(_json(FULL)) < MOST_BYTES
    shuffled = "\n".join(reversed(FULL.strip().splitlines()))
    assert _json(shuffled) == _json(FULL)


def test_an_entry_that_is_not_used_stands_in_no_cache_key() -> None:
    assert _json("learning_rate = 0.5") == (
        '{"accuracy":"","batch_size":32,"epochs":3,"learning_rate":0.5,"loss":"","optimizer":"adam","seed":100}'
    )
    assert _json('learning_rate = 0.5\nprecision = "float32"') == _json("learning_rate = 0.5")
    assert '"learning_rate"' not in _json('fit = "my_fit"')


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ("", "'train.learning_rate' in the recipe, or a 'train.schedule'. Received: neither"),
        ('optimizer = { class_name = "SGD", config = { momentum = 0.9 } }', "'train.learning_rate'"),
        ("learning_rate = 0.1\nlearning_rat = 1", r"'train.learning_rat'; did you mean 'train.learning_rate'"),
        ('learning_rate = 0.1\noptimizer = { class_name = "SGD", config = { learning_rate = 0.1 } }', "one learning"),
        (
            'optimizer = { class_name = "SGD", config = { learning_rate = 0.1 } }\nschedule = { class_name = "A" }',
            "one",
        ),
        ('learning_rate = 0.1\noptimizer = { name = "SGD" }', "class_name, config.* in 'train.optimizer'.*'name'"),
        ("learning_rate = 0.1\nschedule = { config = { alpha = 0.1 } }", "a 'class_name' and a table 'config'"),
        ("learning_rate = 0.1\ngradient_clip = { clipnorm = 1, clipvalue = 1 }", "one of clipnorm.* Received: 2"),
        ("learning_rate = 0.1\ngradient_clip = { norm = 1 }", "in 'train.gradient_clip'. Received: 'norm'"),
        ("learning_rate = 0.1\ngradient_clip = { clipnorm = -1 }", "train.gradient_clip"),
        ("learning_rate = 0.1\nearly_stopping = { patients = 1 }", "in 'train.early_stopping'. Received: 'patients'"),
        ('learning_rate = 0.1\nearly_stopping = { mode = "most" }', "the mode of 'train.early_stopping'. .*'most'"),
        ('learning_rate = 0.1\nclass_weight = "even"', "'balanced'"),
        ("learning_rate = 0.1\nclass_weight = { one = 1.0 }", "whole numbers from 0.*Received: 'one'"),
        ("learning_rate = 0.1\nclass_weight = { }", "whole numbers from 0"),
        ('learning_rate = 0.1\nclass_weight = "balanced"\nsample_weight = "w"', "Received: both; multiply"),
        ('learning_rate = 0.1\nprecision = "float16"', "'float32', 'mixed_bfloat16' or 'mixed_float16'"),
        ("learning_rate = 0.1\nsteps_per_epoch = 0", "train.steps_per_epoch"),
        ('fit = "my_fit"\nearly_stopping = { patience = 1 }', "no 'train.early_stopping' beside 'train.fit'"),
        ('fit = "my_fit"\ncallbacks = "mine"', "no 'train.callbacks' beside 'train.fit'"),
        (f'learning_rate = 0.1\nschedule = {{ class_name = "{"x" * 2000}" }}', "under 2000 bytes"),
    ],
)
def test_what_does_not_hold_together_is_one_sentence(train: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        _recipe(train)
    assert "\n" not in str(caught.value)


def test_the_page_has_every_entry_and_its_recipe_holds_together() -> None:
    page = (RECIPES.parents[1] / "docs" / "training.md").read_text("utf-8")
    [table] = re.findall(r"^```toml\n\[train\]\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    told = tomllib.loads(table)
    assert set(told) <= set(TrainTable.__dataclass_fields__)
    assert _recipe("\n".join(line for line in table.splitlines() if not line.startswith(("epoch", "batch", "seed"))))
    rows = "\n".join(re.findall(r"^\| (`.*?) \|", page.partition("## What each entry")[0], flags=re.MULTILINE))
    assert {name for name in TrainTable.__dataclass_fields__ if f"`{name}`" not in rows} == set()
