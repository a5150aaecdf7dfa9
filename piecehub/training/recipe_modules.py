"""A recipe's Python files, loaded by path.

A recipe's folder becomes a package whose name is derived from where it lies. So relative imports between its files
work, two recipes never meet, and neither the folder nor the current one goes on `sys.path`: a user's repository has
folders named `components` and `pipelines` too, which must not stand in for ours.

A process that recipe code starts (`multiprocessing` with `spawn`, or joblib's) imports that package by its name. It
gets this one's `sys.path`, at whose end a folder of ours lies: in it is nothing but such packages, which say where to
look.
"""

import atexit
import functools
import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from piecehub.containers.recipe_folder import state_of
from piecehub.errors import PiecehubError, RecipeError, no_space
from piecehub.facts.content import sha256_bytes
from piecehub.facts.pointers import refuse_pointers

# The attribute of a recipe's package that holds the state of its files, as it was when they were last looked at.
_STATE = "__piecehub_state__"


def load_module(folder: Path, file: str) -> ModuleType:
    """The module that `folder/file` defines; a second call returns the same object, unless the recipe was edited.

    An edit is that of any file that the module can read: it may have read a vocabulary while it loaded.

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
    refuse_pointers([path], "a Python file")
    package = _package(root)
    name = ".".join([package, *Path(file).with_suffix("").parts])
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    _forget_if_edited(package, root)
    with recipe_code(f"the recipe's '{file}' to load", RecipeError, root), _no_bytecode():
        return importlib.import_module(name)


def _forget_if_edited(package: str, root: Path) -> None:
    """Drops a recipe's modules if a file of its folder has changed: what runs must be what caches are asked for."""
    now = state_of(root)
    if getattr(sys.modules[package], _STATE, now) != now:
        for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
            del sys.modules[name]
    setattr(sys.modules[package], _STATE, now)


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Python takes bytecode for that of a source of the same size and second, so of a recipe none is written."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def get_function(module: ModuleType, name: str) -> Callable[..., Any]:
    """The function `name` of a recipe's module; raises RecipeError if there is none."""
    function = getattr(module, name, None)
    if not callable(function):
        raise RecipeError(f"Expected a function '{name}' in {module.__file__}. Received: none; define it.")
    return function


@contextmanager
def recipe_code(expected: str, error_class: type[PiecehubError], folder: Path | None = None) -> Iterator[None]:
    """Turns whatever a recipe's code raises into one sentence: `Expected <expected>. Received: <type, message, line>`.

    Errors of our own pass as they are, and so does Ctrl-C. This is the one place that catches every exception, an exit
    too: what a stranger's code raises cannot be listed.
    """
    try:
        yield
    except (PiecehubError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if full := no_space(error):  # a disk, not the recipe, is what a person mends
            raise full from error
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
        _tell_other_processes(name, root)
    return name


def _tell_other_processes(name: str, root: Path) -> None:
    """Lets processes that this one starts find the package, if they import it from `sys.path`."""
    (_shelf() / f"{name}.py").write_text(f'"""A recipe\'s folder."""\n\n__path__ = [{str(root)!r}]\n', encoding="utf-8")


@functools.cache
def _shelf() -> Path:
    """The folder on `sys.path` that is there for other processes; gone when this one ends."""
    folder, owner = Path(tempfile.mkdtemp(prefix="piecehub-recipes-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # a forked process ends earlier
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    sys.path.append(str(folder))
    return folder


def _place(error: BaseException, folder: Path | None) -> str:
    """`file:line` of the error: the last frame in `folder`, else the last frame."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [f for f in frames if folder and Path(f.filename).is_relative_to(folder.resolve())]
    last = (inside or frames)[-1]
    return f"{last.filename}:{last.lineno}"
