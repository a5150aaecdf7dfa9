"""`piecehub init` from a trained model: the recipe trains nothing, and shares what is reusable as it is."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import piecehub as door
from piecehub.errors import PieceError, RecipeError
from piecehub.exporting.reusable import export_piece
from piecehub.extraction.piece import Builder, control_kind, control_weights, write_piece
from piecehub.extraction.roads import cut_piece, saved_model_in
from piecehub.facts import piece_manifest
from piecehub.facts.content import content_digest, list_files
from piecehub.training import weights
from piecehub.training.building import model_input
from piecehub.training.checkpoint import restore
from piecehub.training.recipe_modules import load_module
from pipelines.data import examples_folder
from pipelines.recipe.checks import recipe_faults
from pipelines.recipe.loader import load_recipe
from pipelines.starting.looked import Looked
from pipelines.starting.pictures import look_at_images
from pipelines.starting.plan import plan_for
from pipelines.starting.tables import look_at_table
from pipelines.starting.trained import look_at_trained
from pipelines.starting.writing import write_recipe
from tests.command_line import piecehub
from tests.pipelines.starting_data import LOOKERS, looked_at, made, pictures, records


def _trained(form: str) -> keras.Model:
    """A model as somebody trained it, that takes what `_made` makes, with classes of its own where it has texts."""
    if form == "images":
        inputs = keras.Input((20, 24, 3))
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3)(layers.Rescaling(1 / 255)(inputs)))
    elif form == "text":
        inputs = keras.Input((), dtype="string")
        words = layers.TextVectorization(output_mode="multi_hot", vocabulary=["sweet", "sea", "road", "wood", "hen"])
        x = words(inputs)
    elif form == "csv":
        inputs = {name: keras.Input((1,), name=name, dtype="string") for name in ("wings", "colour")}
        hashed = [layers.Hashing(8)(tensor) for tensor in inputs.values()]
        inputs |= {"length": keras.Input((1,), name="length")}
        words = layers.Flatten()(layers.Embedding(8, 4)(layers.concatenate(hashed)))
        x = layers.concatenate([words, inputs["length"]])
    else:
        inputs = keras.Input((17,))
        x = inputs
    x = layers.Dropout(0.1)(layers.Dense(8, "relu", name="last")(x))
    return keras.Model(inputs, layers.Dense(5, "softmax")(x), name="mine")


@pytest.mark.parametrize("form", LOOKERS)
def test_a_trained_model_gets_a_recipe_that_trains_nothing(tmp_path: Path, form: str) -> None:
    from pipelines import preflight

    model = _trained(form)
    looked = look_at_trained(model, looked_at(form, tmp_path / "data"), "", None)
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    loaded = load_recipe(tmp_path / "recipe")
    assert loaded.config.piece[0].layer == "last"
    assert not loaded.config.data.upstream
    preflight.check(loaded, tmp_path / "store")
    folder = examples_folder(loaded, tmp_path / "written")
    assert [path.name for path in folder.iterdir()] == ["downstream"]
    module = load_module(tmp_path / "recipe", "model.py")
    drawn, other = module.build_model(seed=1), module.build_model(seed=2)
    assert not np.array_equal(drawn.weights[-2], other.weights[-2])
    restore(drawn, tmp_path / "recipe" / "model.keras")
    for one, same in zip(drawn.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, same)


def test_a_model_that_divides_by_255_is_given_values_to_255(tmp_path: Path) -> None:
    task = look_at_images(pictures(tmp_path / "data"))
    constants = look_at_trained(_trained("images"), task, "", None).constants["trained_pictures"]
    assert constants == {"HEIGHT, WIDTH, CHANNELS": (20, 24, 3), "LARGEST": 255.0, "SHAPE": (20, 24, 3)}
    assert look_at_trained(_trained("images"), task, "", None).constants["images_folder"] == {"KEPT": 256}
    inputs = keras.Input((300, 280, 3))
    features = layers.Dense(4, "relu")(layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(inputs)))
    larger = keras.Model(inputs, layers.Dense(5)(features))
    assert look_at_trained(larger, task, "", None).constants["images_folder"] == {"KEPT": 300}
    plain = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=3)
    looked = look_at_trained(plain, task, "", None)
    assert looked.constants["trained_pictures"]["LARGEST"] == 1.0
    assert looked.trained is not None
    assert looked.trained.layer.startswith("global_average_pooling2d")


@pytest.mark.parametrize(
    ("form", "other", "sentence"),
    [
        ("images", "tfrecord", "Expected a model with inputs that are called like columns.* Received: 'mine' with"),
        (
            "csv",
            "images",
            "Expected a model that takes pictures. Received: 'mine', with the inputs wings, colour, l",
        ),
        ("tfrecord", "images", "Expected a model that takes pictures, float"),
        ("images", "text", "Expected a model that takes texts, string"),
    ],
)
def test_a_model_that_does_not_take_the_tasks_examples_is_refused(
    tmp_path: Path, form: str, other: str, sentence: str
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        look_at_trained(_trained(form), looked_at(other, tmp_path / "data"), "", None)


def _rows(*names: str, label: str = "kind") -> str:
    rng = np.random.default_rng(0)
    rows = [[*(f"{value:.3f}" for value in rng.normal(size=len(names))), "abcde"[n % 5]] for n in range(100)]
    return "\n".join(",".join(row) for row in [[*names, label], *rows])


def _written(model: keras.Model, task: Looked, folder: Path) -> Any:
    """The module of the recipe that a model gets for a task."""
    looked = look_at_trained(model, task, "", None)
    write_recipe(folder, "mine", looked, plan_for(looked))
    return load_module(folder, "model.py")


def test_columns_are_found_by_their_names_as_they_stand_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(_rows("Age", "Monthly income"))
    inputs = {name: keras.Input((1,), name=name) for name in ("Monthly income", "Age")}
    model = keras.Model(inputs, layers.Dense(5)(layers.Dense(4, "relu")(layers.concatenate(list(inputs.values())))))
    module = _written(model, look_at_table(tmp_path / "table.csv"), tmp_path / "recipe")
    row = module.decode({"age": tf.constant(3.0), "monthly_income": tf.constant(4.0), "label": tf.constant(1)})
    assert {name: value.numpy().tolist() for name, value in row.items()} == {
        "Monthly income": [4.0],
        "Age": [3.0],
        "label": 1,
    }


def test_a_model_that_takes_a_list_is_shared_as_one_that_takes_its_columns_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(_rows("left", "right"))
    inputs = [keras.Input((1,), name=name) for name in ("right", "left")]
    features = layers.Dense(4, "relu", name="joint")(layers.concatenate(inputs))
    model = keras.Model(inputs, layers.Dense(5)(features))
    module = _written(model, look_at_table(tmp_path / "table.csv"), tmp_path / "recipe")
    named: Any = keras.models.load_model(tmp_path / "recipe" / "model.keras")
    left, right = np.float32([[1.0], [2.0]]), np.float32([[3.0], [5.0]])
    np.testing.assert_array_equal(named({"left": left, "right": right}), model([right, left]))
    assert model_input(module.build_model(seed=1)).keys() == {"left", "right"}
    piece = cut_piece(named, "joint")
    assert model_input(piece).keys() == {"left", "right"}


@pytest.mark.parametrize(("shape", "laid_out"), [((6, 1), [6, 1]), ((2, 3), [2, 3]), ((None, 3), [2, 3]), ((6,), [6])])
def test_numbers_are_laid_out_as_a_model_of_one_input_takes_them(
    tmp_path: Path, shape: tuple[int | None, ...], laid_out: list[int]
) -> None:
    (tmp_path / "table.csv").write_text(_rows(*(f"t{n}" for n in range(6))))
    series = keras.Sequential([keras.Input(shape), layers.Flatten() if None not in shape else layers.LSTM(4)])
    model = keras.Sequential([series, layers.Dense(4, "relu"), layers.Dense(5)])
    module = _written(model, look_at_table(tmp_path / "table.csv"), tmp_path / "recipe")
    row = module.decode({**{f"t{n}": tf.constant(float(n)) for n in range(6)}, "label": tf.constant(1)})
    assert row["numbers"].shape == laid_out
    assert row["numbers"].numpy().ravel().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("shape", [(7,), (4, 2), (None, 4), (None, None, 3)])
def test_numbers_that_a_model_does_not_take_are_refused_with_the_label_that_was_taken(
    tmp_path: Path, shape: tuple[int | None, ...]
) -> None:
    (tmp_path / "table.csv").write_text(_rows(*(f"t{n}" for n in range(6))))
    inputs = keras.Input(shape)
    with pytest.raises(
        RecipeError, match=r"and 6 numbers \(t0, t1.* beside the label 'kind'; name another label by --l"
    ):
        look_at_trained(keras.Model(inputs, inputs), look_at_table(tmp_path / "table.csv"), "", None)


@pytest.mark.parametrize("options", [{"shape": (1,), "dtype": "string"}, {"shape": (2,)}])
def test_an_input_that_is_called_like_a_column_of_another_kind_is_refused(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    (tmp_path / "table.csv").write_text(_rows("age", "income"))
    inputs = keras.Input(name="age", **options)
    with pytest.raises(RecipeError, match=r"'age', .* and a column of 1 number; name other examples as the task"):
        look_at_trained(keras.Model(inputs, inputs), look_at_table(tmp_path / "table.csv"), "", None)


def test_pictures_without_a_channel_and_of_any_size_are_taken(tmp_path: Path) -> None:
    task = look_at_images(pictures(tmp_path / "data", "L"))
    flat = keras.Sequential([keras.Input((28, 28)), layers.Flatten(), layers.Dense(8, "relu"), layers.Dense(5)])
    module = _written(flat, task, tmp_path / "recipe")
    file = next((tmp_path / "data").rglob("*.png")).read_bytes()
    assert module.decode({"picture": tf.constant(file), "label": tf.constant(1)})["images"].shape == [28, 28]
    inputs = keras.Input((None, None, 1))
    anywhere = keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs))))
    constants = look_at_trained(anywhere, task, "", None).constants["trained_pictures"]
    assert constants["HEIGHT, WIDTH, CHANNELS"] == (30, 30, 1)


def test_a_piece_that_gives_no_head_its_features_is_refused_before_a_recipe_is_written(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    maps = layers.Conv2D(4, 3, name="maps")(inputs)
    model = keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D(name="mean")(maps)))
    task = look_at_images(pictures(tmp_path / "data"))
    assert look_at_trained(model, task, "mean", None).hub_tasks == ("image-feature-vector",)
    with pytest.raises(RecipeError, match=r"gives a head its features.* Received: float32 \[batch, 6, 6, 4\]; name a"):
        look_at_trained(model, task, "maps", None)


def test_a_layer_that_is_not_there_is_refused_before_a_recipe_is_written(tmp_path: Path) -> None:
    with pytest.raises(PieceError, match="Received: 'lats'; did you mean 'last'"):
        look_at_trained(_trained("tfrecord"), looked_at("tfrecord", tmp_path / "data"), "lats", None)


def test_frozen_layers_are_trained_by_consumers_and_told(tmp_path: Path) -> None:
    from pipelines import preflight

    model = _trained("tfrecord")
    model.get_layer("last").trainable = False
    looked = look_at_trained(model, looked_at("tfrecord", tmp_path / "data"), "", None)
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    loaded = load_recipe(tmp_path / "recipe")
    assert loaded.config.piece[0].frozen == "unfreeze"
    preflight.check(loaded, tmp_path / "store")
    refusing = replace(loaded.config, piece=(replace(loaded.config.piece[0], frozen="refuse"),))
    with pytest.raises(RecipeError, match=r"Expected no frozen layers with weights. Received: last; set frozen"):
        preflight.check(replace(loaded, config=refusing), tmp_path / "store")
    assert looked.network[-1] == "Frozen in it, and trained where the piece is fine-tuned: last: piece.frozen."


def test_a_model_that_holds_python_is_taken_with_trust(tmp_path: Path) -> None:
    inputs = keras.Input((17,))
    x = layers.Dense(8, "relu", name="last")(layers.Lambda(lambda x: 2 * x)(inputs))
    keras.Model(inputs, layers.Dense(5)(x)).save(tmp_path / "mine.keras")
    records(tmp_path / "data")
    words = ["init", "recipe", "--from", "keras", "mine.keras", "--task", "tfrecord", "data"]
    refused = piecehub(*words, cwd=tmp_path)
    assert "pass --trust if you trust who made it" in refused.stderr
    done = piecehub(*words, "--trust", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    module = load_module(tmp_path / "recipe", "model.py")
    first, second = (module.build_model(seed=seed).get_layer("last").get_weights()[0] for seed in (1, 2))
    assert not np.array_equal(first, second)


def test_a_model_that_holds_a_published_piece_is_refused_for_its_controls_would_hold_it_too(tmp_path: Path) -> None:
    door.export(keras.Sequential([keras.Input((17,)), layers.Dense(3)]), tmp_path / "shared")
    piece = door.ReusableLayer(str(tmp_path / "shared"), trainable=True)
    holding = keras.Sequential([keras.Input((17,)), piece, layers.Dense(5)])
    holding.save(tmp_path / "mine.keras")
    records(tmp_path / "data")
    words = ["init", "recipe", "--from", "keras", "mine.keras", "--task", "tfrecord", "data"]
    assert (
        "it holds a published SavedModel, which can run any graph; pass --trust"
        in piecehub(*words, cwd=tmp_path).stderr
    )
    refused = piecehub(*words, "--trust", cwd=tmp_path)
    assert "which holds a published piece; share that by `piecehub.reexport`" in " ".join(refused.stderr.split())
    done = piecehub("export", "mine.keras", "--trust", "-o", "exported", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_code_that_imports_what_lies_beside_it_is_refused_for_it_comes_along_alone(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("WIDTH = 3\n")
    (tmp_path / "mine.py").write_text("import json\nfrom helper import WIDTH\nimport numpy\n")
    with pytest.raises(RecipeError, match="which imports 'helper' beside it; put both into one file"):
        look_at_trained(_trained("tfrecord"), looked_at("tfrecord", tmp_path / "data"), "", tmp_path / "mine.py")


def test_classes_of_the_models_own_come_along(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import keras\n\n\nclass Doubled(keras.layers.Layer):\n    def call(self, x):\n        return 2 * x\n"
    )
    made = "import keras, mine; i = keras.Input((17,)); x = keras.layers.Dense(4, name='last')(mine.Doubled()(i)); "
    made += "keras.Model(i, keras.layers.Dense(5)(x)).save('mine.keras')"
    subprocess.run([sys.executable, "-c", made], cwd=tmp_path, check=True, capture_output=True)
    records(tmp_path / "data")
    words = ["init", "recipe", "--from", "keras", "mine.keras", "--task", "tfrecord", "data"]
    refused = piecehub(*words, cwd=tmp_path)
    assert refused.returncode != 0
    assert "name the Python file that defines it by --code" in refused.stderr
    done = piecehub(*words, "--code", "mine.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    checked = piecehub("recipe", "check", "recipe", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    model = load_module(tmp_path / "recipe", "model.py").build_model(seed=1)
    assert type(model.layers[1]).__name__ == "Doubled"


@pytest.mark.parametrize(
    "form", [form if form == "images" else pytest.param(form, marks=pytest.mark.long) for form in LOOKERS]
)
def test_a_reusable_saved_model_gets_a_recipe_that_shares_it_as_it_is(tmp_path: Path, form: str) -> None:
    from pipelines import preflight

    door.export(door.cut_piece(_trained(form), "last"), tmp_path / "shared")
    source = made(form, tmp_path / "data")
    words = ["init", "recipe", "--from", "savedmodel", "shared", "--task", form, str(source)]
    done = piecehub(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "It is shared as it is" in done.stdout
    loaded = load_recipe(tmp_path / "recipe")
    preflight.check(loaded, tmp_path / "store")
    assert loaded.config.piece[0].road == "as_is"
    piece, exported = _as_is(tmp_path / "recipe", tmp_path)
    assert control_kind(piece) == "approximate"
    assert content_digest(list_files(exported)) == content_digest(list_files(tmp_path / "shared"))
    drawn = [tf.train.load_checkpoint(str(control_weights(piece, seed) / "variables")) for seed in (0, 1)]
    kernels = [reader.get_tensor("v/0/.ATTRIBUTES/VARIABLE_VALUE") for reader in drawn]
    assert not np.array_equal(*kernels)


def _as_is(recipe: Path, folder: Path) -> tuple[Path, Path]:
    """The piece of a recipe that shares a SavedModel as it is, and what is exported of it."""
    full, piece, exported = (folder / name for name in ("weights", "piece", "exported"))
    weights.save(load_module(recipe, "model.py").build_model(seed=1), full)
    write_piece(full, Builder("model.py", "build_model", {}, 1, "as_is", [], ""), recipe, [0, 1], {}, piece)
    export_piece(str(piece), str(recipe), str(exported), {}, None)
    return piece, exported


def test_a_saved_model_without_a_manifest_gets_one_and_computes_the_same(tmp_path: Path) -> None:
    door.export(keras.Sequential([keras.Input((17,)), layers.Dense(3)]), tmp_path / "shared")
    shutil.rmtree(tmp_path / "shared" / "assets.extra")
    done = piecehub(
        *["init", "recipe", "--from", "savedmodel", "shared", "--task", "tfrecord", str(records(tmp_path / "data"))],
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    _, exported = _as_is(tmp_path / "recipe", tmp_path)
    first, second = (door.load(folder)(tf.ones([2, 17])) for folder in (tmp_path / "shared", exported))
    np.testing.assert_array_equal(first, second)
    assert piece_manifest.read(exported) is not None


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("keras.Sequential([keras.Input((17,)), keras.layers.Dense(3)])", "Received: Dense; take another road"),
        ("keras.Sequential([keras.Input((17,)), piecehub.ReusableLayer(SHARED), keras.layers.Dense(3)])", "Dense"),
        ("keras.Sequential([keras.Input((17,)), piecehub.ReusableLayer(piecehub.load(SHARED))])", "Expected a URL or"),
        (
            "keras.Sequential([keras.Input((17,)), piecehub.ReusableLayer(SHARED, signature='serving_default', "
            "output_key='outputs')])",
            "Received: output_key, signature; take another road",
        ),
    ],
)
def test_what_is_more_than_a_saved_model_is_not_shared_as_it_is(tmp_path: Path, code: str, sentence: str) -> None:
    door.export(keras.Sequential([keras.Input((17,)), layers.Dense(3)]), tmp_path / "shared")
    built = eval(code, {"keras": keras, "piecehub": door, "SHARED": str(tmp_path / "shared")})
    with pytest.raises(PieceError, match=sentence):
        saved_model_in(built)


def test_a_saved_model_that_is_not_reusable_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((17,)), layers.Dense(3)]).export(str(tmp_path / "serving"), verbose=False)
    records(tmp_path / "data")
    words = ["init", "recipe", "--from", "savedmodel", "serving", "--task", "tfrecord", "data"]
    done = piecehub(*words, cwd=tmp_path)
    assert done.returncode != 0
    assert "Expected a Reusable SavedModel. Received: 'serving', which is none." in done.stderr
    assert not (tmp_path / "recipe").exists()


def test_what_would_change_a_saved_model_that_is_shared_as_it_is_is_refused() -> None:
    base = load_recipe("digits").config
    piece = replace(base.piece[0], road="as_is", layer="", frozen="keep")
    told = [fault.sentence for fault in recipe_faults(replace(base, piece=(piece,)))]
    assert any("no training ('data.upstream' false) for the road 'as_is'" in each for each in told)
    assert any("Expected no 'piece.frozen' for the road 'as_is'" in each for each in told)


@pytest.mark.long
@pytest.mark.parametrize("form", LOOKERS)
def test_a_trained_models_recipe_runs_to_its_verdict(tmp_path: Path, form: str) -> None:
    pytest.importorskip("tfx")
    _trained(form).save(tmp_path / "mine.keras")
    source = made(form, tmp_path / "data")
    words = ["init", "recipe", "--from", "keras", "mine.keras", "--task", form, str(source)]
    done = piecehub(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    little = ("evaluation.steps=5", "evaluation.learning_rates=[0.001]", "evaluation.inverse_regularization=[1.0]")
    ran = piecehub("run", "recipe", *(word for one in little for word in ("--set", one)), cwd=tmp_path)
    assert ran.returncode == 4, ran.stderr
    assert "not published: " in ran.stdout
    (verdict,) = (tmp_path / ".piecehub").glob("artifacts/*/PublishGate/blessing/*/verdict.json")
    assert any("Leakage was not checked" in each for each in json.loads(verdict.read_text("utf-8"))["warnings"])
