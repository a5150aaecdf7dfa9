"""`piecehub init`: the recipe that it writes for data of each form builds as it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from piecehub.errors import DataError, RecipeError
from piecehub.examples.records import write_records
from pipelines.data import examples_folder
from pipelines.recipe.loader import load_recipe
from pipelines.starting.plan import plan_for
from pipelines.starting.records import look_at_records
from pipelines.starting.tables import look_at_table
from pipelines.starting.texts import look_at_texts
from pipelines.starting.writing import write_recipe
from tests.command_line import piecehub
from tests.pipelines.starting_data import LOOKERS, kinds_in, kinds_told, looked_at, made, table


@pytest.mark.parametrize("form", LOOKERS)
def test_the_recipe_for_each_form_builds_and_writes_its_records(tmp_path: Path, form: str) -> None:
    from pipelines import preflight

    looked = looked_at(form, tmp_path / "data")
    plan = plan_for(looked)
    assert len(plan.held_out) == 2
    assert len(looked.counts) == 5
    write_recipe(tmp_path / "recipe", "mine", looked, plan)
    loaded = load_recipe(tmp_path / "recipe")
    preflight.check(loaded, tmp_path / "store")
    folder = examples_folder(loaded, tmp_path / "written")
    assert {path.name for path in folder.iterdir()} == {"upstream", "new-classes"}
    assert kinds_in(folder) == kinds_told(tmp_path / "recipe")


def test_whole_numbers_in_records_become_what_the_schema_says(tmp_path: Path) -> None:
    rows = ({"count": n % 7, "cells": [n % 3, n % 5, n], "label": n * n % 101} for n in range(120))
    write_records(tmp_path / "data", rows, shards=1)
    looked = look_at_records(tmp_path / "data")
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    folder = examples_folder(load_recipe(tmp_path / "recipe"), tmp_path / "written")
    kinds = dict.fromkeys(("count", "cells", "label"), "FLOAT")
    assert kinds_in(folder) == kinds_told(tmp_path / "recipe") == kinds


def test_records_are_written_anew_when_the_data_change(tmp_path: Path) -> None:
    looked = looked_at("csv", tmp_path / "data")
    write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    loaded = load_recipe(tmp_path / "recipe")
    first, again = (examples_folder(loaded, tmp_path / "written") for _ in range(2))
    with looked.source.open("a") as file:
        file.write("\n500,3.25,0.5,yes,red,apple")
    assert first == again != examples_folder(loaded, tmp_path / "written")
    looked.source.unlink()
    with pytest.raises(RecipeError, match=r"^Expected the files that 'data\.reads' names\. Received: no '.*data\.csv'"):
        examples_folder(loaded, tmp_path / "written")


def test_too_few_examples_are_refused_with_how_many_it_takes(tmp_path: Path) -> None:
    rows = [f"{n * n},{'ab'[n % 2]}" for n in range(20)]
    (tmp_path / "data.csv").write_text("\n".join(["x,label", *rows]))
    sentence = (
        r"Expected 16 examples or more of the class 'a' in the label 'label': .* Received: 10, equal ones counted "
        r"once; add some, take the class away, or name another label by --label\."
    )
    with pytest.raises(DataError, match=sentence):
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
    rows = [f"{n * n},{n % 30:02d}{'x' * 150}" for n in range(900)]
    (tmp_path / "data.csv").write_text("\n".join(["x,label", *rows]))
    looked = look_at_table(tmp_path / "data.csv")
    plan = plan_for(looked)
    assert 2 <= len(plan.held_out) < 10
    write_recipe(tmp_path / "recipe", "mine", looked, plan)
    assert load_recipe(tmp_path / "recipe").config.model.arguments["outputs"] == 30 - len(plan.held_out)


def test_a_folder_with_something_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    looked = looked_at("csv", tmp_path / "data")
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.txt").write_text("mine")
    with pytest.raises(RecipeError, match="Expected a folder that is not there, or is empty"):
        write_recipe(tmp_path / "recipe", "mine", looked, plan_for(looked))
    assert [path.name for path in (tmp_path / "recipe").iterdir()] == ["mine.txt"]


def test_the_command_says_what_it_found_and_what_comes_next(tmp_path: Path) -> None:
    source = table(tmp_path / "birds.csv")
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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--from", "keras", "model"], "Expected --task FORM PATH with --from keras"),
        (["--from", "savedmodel", "model"], "Expected --task FORM PATH with --from savedmodel"),
        (
            ["--from", "savedmodel", "model", "--task", "csv", "model", "--layer", "x"],
            "--layer, --code and --trust with --from k",
        ),
        (["--from", "csv", "nothing"], "Received: 'nothing', which is not there"),
        (["--from", "csv", "model", "--task", "csv", "model"], "Expected --task with --from keras or savedmodel"),
        (["--from", "keras", "model", "--task", "sounds", "data"], "Received: sounds."),
        (["--from", "keras", "model", "--task", "csv", "none"], "Received: 'none', which is not there"),
        (["--from", "csv", "model", "--layer", "last"], "Expected --layer, --code and --trust with --from keras"),
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
def test_each_recipe_s_own_test_passes(tmp_path: Path, form: str) -> None:
    pytest.importorskip("tfx")
    source = made(form, tmp_path / "data")
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
