"""What `piecehub init` finds in data of each form, and what it says of them."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from piecehub import images
from piecehub.errors import DataError
from piecehub.examples.records import serialize, write_records
from piecehub.examples.tfrecord_files import parsed_example
from piecehub.training.recipe_modules import load_module
from pipelines.data import examples_folder
from pipelines.recipe.loader import load_recipe
from pipelines.starting.columns import guess_label, is_class, look_at_columns
from pipelines.starting.looked import evenly, template
from pipelines.starting.pictures import look_at_images
from pipelines.starting.plan import plan_for
from pipelines.starting.records import look_at_records
from pipelines.starting.tables import look_at_table
from pipelines.starting.texts import look_at_texts
from pipelines.starting.writing import write_recipe
from tests.pipelines.starting_data import LOOKERS, WORDS, made, pictures, table, texts


def test_pictures_in_grey_are_seen_and_large_ones_made_smaller(tmp_path: Path) -> None:
    colours, grey = (
        look_at_images(pictures(tmp_path / "a")),
        look_at_images(pictures(tmp_path / "b", "L", (200, 150))),
    )
    assert colours.constants["pictures"] == {"SIDE, CHANNELS": (30, 3)}
    assert grey.constants["pictures"] == {"SIDE, CHANNELS": (96, 1)}
    assert grey.hub_tasks == ("image-others",)
    assert "made smaller from a median of 150 pixels, in grey" in grey.network[0]


def test_large_pictures_are_made_smaller_once_and_the_network_makes_small_maps_of_any(tmp_path: Path) -> None:
    large = look_at_images(pictures(tmp_path / "a", size=(600, 520)))
    told = "Large ones are made smaller once, when records are written: KEPT of data.py."
    assert told in large.notes
    assert told not in look_at_images(pictures(tmp_path / "b", size=(600, 511))).notes
    kept = [images.check(example["picture"]) for example in template("images_folder").examples(tmp_path / "a")]
    assert {min(one.height, one.width) for one in kept} == {256}
    model = template("pictures").build_model(seed=1, classes=3, widths=large.arguments["widths"])
    assert model.input_shape == (None, 96, 96, 3)
    assert [layer.output.shape[1] for layer in model.layers if layer.name.startswith("conv")] == [32, 32, 16, 16, 8, 8]


def test_a_broken_picture_is_told_and_left_out(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "data")
    (folder / "car" / "0.png").write_bytes((folder / "car" / "0.png").read_bytes()[:60])
    looked = look_at_images(folder)
    assert any(note.startswith("1 of ") and "cannot be read" in note for note in looked.notes)
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    examples_folder(load_recipe(tmp_path / "recipe"), tmp_path / "written")


def test_a_table_s_columns_are_what_a_person_would_call_them(tmp_path: Path) -> None:
    looked = look_at_table(table(tmp_path / "data.csv"))
    assert looked.columns is not None
    assert looked.columns["label"] == "kind"
    assert [(one["feature"], one["missing"]) for one in looked.columns["numbers"]] == [
        ("mass_g", True),
        ("length", False),
    ]
    assert [one["name"] for one in looked.columns["words"]] == ["wings?", "colour"]
    assert "The column 'row id' is left out: it numbers the rows." in looked.notes


def test_a_label_that_is_a_value_makes_a_regression_that_builds(tmp_path: Path) -> None:
    from pipelines import preflight

    looked = look_at_table(table(tmp_path / "data.csv", "value"))
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
    in_pictures, in_texts = pictures(tmp_path / "pictures"), texts(tmp_path / "texts")
    for folder in (in_pictures, in_texts):
        place = sorted(folder.iterdir())[0]
        for name in (".hidden", "scan.TIF", "scan.tif", "notes.md"):
            (place / name).write_bytes(b"II*")
        (folder / "LICENSE").write_text("beside the classes")
    (place / "LOUD.TXT").write_text("a text whose name is in capitals")
    for looked in (look_at_images(in_pictures), look_at_texts(in_texts)):
        assert "3 files are left out by their names: .tif, .md." in looked.notes
    assert sum(looked.counts.values()) == 20 * len(WORDS) + 1
    assert not any("left out" in note for note in look_at_texts(texts(tmp_path / "plain")).notes)


def test_folders_called_like_splits_above_the_classes_are_taken_together(tmp_path: Path) -> None:
    in_pictures, in_texts = tmp_path / "pictures", tmp_path / "texts"
    for part in ("train", "Test"):
        pictures(in_pictures / part)
        texts(in_texts / part)
    (in_texts / "README.md").write_text("beside the splits")
    for looked in (look_at_images(in_pictures), look_at_texts(in_texts)):
        assert dict(looked.counts) == dict.fromkeys(WORDS, 20)
        assert any(note.startswith("200 ") for note in looked.notes)
        assert "100 are equal to another but for the label, and left out." in looked.notes
        assert "What lies in Test, train is taken together: the recipe makes splits of its own." in looked.notes
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    examples_folder(load_recipe(tmp_path / "recipe"), tmp_path / "written")


@pytest.mark.parametrize("form", ["images", "text", "csv", "tfrecord"])
def test_equal_examples_are_counted_once_as_they_are_written(tmp_path: Path, form: str) -> None:
    folder = made(form, tmp_path / "data")
    before = LOOKERS[form](folder)
    if folder.is_file():
        head, *rows = folder.read_text("utf-8").splitlines()
        numbers = (f"{n},{row.partition(',')[2]}" for n, row in enumerate([*rows, *rows[:60]]))
        folder.write_text("\n".join([head, *numbers]), "utf-8")
    elif form == "tfrecord":
        (folder / "again.tfrecord.gz").write_bytes(sorted(folder.iterdir())[0].read_bytes())
    else:
        shutil.copytree(folder / "egg", folder / "eggs")
        shutil.rmtree(folder / "apple")
        shutil.copytree(folder / "door", folder / "apple")
    looked = LOOKERS[form](folder)
    expected = dict(before.counts)
    if folder.is_dir() and form != "tfrecord":
        expected["apple"] = expected.pop("door")
    assert dict(looked.counts) == expected
    assert any("are equal to another but for the label, and left out." in note for note in looked.notes)
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    examples_folder(load_recipe(tmp_path / "recipe"), tmp_path / "written")


def test_values_that_float32_does_not_hold_are_told(tmp_path: Path) -> None:
    found = look_at_columns({"a": ["1", "1e300"] * 9, "b": ["1", "2", "2"] * 6, "label": ["x", "y"] * 9}, "label")
    assert found.notes == ["The column 'a' is left out: it has infinite values, or such that float32 does not hold."]
    with pytest.raises(DataError, match=r"Expected values that float32 holds in the label 'label'\."):
        look_at_columns({"a": ["1", "2"] * 20, "label": [f"{n}.5e38" for n in range(40)]}, "label")


@pytest.mark.parametrize("form", ["images", "text"])
def test_a_class_may_be_called_train_where_nothing_else_is_called_like_a_split(tmp_path: Path, form: str) -> None:
    folder = {"images": pictures, "text": texts}[form](tmp_path / "data")
    (folder / "boat").rename(folder / "train")
    looked = LOOKERS[form](folder)
    assert looked.counts["train"] == 20
    assert "'train' is taken for a class, and not for a split, since no folders lie in it." in looked.notes
    (folder / "train" / "more").mkdir()
    with pytest.raises(DataError, match="'train', which is called like a split"):
        LOOKERS[form](folder)


@pytest.mark.parametrize("form", ["images", "text"])
def test_a_folder_called_like_a_split_beside_classes_is_refused(tmp_path: Path, form: str) -> None:
    folder = {"images": pictures, "text": texts}[form](tmp_path / "data")
    (folder / "boat").rename(folder / "test")
    with pytest.raises(DataError, match=r"Expected one folder a class, or .*Received: 'test', which is called like"):
        LOOKERS[form](folder)


@pytest.mark.parametrize("form", ["images", "text"])
def test_where_nothing_is_called_as_expected_it_is_told_what_is_there(tmp_path: Path, form: str) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    for name in ("1.tif", "2.TIF", "3"):
        (tmp_path / "data" / "a" / name).write_text("x")
    with pytest.raises(DataError, match=r"', without any, but with 3 other files \(\.tif, no ending\); sort them so"):
        LOOKERS[form](tmp_path / "data")


@pytest.mark.parametrize("label", [[1, 2], [0.0, 1.0, 0.0]])
def test_a_label_of_several_values_is_refused(tmp_path: Path, label: list[Any]) -> None:
    write_records(tmp_path / "records", ({"x": float(n), "label": label} for n in range(40)), shards=1)
    with pytest.raises(DataError, match=rf"Expected a label of one value .* Received: 'label' with {len(label)} in "):
        look_at_records(tmp_path / "records")


def test_what_a_question_mark_stands_for_is_missing(tmp_path: Path) -> None:
    rows = [f"{'?' if n % 5 == 0 else n * n % 17},{'?' if n % 7 == 0 else 'ab'[n % 2]},{n % 2}" for n in range(60)]
    (tmp_path / "data.csv").write_text("\n".join(["size,kind,label", *rows]), "utf-8")
    looked = look_at_table(tmp_path / "data.csv")
    assert looked.columns is not None
    assert [(one["name"], one["missing"]) for one in looked.columns["numbers"]] == [("size", True)]
    read = template("csv_table")
    assert next(read.examples(read.read(tmp_path / "data.csv"), looked.columns)) == {"label": "0"}


def test_numbers_with_something_else_among_them_are_told() -> None:
    table = {"odd": ["1", "2.5", "-"] * 10, "words": ["a", "b", "3"] * 10, "label": ["x", "y"] * 15}
    (note,) = look_at_columns(table, "label").notes
    assert note.startswith("The column 'odd' is taken as words, for '-' among its numbers is none")


def test_a_column_that_numbered_the_rows_is_told_where_rows_without_a_label_are_gone(tmp_path: Path) -> None:
    rows = [f"{n},{n * n % 17},{'' if n % 5 == 0 else 'ab'[n % 2]}" for n in range(60)]
    (tmp_path / "data.csv").write_text("\n".join(["row,size,label", *rows]), "utf-8")
    looked = look_at_table(tmp_path / "data.csv")
    assert "The column 'row' is left out: it numbers the rows." in looked.notes
    assert "1 column of numbers, 0 of words." in looked.notes


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
    folder = pictures(tmp_path / "pictures")
    Image.new("RGB", (6, 5)).save(next(folder.rglob("0.png")))
    rows = ({"picture": file.read_bytes(), "label": file.parent.name} for file in folder.rglob("*.png"))
    write_records(tmp_path / "records", rows, shards=1)
    for looked in (look_at_images(folder), look_at_records(tmp_path / "records")):
        assert looked.constants["pictures"] == {"SIDE, CHANNELS": (30, 3)}


def test_pictures_in_records_are_found_by_what_they_are_not_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "pictures")
    first, second, *_ = sorted(folder.rglob("*.png"))
    first.write_bytes(first.read_bytes()[:60])
    Image.open(second).resize((600, 520)).save(second)
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
    assert "1 of 100 that were looked at cannot be read; such are left out, and named." in looked.notes
    assert "Large ones are made smaller once, when records are written: KEPT of data.py." in looked.notes
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    examples_folder(load_recipe(tmp_path / "recipe"), tmp_path / "written")
    capsys.readouterr()
    kept = [images.check(row["picture"][0]) for row in load_module(tmp_path / "recipe", "data.py").examples(path)]
    assert re.search(r"left out: record \d+ of .*Expected a picture that can be decoded", capsys.readouterr().out)
    assert len(kept) == 99
    assert {min(one.height, one.width) for one in kept} == {30, 256}


@pytest.mark.parametrize(
    ("names", "told", "label"),
    [(["a", "b"], "", "b"), (["Class", "b"], "", "Class"), (["label", "b"], "b", "b"), (["y", "target"], "", "target")],
)
def test_the_label_is_guessed_by_name_or_is_the_last_column(names: list[str], told: str, label: str) -> None:
    assert guess_label(names, told) == label


def test_a_label_that_is_no_column_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(DataError, match=r"among the columns size, Species\. Received: 'species'; did you mean 'Spec"):
        guess_label(["size", "Species"], "species")


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["a", "b"] * 9, True),
        (["0", "1"] * 9, True),
        ([1, 2, 3] * 9, True),
        ([60, 62, 64, 46, 74, 50] * 2, False),
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
        ([str(n + n // 3) for n in range(30)], "it numbers the rows"),
        ([f"name{n}" for n in range(30)], "nearly every row has another text in it"),
        (["1", "inf"] * 15, "it has infinite values, or such that float32 does not hold"),
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
            "Expected a folder with a folder of pictures .*, which is empty; sort them so",
        ),
        ("text", lambda f: f.mkdir(), r"Expected a folder with a folder of texts"),
        ("text", lambda f: f.write_text("a"), r"Received: '.*data', which is a file; sort them so"),
        ("csv", lambda f: f.write_text("a\n1\n"), "Expected a line of names with two columns or more, and rows"),
        ("csv", lambda f: f.write_bytes(b"a,b\n\xff\xfe,1\n"), "Expected a file of values in UTF-8"),
        ("csv", lambda f: f.write_text(""), "Expected a table with a line of names, and rows"),
        ("csv", lambda f: f.write_text("a,label\n1,x\n2,y,3\n"), "Expected rows of as many cells.*line 3, saw 3; mend"),
        ("csv", lambda f: f.write_text("a,label\n1,2,x\n2,3,y\n"), "Expected rows of as many cells.*have more cells"),
        ("csv", lambda f: f.write_text("a,label\nx,\ny,\n"), "Expected labels in the column 'label'"),
        ("csv", lambda f: f.write_text("a,label\nx,1\nx,2\n"), "Expected a column beside the label"),
        ("tfrecord", lambda f: f.write_bytes(b"no records at all"), r"Expected TFRecords of tf\.Example"),
        ("tfrecord", lambda f: f.mkdir(), "Expected a TFRecord file, or a folder with some"),
        ("tfrecord", lambda f: f.write_bytes(b""), r"Expected records of tf\.Example\. Received: none in"),
    ],
)
def test_what_is_no_such_data_is_one_sentence(tmp_path: Path, form: str, make: Any, sentence: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(DataError, match=sentence):
        LOOKERS[form](tmp_path / "data")


def test_the_label_of_records_is_a_feature_of_one_value_that_is_no_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [{"kind": "abcde"[n % 5], "signal": rng.random(6), "z": [1.0, 0.0]} for n in range(100)]
    write_records(tmp_path / "signals", rows, shards=1)
    looked = look_at_records(tmp_path / "signals")
    assert (looked.columns or {})["label"] == "kind"
    with pytest.raises(DataError, match=r"Expected a label of one value .* Received: 'signal' with 6 in "):
        look_at_records(tmp_path / "signals", "signal")
    file = next(pictures(tmp_path / "pictures").rglob("*.png")).read_bytes()
    write_records(tmp_path / "shown", [{"kind": "abcde"[n % 5], "png": file} for n in range(100)], shards=1)
    assert look_at_records(tmp_path / "shown").constants["records_files"]["LABEL"] == "kind"
