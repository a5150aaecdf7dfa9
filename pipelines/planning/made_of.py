"""What a run is made of, by which the next plan says by name what changed."""

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from piecehub.containers.code import recipe_closure
from piecehub.facts.content import sha256_file
from piecehub.facts.plan import File, plain
from piecehub.facts.secrets import redacted
from pipelines.recipe.tables import LoadedRecipe, Recipe

# Of `[recipe]`, what is there for a reader.
_FOR_READERS = ("command", "minutes", "expected")
_LONGEST_PART = 16  # letters of a digest by which functions are told apart
_NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING)


def parameters_of(config: Recipe) -> dict[str, Any]:
    """Every entry of a recipe by its name, such as `train.epochs` or `task.digits-5-9.shots`."""
    tables: dict[str, Any] = asdict(config)
    found: dict[str, Any] = {}
    for table, value in tables.items():
        if isinstance(value, tuple | list):
            alone = len(value) == 1
            for each in value:
                found |= _entries(table if alone else f"{table}.{each['name']}", each)
        else:
            found |= _entries(table, value)
    return {key: redacted(plain(value), key) for key, value in found.items()}


def _entries(table: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{table}.{key}", value) for key, value in values.items() if table != "recipe" or key not in _FOR_READERS)


def files_of(loaded: LoadedRecipe) -> dict[str, File]:
    """What a recipe's code can read of its folder, by path there."""
    folder = loaded.folder
    paths = recipe_closure(folder, loaded.config.model.module)
    return {path.relative_to(folder).as_posix(): File(sha256_file(path), parts_of(path)) for path in paths}


def schemas_of(loaded: LoadedRecipe) -> dict[str, str]:
    """A digest of each schema that a recipe names."""
    names = {loaded.config.data.schema, *(task.schema for task in loaded.config.task)} - {""}
    return {name: sha256_file(loaded.folder / name) for name in sorted(names)}


def parts_of(path: Path) -> dict[str, str]:
    """The functions and classes of a Python file, each with a digest of its text; `""` is what stands outside of them.

    Nothing of another file, or of one that is no Python.
    """
    if path.suffix != ".py":
        return {}
    try:
        source = path.read_bytes().decode()
        tree = ast.parse(source)
    except (ValueError, SyntaxError):
        return {}
    lines = source.splitlines(keepends=True)
    parts: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1
            text = "".join(lines[first : node.end_lineno])
            lines[first : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - first)
            parts[node.name] = _told(text)
    return {**parts, "": _told("".join(lines))}


def _told(text: str) -> str:
    """A digest of the code of a text, without comments and empty lines."""
    try:
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        said = "\n".join(f"{token.type} {token.string}" for token in tokens if token.type not in _NO_CODE)
    except (tokenize.TokenError, IndentationError):
        said = text
    return hashlib.sha256(said.encode()).hexdigest()[:_LONGEST_PART]
