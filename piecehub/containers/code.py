"""Code digests: what a component runs, so that TFX's cache tells the truth.

TFX's cache key holds a component's class path and parameters, not its code. So every component of ours takes the digest
of its import closure within this project as a parameter: an edit of the trainer trains again, one of a page does not.

A folder's `__init__.py` counts by the code in it, not by its docstring, so what is said of a room trains nothing. The
front door, `piecehub/__init__.py`, is in no closure: nothing inside imports it, and a new public name runs nothing
again.
"""

import ast
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import grimp

from piecehub.errors import EnvironmentProblem, RecipeError
from piecehub.facts.content import FileEntry, content_digest, sha256_bytes, sha256_file

_PROJECT = Path(__file__).resolve().parents[2]
_FRONT_DOOR = _PROJECT / "piecehub" / "__init__.py"
_LOCK = "requirements.lock"


@functools.cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("components", "piecehub", cache_dir=None)


@functools.cache
def module_closure(module: str) -> tuple[Path, ...]:
    """The files that `module` runs within this project, sorted.

    They are its own, those that it imports, and of all parent packages the `__init__.py` that hold code.
    """
    modules = {module, *_graph().find_upstream_modules(module)}
    parents = {name.rsplit(".", depth)[0] for name in modules for depth in range(1, name.count(".") + 1)}
    files = {_file_of(name) for name in modules | parents}
    return tuple(sorted(file for file in files if file != _FRONT_DOOR and _code_in(file)))


def _file_of(module: str) -> Path:
    path = _PROJECT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _code_in(file: Path) -> bytes:
    """A file of ours: its bytes, of an `__init__.py` without its docstring, and nothing if there is no more in it."""
    source = file.read_bytes()
    if file.name != "__init__.py":
        return source
    tree = ast.parse(source, filename=str(file))
    said = tree.body[:1] if ast.get_docstring(tree, clean=False) is not None else []
    if len(tree.body) == len(said):
        return b""
    lines = source.splitlines(keepends=True)
    for docstring in said:
        del lines[docstring.lineno - 1 : docstring.end_lineno]
    return b"".join(lines)


def recipe_closure(folder: Path, file: str) -> tuple[Path, ...]:
    """`file` of a recipe's folder and the files that it reaches by relative imports, sorted.

    Raises:
        RecipeError: if `file` is missing or is no Python.
    """
    seen: set[Path] = set()
    waiting = [folder / file]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += _relative_imports(path)
    return tuple(sorted(seen))


def _relative_imports(path: Path) -> list[Path]:
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except FileNotFoundError as error:
        raise RecipeError(f"Expected the recipe's module '{path}'. Received: no such file.") from error
    except SyntaxError as error:
        raise RecipeError(
            f"Expected Python in the recipe's module '{path}'. Received: {error.msg} in line {error.lineno}."
        ) from error
    found: list[Path] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            found += _python_files(base) + [f for alias in node.names for f in _python_files(base / alias.name)]
    return found


def _python_files(path: Path) -> list[Path]:
    return [f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()]


def digest_of(files: Sequence[Path], root: Path) -> str:
    """The content digest of some files, by their paths below `root`."""
    return _digest({file: file.read_bytes() for file in files}, root)


def _digest(sources: Mapping[Path, bytes], root: Path) -> str:
    return content_digest(
        FileEntry(file.relative_to(root).as_posix(), len(source), sha256_bytes(source))
        for file, source in sources.items()
    )


def code_digest(module: str, recipe_folder: str = "", recipe_file: str = "") -> str:
    """The digest of all code that the component in `module` runs; with a recipe's module, that code too."""
    digests = [_digest({file: _code_in(file) for file in module_closure(module)}, _PROJECT)]
    if recipe_file:
        folder = Path(recipe_folder)
        digests.append(digest_of(recipe_closure(folder, recipe_file), folder))
    return "+".join(digests)


def lock_digest() -> str:
    """The sha256 of `requirements.lock`.

    Raises:
        EnvironmentProblem: if the file does not lie beside the packages.
    """
    path = _PROJECT / _LOCK
    if not path.is_file():
        raise EnvironmentProblem(
            f"Expected '{_LOCK}' beside the package 'components'. Received: none; install from a checkout."
        )
    return f"sha256:{sha256_file(path)}"
