"""All that is wrong with a recipe is told at once, each by its line, and nothing of the recipe is run for it."""

import json
import pickle
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from piecehub.errors import RecipeError, SeveralFaults
from pipelines.recipe.loader import RECIPES, load_recipe, read_recipe
from pipelines.recipe.reference import documented, page
from pipelines.recipe.tables import table_classes
from tests.command_line import piecehub

HEAVY = ("tensorflow", "keras", "tf_keras", "tfx", "apache_beam", "jinja2", "pandas")

# Each line that ends in a comment has one fault, which says that.
SEVEN = """\
[recipe]
name = "seven"

[data]
module = "dta.py"  # not found
label = "label"
arguments = { eval_fraction = 0.2, test_fraction = 0.4, seed = 0 }

[model]
arguments = { classes = 40, width = 32, l2 = 0.0001, head_drop = 0.2 }  # 'head_drop'; did you mean 'head_dropout'?

[train]
epoch = 3  # did you mean 'train.epochs'?
batch_size = 0  # a number greater than or equal to 1
learning_rate = 0.1

[piece]
layer = "features"
road = "cutt"  # 'cut', 'take', 'whole', 'core' or 'as_is'

[[task]]
name = "digits-5-9"

[documentation]
description = "Features of digits."
intended_use = "TODO"  # Expected a text for 'documentation.intended_use'
limitations = "It has seen five digits."
training_data = "Digits."
license = "apache"  # a value of 'license' that TensorFlow Hub knows
hub_tasks = ["image-others"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the digits recipe."""
    shutil.copytree(RECIPES / "digits", tmp_path / "recipe", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "recipe"


def _write(folder: Path, text: str) -> list[str]:
    """The faults of a recipe with that text."""
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return [str(found) for found in read_recipe(folder).faults]


def test_n8_seven_faults_are_told_in_one_go_each_by_its_line(folder: Path) -> None:
    faults = _write(folder, SEVEN)
    wanted = {n: line.partition("  # ")[2] for n, line in enumerate(SEVEN.split("\n"), 1) if "  # " in line}
    assert len(wanted) == len(faults) == 7
    for (line, words), fault in zip(wanted.items(), faults, strict=True):
        assert fault.startswith(f"recipe.toml:{line}: Expected ") and words in fault and "Received: " in fault
    with pytest.raises(SeveralFaults) as raised:
        load_recipe(folder)
    again = pickle.loads(pickle.dumps(raised.value))
    assert list(again.lines) == str(again).split("\n") == faults


def test_n8_the_command_tells_them_within_three_seconds_and_loads_nothing_heavy(folder: Path) -> None:
    (folder / "recipe.toml").write_text(SEVEN, encoding="utf-8")
    (folder / "model.py").open("a").write("\nraise SystemExit('this was run')\n")
    started = time.monotonic()
    done = piecehub("recipe", "check", str(folder), cwd=folder.parent)
    assert time.monotonic() - started < 3
    assert (done.returncode, len(done.stdout.splitlines())) == (2, 7)
    assert done.stderr == f"piecehub: Expected a recipe without faults in '{folder}'. Received: 7.\n"
    code = (
        f"import sys; sys.argv[1:] = ['recipe', 'check', {str(folder)!r}, '--json']\n"
        "from piecehub.cli.main import main\ntry: main()\nexcept SystemExit as end: assert end.code == 2\n"
        "print(' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert [fault["line"] for fault in told["faults"]] == [5, 10, 13, 14, 19, 26, 29]
    assert "pipelines.recipe.files" in done.stderr.split() and not set(HEAVY) & set(done.stderr.split())


def test_n8_a_run_tells_them_too_before_it_loads_anything(folder: Path) -> None:
    (folder / "recipe.toml").write_text(SEVEN, encoding="utf-8")
    done = piecehub("run", str(folder), cwd=folder.parent)
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 7)
    assert all(line.startswith("piecehub: recipe.toml:") for line in lines)


@pytest.mark.parametrize("recipe", sorted(path.parent.name for path in RECIPES.glob("*/recipe.toml")))
def test_a_shipped_recipe_has_no_fault_and_says_what_to_expect_of_it(recipe: str) -> None:
    read = read_recipe(recipe)
    assert read.faults == [] and read.config is not None
    about = read.config.recipe
    assert about.command == f"piecehub run {recipe}" and about.minutes > 0 and about.expected
    done = piecehub("recipe", "check", recipe)
    assert done.returncode == 0 and f"piecehub/{recipe}: no fault" in done.stdout


def test_n11_a_misspelt_entry_or_table_is_told_once_and_what_is_in_it_is_looked_at(folder: Path) -> None:
    text = (RECIPES / "digits" / "recipe.toml").read_text("utf-8")
    text = text.replace("[train]", "[trian]").replace("epochs = 20", "epochs = -1").replace("[[task]]", "[[tasks]]")
    text = text.replace("learning_rate = 0.002", "lr = 0.002").replace("layer = ", "layr = ")
    faults = [fault.partition(": ")[2] for fault in _write(folder, text)]
    assert [fault.partition("Received: ")[2] for fault in faults] == [
        "'trian'; did you mean 'train'?",
        "-1.",
        "'train.lr'; did you mean 'train.learning_rate'?",
        "'piece.layr'; did you mean 'piece.layer'?",
        "'tasks'; did you mean 'task'?",
    ]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("train.sed", "train.seed"),
        ("train.seeds", "train.seed"),
        ("gate.seeds", "evaluation.seeds"),
        ("evaluation.seed", "evaluation.seeds"),
        ("model.decode", "data.decode"),
        ("recipe.epochs", "train.epochs"),
        ("train.bs", "train.batch_size"),
        ("piec", "piece"),
        ("train.zzzz", ""),
    ],
)
def test_what_an_unknown_key_was_meant_to_be(key: str, meant: str) -> None:
    [fault] = read_recipe("digits", [f"{key}=1"]).faults
    assert fault.sentence.endswith(f"'{key}'; did you mean '{meant}'?" if meant else f"'{key}'.")


