"""The front door: every name is light to import, is the same callable always, and does what its example says."""

import ast
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import piecehub
from tests.docstring_examples import run_example

ROOT = Path(piecehub.__file__).resolve().parents[1]
NAMES = (
    *("ExportOptions", "ReusableLayer", "Training", "check", "cut_piece", "draw_weights", "evaluate", "export"),
    *("export_preprocessor", "load", "open_store", "publish", "reexport", "restore_and_take_core", "run"),
    *("write_records", "write_splits"),
)
ROOMS = [module.name for module in pkgutil.iter_modules([str(ROOT / "piecehub")]) if module.ispkg]
HEAVY = ("tensorflow", "keras", "tf_keras", "tfx", "apache_beam", "numpy", "click")


def python(code: str, *words: str) -> str:
    """What a fresh interpreter prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-P", "-c", code, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_names_are_those_that_users_know() -> None:
    assert tuple(piecehub.__all__) == NAMES
    assert set(NAMES) <= set(dir(piecehub))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        piecehub.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_importing_it_loads_nothing_heavy_and_takes_no_time() -> None:
    code = f"""
import sys, time
start = time.perf_counter()
import piecehub
assert time.perf_counter() - start < 0.1
assert not set({HEAVY!r}) & set(sys.modules)
print(len(dir(piecehub)) >= {len(NAMES)})
"""
    assert python(code) == "True\n"


def test_the_checker_sees_what_a_program_gets() -> None:
    """The imports under TYPE_CHECKING and the table of homes say the same."""
    tree = ast.parse(Path(piecehub.__file__).read_text("utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    seen = {a.asname: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == piecehub._HOMES | dict.fromkeys(piecehub._MODULES, "piecehub")
    assert (ROOT / "piecehub" / "py.typed").is_file()


def test_no_room_bears_the_name_of_a_public_function() -> None:
    assert not {*ROOMS, "errors", "images", "logs"} & set(NAMES)
    assert len([p for p in (ROOT / "piecehub").iterdir() if p.name != "__pycache__"]) <= 27
    files = {p.name for p in (ROOT / "piecehub").iterdir() if p.is_file()}
    modules = {"__init__.py", "__main__.py", "errors.py", "extras.py", "images.py", "logs.py", "shadows.py"}
    assert files <= modules | {"py.typed", "requirements.lock"}


def test_every_name_is_one_callable_before_and_after_every_room_was_imported() -> None:
    code = f"""
