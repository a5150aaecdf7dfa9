"""Code digests: what a component runs, so that TFX's cache tells the truth.

TFX's cache key holds a component's class path and parameters, not its code. So every component of ours takes the digest
of its import closure within this project as a parameter: an edit of the trainer trains again, one of a page does not.

Of a recipe it is all that its code can read of the recipe's folder (recipe_folder.py), by paths relative to that.
Together these files may have 1 GiB, for all of them are read in every run; more is refused, in a sentence that names
the largest.

A folder's `__init__.py` counts by the code in it, not by its docstring, so what is said of a room trains nothing. The
front door, `piecehub/__init__.py`, is in no closure: nothing inside imports it, and a new public name runs nothing
again.
"""

import ast
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import grimp

from piecehub.containers.recipe_folder import readable_files
from piecehub.errors import EnvironmentProblem, RecipeError
from piecehub.extras import LOCK
from piecehub.facts.content import FileEntry, content_digest, sha256_bytes, sha256_file
from piecehub.facts.workdir import is_workdir

_PROJECT = Path(__file__).resolve().parents[2]
_FRONT_DOOR = _PROJECT / "piecehub" / "__init__.py"
_MOST_BYTES = 2**30


@functools.cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("components", "piecehub", "pipelines", cache_dir=None)


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
    """What the recipe's module `file` can read of its folder, code and all else, sorted.

    Raises:
        RecipeError: if `file` is missing or is no Python, or the folder is too large.
    """
    _refuse_no_python(folder / file)
    if is_workdir(folder):
        raise RecipeError(
            f"Expected a working folder that is not the recipe's. Received: '{folder}' for both; give another with "
            "--workdir."
        )
    found = {path: path.stat().st_size for path in readable_files(folder)}
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


def code_by_file(module: str) -> dict[str, str]:
    """The code that the component in `module` runs within this project: a digest of each file, by its path there."""
    return {file.relative_to(_PROJECT).as_posix(): sha256_bytes(_code_in(file)) for file in module_closure(module)}


def recipe_digest(folder: Path, file: str) -> str:
    """The digest of what a recipe's module can read; all of it is read for that. Errors are those of its closure."""
    return digest_of(recipe_closure(folder, file), folder)


def joined(own: str, recipe: str) -> str:
    """The code digest of a component that runs a recipe's code too."""
    return f"{own}+{recipe}"


def lock_digest() -> str:
    """The sha256 of `requirements.lock`.

    Raises:
        EnvironmentProblem: if it does not lie in the package.
    """
    if not LOCK.is_file():
        raise EnvironmentProblem(f"Expected '{LOCK}'. Received: no such file; install piecehub again.")
    return f"sha256:{sha256_file(LOCK)}"
