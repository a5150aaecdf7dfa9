"""Code digests follow the code that a component runs, and nothing else."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from piecehub.containers import code
from piecehub.errors import RecipeError
from piecehub.facts.workdir import mark

COMPONENTS = [
    "documentation_writer",
    "fine_tune_evaluator",
    "full_model_trainer",
    "hub_pusher",
    "incumbent_resolver",
    "parent_resolver",
    "piece_extractor",
    "publish_gate",
    "reusability_validator",
    "reusable_exporter",
]
PROJECT = Path(code.__file__).parents[2]


@pytest.mark.parametrize("name", COMPONENTS)
def test_no_component_runs_the_pages(name: str) -> None:
    files = code.module_closure(f"components.{name}")
    assert PROJECT / "components" / f"{name}.py" in files
    assert PROJECT / "piecehub" / "errors.py" in files
    assert not [f for f in files if "ui" in f.relative_to(PROJECT).parts or "cli" in f.parts or f.name == "server.py"]


def test_the_code_of_a_component_is_told_by_file() -> None:
    told = code.code_by_file("components.publish_gate")
    closure = code.module_closure("components.publish_gate")
    assert set(told) == {file.relative_to(PROJECT).as_posix() for file in closure} and len(set(told.values())) > 10


def test_the_exporter_runs_the_exporting_room_and_not_the_transfer_room() -> None:
    files = code.module_closure("components.reusable_exporter")
    assert PROJECT / "piecehub" / "exporting" / "reusable.py" in files
    assert not [f for f in files if {"transfer", "store"} & set(f.relative_to(PROJECT).parts)]


def test_what_a_fresh_process_imports_by_name_belongs_to_the_code() -> None:
    files = code.module_closure("components.reusability_validator")
    assert PROJECT / "piecehub" / "conformance" / "dynamic.py" in files
    files = code.module_closure("components.fine_tune_evaluator")
    assert {PROJECT / "piecehub" / "transfer" / f"{name}.py" for name in ("engine", "workers", "batch_norm")} <= set(
        files
    )


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_code_of_every_package_above_belongs_to_the_code_and_the_front_door_never(name: str) -> None:
    """Importing a module runs the `__init__.py` of each package that it lies in."""
    files = code.module_closure(f"components.{name}")
    above = {folder / "__init__.py" for file in files for folder in file.parents if folder.is_relative_to(PROJECT)}
    inits = {init for init in above - {PROJECT / "__init__.py"} if len(ast.parse(init.read_text()).body) > 1}
    front_door = PROJECT / "piecehub" / "__init__.py"
    assert front_door in inits and front_door not in files
    assert PROJECT / "components" / "__init__.py" in inits and inits - {front_door} <= set(files)


def test_an_edit_changes_the_digest_and_a_path_does_not(tmp_path: Path) -> None:
    digests = []
    for folder, text in [("a", "x = 1\n"), ("b", "x = 1\n"), ("c", "x = 2\n")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.py").write_text(text)
        digests.append(code.code_digest("piecehub.containers.code", str(tmp_path / folder), "model.py"))
    assert digests[0] == digests[1] != digests[2]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe that reads and imports what lies beside it in many ways."""
    folder = tmp_path / "recipe"
    files = {
        "recipe.toml": '[data]\nschema = "own.pbtxt"\n[[task]]\nname = "t"\nschema = "sub/task.txt"\n',
        "model.py": "from .blocks import dense\nimport importlib\nTEXT = open('vocab.txt')\n",
        "data.py": "",
        "blocks/__init__.py": "",
        "blocks/dense.py": "",
        "sizes.py": "",
        "vocab.txt": "a",
        "labels.pbtxt": "item {}",
        "own.pbtxt": "feature {}",
        "schema.pbtxt": "",
        "sub/task.txt": "feature {}",
        "sub/notes.md": "read by the model",
        "sub/.hidden": "1",
        "README.md": "texts",
        "LICENSE": "texts",
        ".git/HEAD": "x",
        ".venv/x.py": "x",
        "env/pyvenv.cfg": "",
        "env/x.py": "x",
        "__pycache__/model.cpython-311.pyc": "x",
        "model.py~": "x",
        ".DS_Store": "x",
        "work/store/acme": "x",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    mark(folder / "work")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "words.txt").write_text("linked")
    (folder / "shared").symlink_to(tmp_path / "shared")
    (folder / "loop").symlink_to(".")
    return folder


READ = ["blocks/__init__.py", "blocks/dense.py", "data.py", "labels.pbtxt", "model.py"]
READ += ["schema.pbtxt", "shared/words.txt", "sizes.py", "sub/.hidden", "sub/notes.md", "vocab.txt"]


