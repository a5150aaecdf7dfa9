"""Code digests: what a component runs, so that TFX's cache tells the truth.

TFX's cache key holds a component's class path and parameters, not its code. So every component of ours takes the digest
of its import closure within this project as a parameter: an edit of the trainer trains again, one of a page does not.

What a component runs of a recipe is not told by what its module imports: it may open any file that lies beside it. So
all of the recipe's folder belongs to the code, by paths relative to it, but

    recipe.toml                     its values are parameters, so a new `gate.min_gain` trains nothing
    the schemas that it names       what they say reaches a component as an artifact
    [data] folder, where it names one: its records do so too
    *.md, README*, LICENSE*         at the top: texts for people
    .*, __pycache__, node_modules   folders of tools, and whatever else holds a virtual environment (pyvenv.cfg) or is
                                    a working folder of piecehub (facts/workdir.py)
    *.pyc, *~, *.swp, .#*, .DS_Store, Thumbs.db

Links count by what they lead to. Together these files may have 1 GiB, for all of them are read in every run; more is
refused, in a sentence that names the largest.

A folder's `__init__.py` counts by the code in it, not by its docstring, so what is said of a room trains nothing. The
front door, `piecehub/__init__.py`, is in no closure: nothing inside imports it, and a new public name runs nothing
again.
"""

import ast
import fnmatch
import functools
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import grimp

from piecehub.errors import EnvironmentProblem, RecipeError
from piecehub.facts.content import FileEntry, content_digest, sha256_bytes, sha256_file
from piecehub.facts.workdir import is_workdir

_PROJECT = Path(__file__).resolve().parents[2]
_FRONT_DOOR = _PROJECT / "piecehub" / "__init__.py"
_LOCK = "requirements.lock"
_RECIPE = "recipe.toml"
_MOST_BYTES = 2**30
_FOR_PEOPLE = ("*.md", "README*", "LICENSE*")
_NO_FILES = ("*.pyc", "*~", "*.swp", ".#*", ".DS_Store", "Thumbs.db")
_NO_FOLDERS = (".*", "__pycache__", "node_modules")


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
    """What the recipe's module `file` can read of its folder, code and all else, sorted; see above what does not count.

    Raises:
        RecipeError: if `file` is missing or is no Python, or the folder is too large.
    """
    _refuse_no_python(folder / file)
    if is_workdir(folder):
        raise RecipeError(
            f"Expected a working folder that is not the recipe's. Received: '{folder}' for both; give another with "
            "--workdir."
        )
    apart = {folder / name for name in _stated_apart(folder)}
    found = {path: path.stat().st_size for path in _files(folder, apart, set()) if not _for_people(path, folder)}
    if sum(found.values()) > _MOST_BYTES:
        largest = max(found, key=lambda path: found[path])
        raise RecipeError(
            f"Expected at most {_MOST_BYTES} bytes in the recipe's folder '{folder}', all of which is read in every "
            f"run. Received: {sum(found.values())}, most of them in '{largest.relative_to(folder)}'; keep records in a "
            "folder of their own, and name it in 'data.folder'."
        )
    return tuple(sorted(found))


def _refuse_no_python(path: Path) -> None:
    try:
        ast.parse(path.read_bytes(), filename=str(path))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RecipeError(f"Expected the recipe's module '{path}'. Received: no such file.") from error
    except SyntaxError as error:
        raise RecipeError(
            f"Expected Python in the recipe's module '{path}'. Received: {error.msg} in line {error.lineno}."
        ) from error
    except ValueError as error:
        raise RecipeError(f"Expected Python in the recipe's module '{path}'. Received: {error}.") from error


def _stated_apart(folder: Path) -> Iterator[str]:
    """The files and folders of a recipe whose content reaches components by another way than their code."""
    yield _RECIPE
    try:
        values: dict[str, Any] = tomllib.loads((folder / _RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # whoever loads the recipe says so
    data, tasks = values.get("data", {}), values.get("task", [])
    tables: list[Any] = [data, *(cast(list[Any], tasks) if isinstance(tasks, list) else [])]
    told = [cast(dict[str, Any], table) for table in tables if isinstance(table, dict)]
    names = [table.get("schema", "schema.pbtxt" if table is data else "") for table in told]
    names += [told[0].get("folder", "") if told and told[0] is data else ""]
    yield from (name for name in names if isinstance(name, str) and name)


def _files(folder: Path, apart: Collection[Path], inside: Collection[Path]) -> Iterator[Path]:
    """The files below `folder` that can be read; `inside` are the real paths of the folders that it lies in."""
    here = folder.resolve()
    if here in inside or is_workdir(here) or (here / "pyvenv.cfg").is_file():
        return
    try:
        paths = sorted(folder.iterdir())
    except PermissionError:
        return
    for path in paths:
        name = path.name
        if path in apart:
            continue
        if path.is_dir():
            if not _matches(name, _NO_FOLDERS):
                yield from _files(path, apart, {*inside, here})
        elif path.is_file() and not _matches(name, _NO_FILES) and os.access(path, os.R_OK):
            yield path


def _for_people(path: Path, folder: Path) -> bool:
    return path.parent == folder and _matches(path.name, _FOR_PEOPLE)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def digest_of(files: Sequence[Path], root: Path) -> str:
    """The content digest of some files, by their paths below `root`."""
    return content_digest(
        FileEntry(file.relative_to(root).as_posix(), file.stat().st_size, sha256_file(file)) for file in files
    )


def _digest(sources: Mapping[Path, bytes], root: Path) -> str:
    return content_digest(
        FileEntry(file.relative_to(root).as_posix(), len(source), sha256_bytes(source))
        for file, source in sources.items()
    )


def code_digest(module: str, recipe_folder: str = "", recipe_file: str = "") -> str:
    """The digest of all code that the component in `module` runs; with a recipe's module, what that can read too."""
    own = _digest({file: _code_in(file) for file in module_closure(module)}, _PROJECT)
    return joined(own, recipe_digest(Path(recipe_folder), recipe_file)) if recipe_file else own


def recipe_digest(folder: Path, file: str) -> str:
    """The digest of what a recipe's module can read; all of it is read for that. Errors are those of its closure."""
    return digest_of(recipe_closure(folder, file), folder)


def joined(own: str, recipe: str) -> str:
    """The code digest of a component that runs a recipe's code too."""
    return f"{own}+{recipe}"


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