def test_a_fault_that_a_setting_brought_has_no_line(folder: Path) -> None:
    [fault] = read_recipe(folder, ["train.batch_size=0"]).faults
    assert (fault.file, fault.line) == ("", 0)
    [fault] = read_recipe(folder, {"piece": {"layer": "features", "road": "cutt"}}).faults
    assert (fault.file, fault.line) == ("", 0)


@pytest.mark.parametrize(
    "text", ["TODO", "todo", " ", "…", "...", "TBD: ask Ann", "FIXME", "<what it is for>", "- TODO"]
)
def test_n8_a_text_that_is_still_to_be_written_is_refused(text: str) -> None:
    [fault] = read_recipe("digits", {"documentation.limitations": text}).faults
    assert "for 'documentation.limitations', which is published on the model's page" in fault.sentence


@pytest.mark.parametrize(
    "text", ["To-do lists of 40 people.", "It finds TODO comments.", "None.", "Todos los dígitos."]
)
def test_a_text_that_is_written_is_none_of_those(text: str) -> None:
    assert read_recipe("digits", {"documentation.limitations": text}).faults == []


@pytest.mark.parametrize(
    ("code", "setting", "words"),
    [
        ("def build_model(*, seed, classes): ...", {}, "'width'"),
        ("def build_model(*, seed, classes, **others): ...", {}, ""),
        ("def build_model(*, seed, classes, width, l2, head_dropout, depth): ...", {}, "the argument 'depth'"),
        ("from elsewhere import build_model", {}, ""),
        ("from elsewhere import *", {}, ""),
        ("raise RuntimeError('told when it is loaded')", {}, ""),
        ("@decorated\ndef build_model(): ...", {}, ""),
        ("if True:\n    build_model = 3\n", {}, ""),
        ("def build_modle(**others): ...", {}, "function 'build_model' in 'model.py'. Received: none; did you mean"),
        ("class A:\n    def build_model(self): ...\n", {}, "function 'build_model'"),
        ("def build_model(**o): ...", {"train.callbacks": "gone"}, "function 'gone' in 'model.py'"),
        ("def build_model(**o): ...", {"piece.golden": "inputs"}, "function 'inputs'"),
        ("def build_model(**o): ...", {"data.decode": "decode"}, "function 'decode'"),
        ("def build_model(: ...", {}, "Expected Python in 'model.py'. Received: SyntaxError"),
    ],
)
def test_functions_are_looked_for_without_running_them(
    folder: Path, code: str, setting: dict[str, str], words: str
) -> None:
    (folder / "model.py").write_text(code, encoding="utf-8")
    faults = read_recipe(folder, setting).faults
    assert words in " ".join(fault.sentence for fault in faults) and bool(faults) == bool(words)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def write(folder, *, eval_fraction, test_fraction, seed): ...", ""),
        ("def write(folder, /, eval_fraction, test_fraction, seed): ...", ""),
        ("def write(*places, **others): ...", ""),
        ("def write(folder, eval_fraction): ...", "'test_fraction'; it takes eval_fraction."),
        ("def write(folder, eval_fraction, seed, more): ...", "the argument 'more' of 'write'"),
        ("def writes(folder): ...", "function 'write' in 'data.py'. Received: none; did you mean 'writes'?"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a pointer of Git LFS"),
    ],
)
def test_the_writer_of_examples_takes_the_folder_by_place_and_arguments_by_name(
    folder: Path, code: str, words: str
) -> None:
    (folder / "data.py").write_text(code, encoding="utf-8")
    faults = read_recipe(folder).faults
    assert words in " ".join(fault.sentence for fault in faults) and bool(faults) == bool(words)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"data.schema": "gone.pbtxt"}, "a schema in the recipe's folder. Received: 'gone.pbtxt'"),
        (
            {"data.label": "lable"},
            "'lable' of the examples of 'upstream'. Received: image, label in 'schema.pbtxt'; did",
        ),
        ({"model.checkpoint": "gone"}, "a checkpoint in the recipe's folder"),
        ({"model.module": "../data.py"}, "a Python file in the recipe's folder"),
        ({"data.module": "", "data.folder": "gone"}, "a folder of TFRecords. Received: 'gone'"),
        ({"evaluation.shots": [25, 5]}, "one or more shots, ascending"),
        ({"evaluation.seeds": [1, 1]}, "one or more seeds, ascending"),
        ({"gate.min_tasks": 2}, "'gate.min_tasks' of at most 1"),
        ({"task": [{"name": "a", "slices": ["imag"]}]}, "Received: image, label; did you mean 'image'?"),
        ({"documentation.hub_tasks": ["image-other"]}, "did you mean 'image-others'?"),
        ({"documentation.license": "Apache2"}, "Received: 'Apache2'; did you mean 'apache-2.0'?"),
        ({"train.optimizer": "adamm"}, "function 'adamm' in 'model.py'. Received: none; did you mean 'adam'?"),
    ],
)
def test_what_the_recipe_names_and_is_not_there_is_told(setting: dict[str, object], words: str) -> None:
    [fault] = read_recipe("digits", setting).faults
    assert words in fault.sentence


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("nan", "a finite number"),
        ("inf", "a finite number"),
        ("-inf", "a finite number"),
        ("2", "a number less than 1"),
        ("true", "a valid number"),
        ("'0.02'", "a valid number"),
    ],
)
@pytest.mark.parametrize("table", ["[gate]", "[[task]]"])
def test_the_least_gain_is_a_share_that_is_a_number(folder: Path, table: str, value: str, wanted: str) -> None:
    text = (RECIPES / "digits" / "recipe.toml").read_text("utf-8")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("min_gain"))
    [fault] = _write(folder, text.replace(table, f"{table}\nmin_gain = {value}", 1))
    assert f"Expected {wanted} for '{table.strip('[]')}.min_gain' in the recipe." in fault