def test_b2_all_that_a_recipes_code_can_read_belongs_to_it(recipe: Path) -> None:
    files = [path.relative_to(recipe).as_posix() for path in code.recipe_closure(recipe, "model.py")]
    assert files == READ


@pytest.mark.parametrize("name", READ)
def test_b2_an_edit_of_what_code_can_read_is_other_code(recipe: Path, name: str) -> None:
    before = code.code_digest("piecehub.containers.code", str(recipe), "model.py")
    with (recipe / name).open("a") as file:
        file.write("\n")
    assert code.code_digest("piecehub.containers.code", str(recipe), "model.py") != before


def test_b2_an_edit_of_what_is_stated_apart_is_the_same_code_and_so_is_another_checkout(recipe: Path) -> None:
    before = code.code_digest("piecehub.containers.code", str(recipe), "model.py")
    for path in recipe.rglob("*"):
        if path.is_file() and path.relative_to(recipe).as_posix() not in READ:
            with path.open("a") as file:
                file.write("# an edit")
    assert code.code_digest("piecehub.containers.code", str(recipe), "model.py") == before
    shutil.copytree(recipe, recipe.parent / "checkout", symlinks=True)
    assert code.code_digest("piecehub.containers.code", str(recipe.parent / "checkout"), "model.py") == before


def test_b2_a_recipe_in_a_virtual_environment_is_read_all_the_same(recipe: Path) -> None:
    (recipe / "pyvenv.cfg").touch()
    files = [path.relative_to(recipe).as_posix() for path in code.recipe_closure(recipe, "model.py")]
    assert files == sorted([*READ, "pyvenv.cfg"])


def test_b2_records_of_a_folder_that_the_recipe_names_are_no_code(recipe: Path) -> None:
    (recipe / "recipe.toml").write_text('[data]\nfolder = "own"\n')
    before = code.recipe_closure(recipe, "model.py")
    (recipe / "own").mkdir()
    (recipe / "own" / "part.tfrecord").write_text("x")
    assert code.recipe_closure(recipe, "model.py") == before


def test_b2_a_folder_that_is_too_large_to_read_in_every_run_is_refused(recipe: Path) -> None:
    with (recipe / "sub" / "large.bin").open("wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(RecipeError, match=r"at most 1073741824 bytes.*'sub/large\.bin'"):
        code.recipe_closure(recipe, "model.py")


def test_b2_a_working_folder_that_is_the_recipes_is_refused(recipe: Path) -> None:
    mark(recipe)
    with pytest.raises(RecipeError, match="--workdir"):
        code.recipe_closure(recipe, "model.py")


@pytest.mark.parametrize(("text", "words"), [(None, "no such file"), ("def", "in line 1")])
def test_a_recipe_module_that_is_no_python_is_one_sentence(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "model.py").write_text(text)
    with pytest.raises(RecipeError, match=words):
        code.recipe_closure(tmp_path, "model.py")


DIGESTS = """
import json, sys
from piecehub.containers import code
print(json.dumps({name: code.code_digest(f"components.{name}") for name in sys.argv[1:]}))
"""


def _digests(project: Path) -> dict[str, str]:
    """The code digest of each component, as a fresh process tells it of the project in that folder."""
    command = [sys.executable, "-P", "-c", DIGESTS, *COMPONENTS]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_what_is_said_of_a_room_runs_nothing_and_what_a_room_runs_does(tmp_path: Path) -> None:
    for package in ("components", "piecehub"):
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    before = _digests(tmp_path)
    for file in tmp_path.rglob("__init__.py"):
        _edit(file, '"""', '"""Said otherwise, \n\non more lines. ')
    _edit(tmp_path / "piecehub" / "__init__.py", "__all__ = [", 'NEW_NAME = "a public name"\n__all__ = [')
    _edit(tmp_path / "piecehub" / "ui" / "app.py", "import ", "import string\nimport ")
    assert _digests(tmp_path) == before
    _edit(tmp_path / "components" / "__init__.py", "__all__ = [", "OTHER = 1\n__all__ = [")
    assert not set(_digests(tmp_path).values()) & set(before.values())
    for package in ("components", "piecehub"):
        shutil.rmtree(tmp_path / package)
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    _edit(tmp_path / "piecehub" / "store" / "__init__.py", '"""\n', '"""\nRUNS = True\n')
    after = _digests(tmp_path)
    assert {name for name in COMPONENTS if after[name] != before[name]} >= {"hub_pusher", "incumbent_resolver"}
    assert after["full_model_trainer"] == before["full_model_trainer"]
