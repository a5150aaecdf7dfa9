"""`piecehub init`: what it finds in data of each form, and that the recipe it writes runs as it is."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

import piecehub as door
from piecehub.errors import DataError, PieceError, RecipeError
from piecehub.examples.records import serialize, write_records
from piecehub.examples.tfrecord_files import parsed_example
from piecehub.exporting.reusable import export_piece
from piecehub.extraction.piece import Builder, control_kind, control_weights, write_piece
from piecehub.extraction.roads import saved_model_in
from piecehub.facts import piece_manifest
from piecehub.facts.content import content_digest, list_files
from piecehub.training import weights
from piecehub.training.checkpoint import restore
from piecehub.training.recipe_modules import load_module
from pipelines.data import examples_folder
from pipelines.recipe.checks import recipe_faults
from pipelines.recipe.loader import load_recipe
from pipelines.starting.columns import guess_label, is_class, look_at_columns
from pipelines.starting.looked import Looked, evenly, template
from pipelines.starting.pictures import look_at_images
from pipelines.starting.plan import plan_for
from pipelines.starting.records import look_at_records
from pipelines.starting.tables import look_at_table
from pipelines.starting.texts import look_at_texts
from pipelines.starting.trained import look_at_trained
from pipelines.starting.writing import write_recipe
from tests.command_line import piecehub

WORDS = {"apple": "sweet red round", "boat": "sea sail wind", "car": "road wheel fast", "door": "wood handle key"}
WORDS |= {"egg": "hen shell white"}


def _pictures(folder: Path, mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Path:
    rng = np.random.default_rng(0)
    for number, name in enumerate(WORDS):
        (folder / name).mkdir(parents=True)
        for n in range(20):
            pixels = np.clip(rng.normal(40 * number, 20, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{n}.png")
    return folder


def _texts(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, words in WORDS.items():
        (folder / name).mkdir(parents=True)
        for n in range(20):
            text = " ".join([*rng.choice([*words.split(), "and", "the"], 8), str(n)])
            (folder / name / f"{n}.txt").write_text(text, "utf-8")
    return folder


def _table(file: Path, kind: str = "classes") -> Path:
    rng = np.random.default_rng(0)
    lines = ["row id,mass (g),wings?,colour,kind"]
    for n in range(120):
        name = list(WORDS)[n % 5]
        mass = "" if n % 7 == 0 else f"{100 * (n % 5) + rng.normal():.2f}"
        label = name if kind == "classes" else f"{3.5 * (n % 5) + rng.normal():.3f}"
        lines.append(f"{n},{mass},{['yes', 'no', 'NA'][n % 3]},{['red', 'blue'][n % 2]},{label}")
    file.write_text("\n".join(lines), "utf-8")
    return file


def _records(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    rows: Iterator[dict[str, Any]] = (
        {"pixels": rng.random(16) + n % 5, "size": n % 3, "label": n % 5, "tokens": ["a"] * (n % 4)} for n in range(120)
    )
    write_records(folder, rows, shards=2)
    return folder


LOOKERS = {"images": look_at_images, "text": look_at_texts, "csv": look_at_table, "tfrecord": look_at_records}


def _made(form: str, folder: Path) -> Path:
    makers = {"images": _pictures, "text": _texts, "tfrecord": _records}
    return _table(folder.with_suffix(".csv")) if form == "csv" else makers[form](folder)


def _looked(form: str, folder: Path) -> Looked:
    return LOOKERS[form](_made(form, folder))


@pytest.mark.parametrize("form", LOOKERS)
def test_the_recipe_for_each_form_builds_and_writes_its_records(tmp_path: Path, form: str) -> None:
    from pipelines import preflight

    looked = _looked(form, tmp_path / "data")
    plan = plan_for(looked)
    assert len(plan.held_out) == 2
    assert len(looked.counts) == 5
    write_recipe(tmp_path / "recipe", "mine", looked, plan)
    loaded = load_recipe(tmp_path / "recipe")
    preflight.check(loaded, tmp_path / "store")
    folder = examples_folder(loaded, tmp_path / "written")
    assert {path.name for path in folder.iterdir()} == {"upstream", "new-classes"}


def test_records_are_written_anew_when_the_data_change(tmp_path: Path) -> None:
    looked = _looked("csv", tmp_path / "data")
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    loaded = load_recipe(tmp_path / "recipe")
    first, again = (examples_folder(loaded, tmp_path / "written") for _ in range(2))
    with looked.source.open("a") as file:
        file.write("\n500,3.25,yes,red,apple")
    assert first == again != examples_folder(loaded, tmp_path / "written")
    looked.source.unlink()
    with pytest.raises(RecipeError, match=r"^Expected the files that 'data\.reads' names\. Received: no '.*data\.csv'"):
        examples_folder(loaded, tmp_path / "written")


def test_pictures_in_grey_are_seen_and_large_ones_made_smaller(tmp_path: Path) -> None:
    colours, grey = (
        look_at_images(_pictures(tmp_path / "a")),
        look_at_images(_pictures(tmp_path / "b", "L", (200, 150))),
    )
    assert colours.constants["pictures"] == {"SIDE, CHANNELS": (30, 3)}
    assert grey.constants["pictures"] == {"SIDE, CHANNELS": (96, 1)}
    assert grey.hub_tasks == ("image-others",)
    assert "made smaller from a median of 150 pixels, in grey" in grey.network[0]


def test_a_broken_picture_is_told_and_left_out(tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "data")
    (folder / "car" / "0.png").write_bytes((folder / "car" / "0.png").read_bytes()[:60])
    looked = look_at_images(folder)
    assert any(note.startswith("1 of ") and "cannot be read" in note for note in looked.notes)
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    examples_folder(load_recipe(tmp_path / "recipe"), tmp_path / "written")


def test_a_table_s_columns_are_what_a_person_would_call_them(tmp_path: Path) -> None:
    looked = look_at_table(_table(tmp_path / "data.csv"))
    assert looked.columns is not None
    assert looked.columns["label"] == "kind"
    assert [(one["feature"], one["missing"]) for one in looked.columns["numbers"]] == [("mass_g", True)]
    assert [one["name"] for one in looked.columns["words"]] == ["wings?", "colour"]
    assert "The column 'row id' is left out: it numbers the rows." in looked.notes


def test_a_label_that_is_a_value_makes_a_regression_that_builds(tmp_path: Path) -> None:
    from pipelines import preflight

    looked = look_at_table(_table(tmp_path / "data.csv", "value"))
    plan = plan_for(looked)
    assert (looked.classes, plan.held_out, plan.outputs, plan.task) == (False, (), 1, "few-examples")
    write_recipe(tmp_path / "recipe", "mine", looked, plan)
    loaded = load_recipe(tmp_path / "recipe")
    assert loaded.config.task[0].kind == "regression"
    preflight.check(loaded, tmp_path / "store")


def test_a_column_that_says_the_label_in_other_words_is_told() -> None:
    kinds = ["a", "b", "c"] * 10
    table = {"number": [{"a": "1", "b": "7", "c": "3"}[kind] for kind in kinds], "label": kinds}
    table |= {"nearly": ["2", *table["number"][1:]], "coarser": ["1" if kind == "a" else "2" for kind in kinds]}
    found = look_at_columns(table, "label")
    (note,) = found.notes
    assert note.startswith("The column 'number' says the label in other words: leave it out if ")
    assert [feature.name for feature in found.features] == ["number", "nearly", "coarser"]


def test_bytes_that_are_no_text_and_features_of_odd_lengths_are_left_out_and_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = (
        {
            "raw": rng.integers(0, 256, 60, np.uint8).tobytes(),
            "zeros": b"a b c d \0 %d" % n,
            "ragged": rng.random(1 + n % 3).astype(np.float32),
            "size": np.float32(rng.random()),
            "kind/label": n % 2,
        }
        for n in range(40)
    )
    write_records(tmp_path / "records", rows, shards=1)
    (tmp_path / "records" / "dataset_info.json").write_text("{}")
    looked = look_at_records(tmp_path / "records")
    assert looked.columns is not None and looked.columns["label"] == "kind/label"
    assert [one["name"] for one in looked.columns["numbers"]] == ["size"] and not looked.columns["words"]
    said = {note for note in looked.notes if "is left out" in note}
    assert said == {
        "The column 'ragged' is left out: it has 1 to 3 values.",
        "The column 'raw' is left out: it holds bytes that are no text.",
        "The column 'zeros' is left out: it holds bytes that are no text.",
    }


def test_records_of_another_message_are_refused_wherever_they_are_read(tmp_path: Path) -> None:
    label = {"label": tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))}
    one = tf.train.SequenceExample(
        context=tf.train.Features(feature=label),
        feature_lists=tf.train.FeatureLists(feature_list={"t": tf.train.FeatureList(feature=label.values())}),
    )
    file = tmp_path / "one.tfrecord"
    with tf.io.TFRecordWriter(str(file)) as records:
        for _ in range(40):
            records.write(one.SerializeToString())
    with pytest.raises(DataError, match=r"^Expected TFRecords of tf\.Example\."):
        look_at_records(file)
    with pytest.raises(DataError, match=r"^Expected tf\.Examples\. Received: .*another record at byte 0; convert it"):
        parsed_example(one.SerializeToString(), str(file), 0)


def test_files_that_are_called_otherwise_are_told(tmp_path: Path) -> None:
    pictures, texts = _pictures(tmp_path / "pictures"), _texts(tmp_path / "texts")
    for folder in (pictures, texts):
        place = sorted(folder.iterdir())[0]
        for name in (".hidden", "scan.TIF", "scan.tif", "notes.md"):
            (place / name).write_bytes(b"II*")
        (folder / "LICENSE").write_text("beside the classes")
    (place / "LOUD.TXT").write_text("a text whose name is in capitals")
    for looked in (look_at_images(pictures), look_at_texts(texts)):
        assert "3 files are left out by their names: .tif, .md." in looked.notes
    assert sum(looked.counts.values()) == 20 * len(WORDS) + 1
    assert not any("left out" in note for note in look_at_texts(_texts(tmp_path / "plain")).notes)


@pytest.mark.parametrize("count", [1, 3, 200, 399, 400])
def test_what_is_looked_at_is_spread_evenly(count: int) -> None:
    found = evenly(range(count), 200)
    assert len(found) == min(count, 200) == len(set(found)) and found[0] == 0 and found[-1] >= count - 1 - count // 200


@pytest.mark.parametrize(("separator", "words"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars"), (",", "")])
def test_what_separates_cells_and_decimals_is_guessed_and_told(tmp_path: Path, separator: str, words: str) -> None:
    mark = "," if words else "."
    rows = [f"{3 * n}{mark}5{separator}{'good, or so' if n % 3 else 'bad'}{separator}{n % 2}" for n in range(40)]
    if not words:
        rows = [row.replace("good, or so", '"good, or so"') for row in rows]
    (tmp_path / "data.csv").write_text("\n".join([separator.join(("size", "said", "label")), *rows]), "utf-8")
    looked = look_at_table(tmp_path / "data.csv")
    assert looked.columns is not None
    assert [one["mean"] for one in looked.columns["numbers"]] == [59.0] and len(looked.columns["words"]) == 1
    assert any(f"separated by {words}" in note for note in looked.notes) is bool(words)
    read = template("csv_table")
    first = next(read.examples(read.read(tmp_path / "data.csv"), looked.columns))
    assert first == {"label": "0", "size": 0.5, "said": "bad"}


def test_a_first_line_that_may_be_a_row_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("\n".join(f"{n * n}.5,{n % 2}" for n in range(40)), "utf-8")
    assert any("is taken as names, '0.5' too" in note for note in look_at_table(tmp_path / "data.csv").notes)


def test_a_table_of_sentences_makes_a_piece_for_texts(tmp_path: Path) -> None:
    rows = [f'"{name} is a thing of {words} number {n}",{name}' for name, words in WORDS.items() for n in range(20)]
    (tmp_path / "data.csv").write_text("\n".join(["review,label", *rows]), "utf-8")
    looked = look_at_table(tmp_path / "data.csv")
    assert (looked.model, looked.features[0].name) == ("texts", "text")
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    examples_folder(load_recipe(tmp_path / "recipe"), tmp_path / "written")


def test_one_picture_that_is_small_does_not_make_all_of_them_small(tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "pictures")
    Image.new("RGB", (6, 5)).save(next(folder.rglob("0.png")))
    rows = ({"picture": file.read_bytes(), "label": file.parent.name} for file in folder.rglob("*.png"))
    write_records(tmp_path / "records", rows, shards=1)
    for looked in (look_at_images(folder), look_at_records(tmp_path / "records")):
        assert looked.constants["pictures"] == {"SIDE, CHANNELS": (30, 3)}


def test_pictures_in_records_are_found_by_what_they_are_not_by_name(tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "pictures")
    rows = (
        {"image/encoded": file.read_bytes(), "image/class/text": file.parent.name} for file in folder.rglob("*.png")
    )
    path = tmp_path / "records.gz"
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for row in rows:
            writer.write(serialize(row))
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    looked = look_at_records(path, "image/class/text")
    assert looked.constants["records_files"]["FEATURES"] == {"image/encoded": "picture"}
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    examples_folder(load_recipe(tmp_path / "recipe"), tmp_path / "written")


@pytest.mark.parametrize(
    ("names", "told", "label"),
    [(["a", "b"], "", "b"), (["Class", "b"], "", "Class"), (["label", "b"], "b", "b"), (["y", "target"], "", "target")],
)
def test_the_label_is_guessed_by_name_or_is_the_last_column(names: list[str], told: str, label: str) -> None:
    assert guess_label(names, told) == label


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["a", "b"] * 9, True),
        (["0", "1"] * 9, True),
        ([1, 2, 3] * 9, True),
        ([0.5, 1.5] * 50, False),
        ([str(n) for n in range(100)], False),
        ([n % 40 for n in range(4000)], True),
    ],
)
def test_few_whole_numbers_and_texts_are_classes(values: list[Any], classes: bool) -> None:
    assert is_class(values) == classes


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["x"] * 30, "it is 'x' in every row"),
        ([None] * 30, "it is empty"),
        ([str(n) for n in range(30)], "it numbers the rows"),
        ([f"name{n}" for n in range(30)], "nearly every row has another text in it"),
        (["1", "inf"] * 15, "it has infinite values"),
    ],
)
def test_a_column_that_teaches_nothing_is_left_out_and_told(values: list[Any], said: str) -> None:
    found = look_at_columns({"odd": values, "good": ["1", "2", "2"] * 10, "label": ["a", "b"] * 15}, "label")
    assert found.notes == [f"The column 'odd' is left out: {said}."]
    assert [feature.name for feature in found.features] == ["good"]


@pytest.mark.parametrize(
    ("form", "make", "sentence"),
    [
        (
            "images",
            lambda f: f.mkdir(),
            "Expected a folder with a folder of pictures .* without any; sort them so",
        ),
        ("images", lambda f: _pictures(f / "train"), r"Expected one folder a class\. Received: 'train'"),
        ("text", lambda f: f.mkdir(), r"Expected a folder with a folder of texts"),
        ("csv", lambda f: f.write_text("a\n1\n"), "Expected a line of names with two columns or more, and rows"),
        ("csv", lambda f: f.write_bytes(b"a,b\n\xff\xfe,1\n"), "Expected a file of values in UTF-8"),
        ("csv", lambda f: f.write_text(""), "Expected a table with a line of names, and rows"),
        ("csv", lambda f: f.write_text("a,label\n1,x\n2,y,3\n"), "Expected rows of as many cells.*line 3, saw 3; mend"),
        ("csv", lambda f: f.write_text("a,label\n1,2,x\n2,3,y\n"), "Expected rows of as many cells.*have more cells"),
        ("csv", lambda f: f.write_text("a,label\nx,\ny,\n"), "Expected labels in the column 'label'"),
        ("csv", lambda f: f.write_text("a,label\nx,1\nx,2\n"), "Expected a column beside the label"),
        ("tfrecord", lambda f: f.write_bytes(b"no records at all"), r"Expected TFRecords of tf\.Example"),
        ("tfrecord", lambda f: f.mkdir(), "Expected a TFRecord file, or a folder with some"),
    ],
)
def test_what_is_no_such_data_is_one_sentence(tmp_path: Path, form: str, make: Any, sentence: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(DataError, match=sentence):
        LOOKERS[form](tmp_path / "data")


def test_too_few_examples_are_refused_with_how_many_it_takes(tmp_path: Path) -> None:
    rows = [f"{n * n % 7},{'ab'[n % 2]}" for n in range(20)]
    (tmp_path / "data.csv").write_text("\n".join(["x,label", *rows]))
    with pytest.raises(DataError, match=r"Expected 16 examples or more of the class 'a'.* Received: 10; add some"):
        plan_for(look_at_table(tmp_path / "data.csv"))


def test_names_that_nobody_would_choose_come_through(tmp_path: Path) -> None:
    names = ["new\nline", 'quote"d', "back\\slash", "#hash", "{brace}", "bell\x07\x7f", "ümläut 🐟", "]"]
    rows = [{"words": f"{name} {n}", "label": name} for name in names for n in range(20)]
    folder = tmp_path / 'odd {place} \n"x"'
    for row in rows:
        place = folder / row["label"].replace("/", "_")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{row['words'].rpartition(' ')[2]}.txt").write_text(row["words"], "utf-8")
    looked = look_at_texts(folder)
    plan = plan_for(looked)
    write_recipe(tmp_path / "recipe", "mine", looked, plan)
    loaded = load_recipe(tmp_path / "recipe")
    assert set(loaded.config.data.arguments["held_out"]) == set(plan.held_out) < set(names)
    examples_folder(loaded, tmp_path / "written")


def test_many_classes_with_long_names_leave_room_for_the_other_arguments(tmp_path: Path) -> None:
    rows = [f"{n % 7},{n % 30:02d}{'x' * 150}" for n in range(900)]
    (tmp_path / "data.csv").write_text("\n".join(["x,label", *rows]))
    looked = look_at_table(tmp_path / "data.csv")
    plan = plan_for(looked)
    assert 2 <= len(plan.held_out) < 10
    write_recipe(tmp_path / "recipe", "mine", looked, plan)
    assert load_recipe(tmp_path / "recipe").config.model.arguments["outputs"] == 30 - len(plan.held_out)


def test_a_folder_with_something_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    looked = _looked("csv", tmp_path / "data")
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.txt").write_text("mine")
    with pytest.raises(RecipeError, match="Expected a folder that is not there, or is empty"):
        write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    assert [path.name for path in (tmp_path / "recipe").iterdir()] == ["mine.txt"]


def test_the_command_says_what_it_found_and_what_comes_next(tmp_path: Path) -> None:
    source = _table(tmp_path / "birds.csv")
    done = piecehub("init", "my birds", "--from", "csv", str(source), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "120 rows; the label is the column 'kind' (the last one), a class." in done.stdout
    assert "piecehub run 'my birds' --dry-run" in done.stdout
    assert 'name = "my-birds"' in (tmp_path / "my birds" / "recipe.toml").read_text("utf-8")
    columns = json.loads((tmp_path / "my birds" / "columns.json").read_text("utf-8"))
    assert columns["label"] == "kind"
    again = piecehub("init", "my birds", "--from", "csv", str(source), cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.splitlines()[-1].startswith("piecehub: Expected a folder that is not there, or is empty.")


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
        x = layers.Flatten()(layers.Embedding(8, 4)(layers.concatenate(hashed)))
    else:
        inputs = keras.Input((17,))
        x = inputs
    x = layers.Dropout(0.1)(layers.Dense(8, "relu", name="last")(x))
    return keras.Model(inputs, layers.Dense(5, "softmax")(x), name="mine")


@pytest.mark.parametrize("form", LOOKERS)
def test_a_trained_model_gets_a_recipe_that_trains_nothing(tmp_path: Path, form: str) -> None:
    from pipelines import preflight

    model = _trained(form)
    looked = look_at_trained(model, _looked(form, tmp_path / "data"), "", None)
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
    task = look_at_images(_pictures(tmp_path / "data"))
    constants = look_at_trained(_trained("images"), task, "", None).constants["trained_pictures"]
    assert constants == {"HEIGHT, WIDTH, CHANNELS": (20, 24, 3), "LARGEST": 255.0}
    plain = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=3)
    looked = look_at_trained(plain, task, "", None)
    assert looked.constants["trained_pictures"]["LARGEST"] == 1.0
    assert looked.trained is not None
    assert looked.trained.layer.startswith("global_average_pooling2d")


@pytest.mark.parametrize(
    ("form", "other", "sentence"),
    [
        ("images", "tfrecord", "Expected a model with an input for each column by its name .* Received: 'mine' with"),
        ("csv", "images", "Expected a model that takes pictures. Received: 'mine', with the inputs colour, wings"),
        ("tfrecord", "images", "Expected a model that takes pictures, float"),
        ("images", "text", "Expected a model that takes texts, string"),
    ],
)
def test_a_model_that_does_not_take_the_tasks_examples_is_refused(
    tmp_path: Path, form: str, other: str, sentence: str
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        look_at_trained(_trained(form), _looked(other, tmp_path / "data"), "", None)


def test_classes_of_the_models_own_come_along(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import keras\n\n\nclass Doubled(keras.layers.Layer):\n    def call(self, x):\n        return 2 * x\n"
    )
    made = "import keras, mine; i = keras.Input((17,)); x = keras.layers.Dense(4, name='last')(mine.Doubled()(i)); "
    made += "keras.Model(i, keras.layers.Dense(5)(x)).save('mine.keras')"
    subprocess.run([sys.executable, "-c", made], cwd=tmp_path, check=True, capture_output=True)
    _records(tmp_path / "data")
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


@pytest.mark.parametrize("form", LOOKERS)
def test_a_reusable_saved_model_gets_a_recipe_that_shares_it_as_it_is(tmp_path: Path, form: str) -> None:
    from pipelines import preflight

    door.export(door.cut_piece(_trained(form), "last"), tmp_path / "shared")
    source = _made(form, tmp_path / "data")
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
        *["init", "recipe", "--from", "savedmodel", "shared", "--task", "tfrecord", str(_records(tmp_path / "data"))],
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
    _records(tmp_path / "data")
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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--from", "keras", "model"], "Expected --task FORM PATH with --from keras"),
        (["--from", "savedmodel", "model"], "Expected --task FORM PATH with --from savedmodel"),
        (
            ["--from", "savedmodel", "model", "--task", "csv", "model", "--layer", "x"],
            "--layer and --code with --from k",
        ),
        (["--from", "csv", "nothing"], "Received: 'nothing', which is not there"),
        (["--from", "csv", "model", "--task", "csv", "model"], "Expected --task with --from keras or savedmodel"),
        (["--from", "keras", "model", "--task", "sounds", "data"], "Received: sounds."),
        (["--from", "keras", "model", "--task", "csv", "none"], "Received: 'none', which is not there"),
        (["--from", "csv", "model", "--layer", "last"], "Expected --layer and --code with --from keras"),
        (["--from", "images", "model", "--label", "x"], "Expected --label with csv or tfrecord"),
    ],
)
def test_words_that_do_not_go_together_are_refused_at_once(tmp_path: Path, words: list[str], sentence: str) -> None:
    (tmp_path / "model").touch()
    done = piecehub("init", "recipe", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("form", LOOKERS)
def test_a_trained_models_recipe_runs_to_its_verdict(tmp_path: Path, form: str) -> None:
    pytest.importorskip("tfx")
    _trained(form).save(tmp_path / "mine.keras")
    source = _made(form, tmp_path / "data")
    words = ["init", "recipe", "--from", "keras", "mine.keras", "--task", form, str(source)]
    done = piecehub(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    little = ("evaluation.steps=5", "evaluation.learning_rates=[0.001]", "evaluation.inverse_regularization=[1.0]")
    ran = piecehub("run", "recipe", *(word for one in little for word in ("--set", one)), cwd=tmp_path)
    assert ran.returncode == 4, ran.stderr
    assert "not published: " in ran.stdout
    (verdict,) = (tmp_path / ".piecehub").glob("artifacts/*/PublishGate/blessing/*/verdict.json")
    assert any("Leakage was not checked" in each for each in json.loads(verdict.read_text("utf-8"))["warnings"])


@pytest.mark.long
@pytest.mark.parametrize("form", LOOKERS)
def test_each_recipe_s_own_test_passes(tmp_path: Path, form: str) -> None:
    pytest.importorskip("tfx")
    source = _made(form, tmp_path / "data")
    done = piecehub("init", "recipe", "--from", form, str(source), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_recipe.py"],
        cwd=tmp_path / "recipe",
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout[-3000:]
