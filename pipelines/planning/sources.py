"""The texts of a recipe's files, which a published run keeps, so that later plans can show what was edited.

    runs/<run>/sources.json  {"schema": 1, "files": {path in the recipe's folder: text}}

Only small texts (`_MOST_BYTES` each, `_MOST_IN_ALL` together) are in it: of others a plan says that they changed.
"""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from piecehub.containers.code import recipe_closure
from piecehub.facts.secrets import redacted_text
from piecehub.facts.workdir import Workdir
from pipelines.recipe.tables import LoadedRecipe

FILE_NAME = "sources.json"
_SCHEMA = 1
_MOST_BYTES, _MOST_IN_ALL = 64 * 2**10, 2**20
_MOST_LINES = 400


def sources_of(loaded: LoadedRecipe) -> dict[str, str]:
    """The small texts that the recipe's code can read, by path in its folder."""
    found: dict[str, str] = {}
    left = _MOST_IN_ALL
    for path in recipe_closure(loaded.folder, loaded.config.model.module):
        size = path.stat().st_size
        if size > min(_MOST_BYTES, left):
            continue
        try:
            found[path.relative_to(loaded.folder).as_posix()] = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue
        left -= size
    return found


def write_sources(workdir: Workdir, run: str, sources: Mapping[str, str]) -> None:
    """Writes `runs/<run>/sources.json`."""
    folder = workdir.runs / run
    beside = folder / f".{FILE_NAME}"
    try:
        beside.write_text(json.dumps({"schema": _SCHEMA, "files": sources}, indent=1) + "\n", encoding="utf-8")
        beside.replace(folder / FILE_NAME)
    finally:
        beside.unlink(missing_ok=True)


def read_sources(workdir: Workdir, run: str) -> dict[str, str]:
    """The texts of a run's recipe; none of a run that left none."""
    path = workdir.runs / run / FILE_NAME
    if Path(run).name != run or not path.is_file():
        return {}
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return value["files"] if value["schema"] == _SCHEMA else {}
    except (ValueError, KeyError, TypeError):
        return {}


def diff_of(name: str, old: Mapping[str, str], new: Mapping[str, str], is_new: bool, is_gone: bool) -> str:
    """What was edited in a file, as `diff -u` tells it; empty where one of its texts is not known.

    Args:
        name: the file's path in the recipe's folder.
        old: the texts before.
        new: the texts now.
        is_new: whether it was not there before.
        is_gone: whether it is not there now.
    """
    if not (name in old or is_new) or not (name in new or is_gone):
        return ""
    before, now = old.get(name, "").splitlines(), new.get(name, "").splitlines()
    lines = list(difflib.unified_diff(before, now, f"before/{name}", f"now/{name}", lineterm=""))
    more = [f"… {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
    return redacted_text("\n".join([*lines[:_MOST_LINES], *more]))