import importlib, pkgutil, sys
import piecehub
first = {{name: getattr(piecehub, name) for name in {NAMES!r}}}
for module in pkgutil.walk_packages(piecehub.__path__, "piecehub."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for name, found in first.items():
    scope = {{}}
    exec(f"from piecehub import {{name}}", scope)
    assert callable(found) and getattr(piecehub, name) is found is scope[name], name
print("the same")
"""
    assert python(code).endswith("the same\n")


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import sys
sys.modules["tensorflow"] = None
import piecehub
try:
    piecehub.load
except ModuleNotFoundError as error:
    print(error)
"""
    said = "Expected the package 'tensorflow' for piecehub.load. Received: none; call `pip install 'piecehub[tf]'`."
    assert python(code) == said + "\n"


@pytest.mark.parametrize("line", ["from piecehub import images", "import piecehub; images = piecehub.images"])
def test_the_helpers_for_pictures_are_found_on_first_use(line: str) -> None:
    code = f"""
import sys
import piecehub
assert "images" in dir(piecehub) and "piecehub.images" not in sys.modules
{line}
print(callable(images.read))
"""
    assert python(code).endswith("True\n")


def test_pictures_without_tensorflow_name_the_extra() -> None:
    code = """
import sys
sys.modules["tensorflow"] = None
try:
    from piecehub import images
except ModuleNotFoundError as error:
    print(error)
"""
    assert python(code) == (
        "Expected the package 'tensorflow' for piecehub.images. Received: none; call `pip install 'piecehub[tf]'`.\n"
    )


def test_paths_are_str_or_path() -> None:
    """Every argument that is annotated as a path takes both."""
    places = ("folder", "saved_model", "recipe", "workdir", "documentation", "store", "checkpoint", "place", "out")
    for name in NAMES:
        signature = inspect.signature(getattr(piecehub, name))
        for key, parameter in signature.parameters.items():
            if key in (*places, "source", "signing_key", "controls") and name != "ReusableLayer":
                assert {"str", "PathLike[str]"} <= set(str(parameter.annotation).replace("os.", "").split(" | ")), key


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples find there: a piece, a page, a recipe."""
    import keras

    folder = tmp_path_factory.mktemp("desk")
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu", kernel_regularizer="l2")])
    piecehub.export(model, folder / "my_piece")
    (folder / "page.md").write_text(PAGE)
    (folder / "my_recipe").mkdir()
    for name, text in RECIPE.items():
        (folder / "my_recipe" / name).write_text(text)
    return folder


PAGE = """\
# Module acme/features/1

Three numbers of four.
<!-- asset-path: acme/features/1/model.tar.gz -->
<!-- fine-tunable: false -->
<!-- format: saved_model_2 -->
<!-- license: apache-2.0 -->

## Overview

Rows of four numbers.
"""
RECIPE = {
    "recipe.toml": """
[recipe]
name = "mine"
command = "piecehub evaluate my_piece --recipe my_recipe"
minutes = 1.0
expected = "evidence"
[data]
module = "data.py"
label = "label"
[train]
epochs = 1
batch_size = 8
learning_rate = 0.01
seed = 100
[piece]
layer = "features"
[[task]]
name = "my-task"
[evaluation]
shots = [2]
seeds = [0, 1, 2, 3, 4]
learning_rates = [0.01]
steps = 3
batch_size = 4
inverse_regularization = [1.0]
sensitivity_batch_sizes = [4]
[documentation]
description = "x"
intended_use = "x"
limitations = "x"
training_data = "x"
license = "Apache-2.0"
""",
    "data.py": """
import numpy as np
from piecehub import write_records

def write(folder):
    rng = np.random.default_rng(0)
    for part in ("upstream/train", "upstream/eval", "my-task/pool", "my-task/test"):
        labels = rng.integers(0, 2, 60)
        rows = ({"values": rng.normal(2.0 * label, 1.0, 4).astype(np.float32), "label": label} for label in labels)
        write_records(folder / part, rows, shards=1)
""",
    "schema.pbtxt": """
feature { name: "values" type: FLOAT presence { min_fraction: 1.0 } shape { dim { size: 4 } } }
feature { name: "label" type: INT presence { min_fraction: 1.0 } shape { dim { size: 1 } } }
""",
}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("run", "open_store")])
def test_the_example_in_the_docstring_runs(name: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of `open_store` needs what `publish` has done; that of `run` has its test beside the tiny run."""
    import keras
    import numpy as np
    import tensorflow as tf

    run_example(name, desk, monkeypatch, keras=keras, np=np, tf=tf)
    if name == "evaluate":
        assert sorted(path.name for path in (desk / "evidence").iterdir()) == ["my-task", "verdict.json"]
    if name == "publish":
        run_example("open_store", desk, monkeypatch)


def test_handles_of_the_local_store_are_taken(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    monkeypatch.chdir(desk)
    published = piecehub.publish("my_piece", "acme/features", documentation="page.md", trust=True)
    handle = str(published.handle)
    rows = np.ones((2, 4), np.float32)
    expected = piecehub.load("my_piece")(rows).numpy()
    np.testing.assert_array_equal(piecehub.load(handle)(rows).numpy(), expected)
    layer = piecehub.ReusableLayer(handle, trainable=True)
    np.testing.assert_allclose(layer(rows), expected, rtol=1e-6)
    assert layer.get_config()["handle"] == handle
    again = piecehub.reexport(layer.resolved_object, "again", source=handle)
    assert again.regularization_losses == 1
    assert piecehub.check(handle).verdict == "reusable"
    unpacked = list((desk / ".piecehub" / "unpacked").iterdir())
    assert [folder.name for folder in unpacked] == [published.digest.removeprefix("sha256:")]
    with pytest.raises(piecehub.errors.StoreError, match="Expected a SavedModel at 'acme/features/2'"):
        piecehub.load("acme/features/2")