def test_what_is_to_be_written_before_it_is_published_is_told_where_nothing_is_wrong(folder: Path) -> None:
    text = (folder / "recipe.toml").read_text("utf-8")
    assert "to write" not in piecehub("recipe", "check", str(folder)).stdout
    (folder / "recipe.toml").write_text(re.sub(r"(?m)^(limitations|license) = .*", r'\1 = ""', text), "utf-8")
    done = piecehub("recipe", "check", str(folder))
    assert done.returncode == 0
    assert "  to write    limitations, license of [documentation], before it is published" in done.stdout


def test_a_text_that_is_no_toml_is_told_with_its_line(folder: Path) -> None:
    assert _write(folder, "[recipe]\nname = \n")[0].startswith("recipe.toml:2: Expected TOML. Received: ")
    with pytest.raises(RecipeError, match=r"recipe\.toml:2"):
        load_recipe(folder)


def test_n8_what_only_a_reader_needs_may_be_left_out_and_defaults_are_sane(folder: Path) -> None:
    [least] = re.findall(r"^```toml\n(.*?)^```", page(), flags=re.MULTILINE | re.DOTALL)
    written = least.replace('"…"', '"A text."') + 'hub_tasks = ["image-others"]\n'
    (folder / "model.py").write_text("def build_model(*, seed): ...\n", encoding="utf-8")
    (folder / "data.py").write_text("def write(folder): ...\n", encoding="utf-8")
    assert _write(folder, written) == []
    config = load_recipe(folder).config
    assert config.gate.min_gain == 0.0075
    assert config.train.seed not in range(100_000) and config.train.seed not in config.seeds()
    assert len(_write(folder, least)) == 4  # texts that are still to be written


def test_n8_every_key_is_in_the_reference_and_the_page_is_not_stale() -> None:
    told = page()
    for name, table in table_classes().items():
        section = re.split(r"^## ", told, flags=re.MULTILINE)
        [rows] = [part for part in section if part.startswith((f"`[{name}]`", f"`[[{name}]]`"))]
        keys = [key for key, entry in table.__dataclass_fields__.items() if entry.init]
        assert re.findall(r"^\| `(\w+)` \|", rows, flags=re.MULTILINE) == keys
        assert all(documented(table)[key] for key in keys)
    assert (Path(RECIPES).parents[1] / "docs" / "recipe.md").read_text("utf-8") == told, (
        "Expected docs/recipe.md as the code has it. Received: another; piecehub recipe reference > docs/recipe.md"
    )
