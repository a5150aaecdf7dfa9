"""What a recipe's code can read of the recipe's folder: code and all else.

What a component runs of a recipe is not told by what its module imports: it may open any file that lies beside it. So
all of the recipe's folder belongs to the code, by paths relative to it, but

    recipe.toml                     its values are parameters, so a new `gate.min_gain` trains nothing
    the schemas that it names       what they say reaches a component as an artifact
    [data] folder, where it names one: its records do so too; with spans all that lies beside these
    *.md, README*, LICENSE*         at the top: texts for people
    .*, __pycache__, node_modules   folders of tools, and whatever other folder in it holds a virtual environment
                                    (pyvenv.cfg) or is a working folder of piecehub (facts/workdir.py)
    *.pyc, *~, *.swp, .#*, .DS_Store, Thumbs.db

Links count by what they lead to.
"""

import fnmatch
import os
import tomllib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from piecehub.facts.content import sha256_file
from piecehub.facts.spans import fixed_part
from piecehub.facts.workdir import is_workdir

_RECIPE = "recipe.toml"
_FOR_PEOPLE = ("*.md", "README*", "LICENSE*")
_NO_FILES = ("*.pyc", "*~", "*.swp", ".#*", ".DS_Store", "Thumbs.db")
_NO_FOLDERS = (".*", "__pycache__", "node_modules")
_SMALL_BYTES = 2**20
State = dict[Path, tuple[int, int | str]]


def readable_files(folder: Path) -> Iterator[Path]:
    """The files of a recipe that its code can read; see above what does not count."""
    apart = {folder / name for name in _stated_apart(folder)}
    return (path for path in _files(folder, apart, set()) if not _for_people(path, folder))


def state_of(folder: Path) -> State:
    """These files as they are now, for a process to see later whether one was edited.

    A small file counts by its content, for an edit may leave size and time as they were; a large one by these two.
    """
    found: State = {}
    for path in readable_files(folder):
        known = path.stat()
        small = known.st_size <= _SMALL_BYTES
        found[path] = (known.st_size, sha256_file(path) if small else known.st_mtime_ns)
    return found


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
    yield from (fixed_part(name) for name in names if isinstance(name, str) and name and "://" not in name)


def _files(folder: Path, apart: Collection[Path], inside: Collection[Path]) -> Iterator[Path]:
    """The files below `folder` that can be read; `inside` are the real paths of the folders that it lies in."""
    here = folder.resolve()
    if here in inside or (inside and (is_workdir(here) or (here / "pyvenv.cfg").is_file())):
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
