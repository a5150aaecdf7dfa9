import sys
from pathlib import Path

import pytest

from piecehub.errors import RecipeError
from piecehub.training.recipe_modules import get_function, load_module


def test_files_of_a_recipe_import_each_other(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text("WIDTH = 7\n")
    (tmp_path / "model.py").write_text("from .parts import WIDTH\n")
    assert load_module(tmp_path, "model.py").WIDTH == 7


def test_a_second_load_gives_the_same_module(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("marker = object()\n")
    first = load_module(tmp_path, "model.py")
    assert load_module(tmp_path, "model.py") is first
    assert sys.modules[first.__name__] is first


def test_two_recipes_with_equal_file_names_stay_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.py").write_text(f"NAME = '{name}'\n")
    assert [load_module(tmp_path / name, "model.py").NAME for name in ("one", "two")] == ["one", "two"]


def test_a_folder_named_components_beside_the_recipe_does_not_stand_in_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("components", "piecehub"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    (tmp_path / "model.py").write_text("import piecehub\nHOME = piecehub.__file__\n")
    monkeypatch.chdir(tmp_path)
    path_before = list(sys.path)
    assert not Path(load_module(tmp_path, "model.py").HOME).is_relative_to(tmp_path)
    assert sys.path == path_before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"Received: 'model\.py', not found"):
        load_module(tmp_path, "model.py")


def test_a_file_outside_the_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "model.py").write_text("")
    with pytest.raises(RecipeError, match="in the recipe's folder"):
        load_module(tmp_path / "recipe", "../model.py")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\nraise KeyError('no such thing')\n", r"KeyError: 'no such thing' \(.*model\.py:2\)"),
        ("x = (\n", r"SyntaxError: .*model\.py:1"),
        ("import a_module_that_is_not_there\n", r"ModuleNotFoundError: .*model\.py:1"),
        ("class Odd(Exception): ...\nraise Odd\n", r"Odd: no message \(.*model\.py:2\)"),
    ],
)
def test_a_module_that_raises_gives_one_sentence_with_the_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "model.py").write_text(text)
    with pytest.raises(RecipeError, match=words) as caught:
        load_module(tmp_path, "model.py")
    assert "\n" not in str(caught.value)


def test_a_module_loads_once_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("raise ValueError\n")
    with pytest.raises(RecipeError):
        load_module(tmp_path, "model.py")
    (tmp_path / "model.py").write_text("mended = True\n")
    assert load_module(tmp_path, "model.py").mended


def test_a_missing_function_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("build = 3\n")
    with pytest.raises(RecipeError, match="function 'build'"):
        get_function(load_module(tmp_path, "model.py"), "build")


def test_b2_what_a_recipe_read_while_it_loaded_is_read_again_when_it_is_edited(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "from pathlib import Path\nWORDS = Path(__file__).with_name('vocab.txt').read_text()"
    )
    (tmp_path / "vocab.txt").write_text("one")
    module = load_module(tmp_path, "model.py")
    (tmp_path / ".notes").mkdir()
    (tmp_path / ".notes" / "a.txt").write_text("of a tool")
    assert load_module(tmp_path, "model.py") is module
    (tmp_path / "vocab.txt").write_text("two")
    assert load_module(tmp_path, "model.py").WORDS == "two"


@pytest.mark.parametrize("edited", ["model.py", "sizes.py"])
def test_b2_an_edited_recipe_is_loaded_again_in_the_same_process(
    tmp_path: Path, edited: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # wherever the tests run
    (tmp_path / "model.py").write_text("from .sizes import WIDTH\nDEPTH = 1\n")
    (tmp_path / "sizes.py").write_text("WIDTH = 1\n")
    module = load_module(tmp_path, "model.py")
    assert load_module(tmp_path, "model.py") is module
    text = (tmp_path / edited).read_text()
    (tmp_path / edited).write_text(text.replace("= 1", "= 2"))
    again = load_module(tmp_path, "model.py")
    assert ((2, 1) if edited == "sizes.py" else (1, 2)) == (again.WIDTH, again.DEPTH)
    assert not (tmp_path / "__pycache__").exists()
