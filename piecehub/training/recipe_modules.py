"""A recipe's Python files, loaded by path.

A recipe's folder becomes a package whose name is derived from where it lies. So relative imports between its files
work, two recipes never meet, and neither the folder nor the current one goes on `sys.path`: a user's repository has
folders named `components` and `pipelines` too, which must not stand in for ours.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from piecehub.errors import PiecehubError, RecipeError
from piecehub.facts.content import sha256_bytes


def load_module(folder: Path, file: str) -> ModuleType:
    """The module that `folder/file` defines; a second call returns the same object.

    Args:
        folder: the recipe.
        file: a Python file in it, such as `model.py`, by its path relative to `folder`.

    Raises:
        RecipeError: if there is no such file, or if it raises while it loads.
    """
    root = folder.resolve()
    path = root / file
    if path.suffix != ".py" or not path.is_file() or not path.resolve().is_relative_to(root):
        raise RecipeError(f"Expected a Python file in the recipe's folder. Received: '{file}', not found in {folder}.")
    package = _package(root)
    name = ".".join([package, *Path(file).with_suffix("").parts])
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    with recipe_code(f"the recipe's '{file}' to load", RecipeError, root):
        return importlib.import_module(name)


def get_function(module: ModuleType, name: str) -> Callable[..., Any]:
    """The function `name` of a recipe's module; raises RecipeError if there is none."""
    function = getattr(module, name, None)
    if not callable(function):
        raise RecipeError(f"Expected a function '{name}' in {module.__file__}. Received: none; define it.")
    return function


@contextmanager
def recipe_code(expected: str, error_class: type[PiecehubError], folder: Path | None = None) -> Iterator[None]:
    """Turns whatever a recipe's code raises into one sentence: `Expected <expected>. Received: <type, message, line>`.

    Errors of our own pass as they are. This is the one place that catches every exception: what a stranger's code
    raises cannot be listed.
    """
    try:
        yield
    except PiecehubError:
        raise
    except Exception as error:
        message = " ".join(str(error).split()) or "no message"
        place = _place(error, folder)
        raise error_class(f"Expected {expected}. Received: {type(error).__name__}: {message} ({place}).") from error


def _package(root: Path) -> str:
    """Registers `root` as a package, by a name of its own, and returns that name."""
    name = f"piecehub_recipe_{sha256_bytes(str(root).encode())[:16]}"
    if name not in sys.modules:
        spec = ModuleSpec(name, loader=None, is_package=True)
        spec.submodule_search_locations = [str(root)]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return name


def _place(error: Exception, folder: Path | None) -> str:
    """`file:line` of the error: the last frame in `folder`, else the last frame."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [f for f in frames if folder and Path(f.filename).is_relative_to(folder.resolve())]
    last = (inside or frames)[-1]
    return f"{last.filename}:{last.lineno}"
