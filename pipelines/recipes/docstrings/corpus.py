"""Docstrings of Python files, read with `ast`: nothing is imported, so no package's code runs."""

import ast
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from hashlib import sha256
from importlib.machinery import PathFinder
from pathlib import Path

from piecehub.errors import DataError

MIN_CHARACTERS = 40
MAX_CHARACTERS = 2000
# A text that shares this many words in a row with another one is no text of its own.
RUN_WORDS = 8
# Copies of other packages, tests, and what a compiler wrote.
_SKIPPED_FOLDERS = frozenset({"_vendor", "vendor", "vendored", "test", "tests", "testing", "__pycache__"})
_GENERATED = "_pb2"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

Run = tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """One docstring.

    Attributes:
        text: at most MAX_CHARACTERS; words are parted by single spaces.
        file: where it stands, relative to where packages lie, as `email/message.py`.
    """

    text: str
    file: str


def standard_module(name: str) -> Path:
    """The file or folder of a module of the standard library.

    Raises:
        DataError: if this Python was installed without its source.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    for path in (folder / name, folder / f"{name}.py"):
        if path.exists():
            return path
    raise DataError(f"Expected the source of the standard library's '{name}'. Received: none; install all of Python.")


def installed_package(name: str) -> Path:
    """The folder of an installed package, found without importing it.

    Raises:
        DataError: if there is none.
    """
    # Not importlib.util.find_spec, which asks every finder: that of setuptools takes a question after `pip` as a sign
    # to leave distutils alone from then on, and TFX cannot be imported any more.
    spec = PathFinder.find_spec(name)
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        raise DataError(f"Expected the package '{name}' in this environment. Received: none; install what is locked.")
    return Path(spec.origin).parent


def documents(module: Path) -> Iterator[Document]:
    """The docstrings of a module: a file, or a folder with all below it.

    Files stand in an order that hangs on their names only and mixes the folders, so the first thousand docstrings of a
    package are a fair sample of it.
    """
    paths = [module] if module.is_file() else [path for path in module.rglob("*.py") if not _is_skipped(path, module)]
    names = {path.relative_to(module.parent).as_posix(): path for path in paths}
    for name in sorted(names, key=lambda name: (sha256(name.encode()).digest(), name)):
        yield from (Document(text, name) for text in docstrings(names[name].read_bytes()))


def docstrings(source: bytes) -> Iterator[str]:
    """The docstrings of a file's module, classes and functions; none if it is no Python of this version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes such as "\d" in someone else's texts
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            # A lone surrogate is a legal character of a Python text, but not of UTF-8.
            said = (ast.get_docstring(node, clean=False) or "").encode(errors="ignore").decode()
            text = " ".join(said.split())
            if len(text) >= MIN_CHARACTERS:
                yield text[:MAX_CHARACTERS]


def runs(text: str) -> set[Run]:
    """All runs of RUN_WORDS words in a text, without case and punctuation; of a shorter one, all its words."""
    words = re.findall(r"\w+", text.lower())
    starts = range(max(1, len(words) - RUN_WORDS + 1))
    return {tuple(words[start : start + RUN_WORDS]) for start in starts}


def without_copies(texts: Iterable[Document], known: Set[Run]) -> Iterator[Document]:
    """The documents that share no run of words with `known`."""
    return (document for document in texts if known.isdisjoint(runs(document.text)))


def unlike_each_other(texts: Iterable[Document], known: set[Run]) -> Iterator[Document]:
    """The documents that share no run of words with `known` or with one before; their runs are added to `known`."""
    for document in texts:
        if known.isdisjoint(found := runs(document.text)):
            known |= found
            yield document


def without_duplicates(texts: Iterable[Document]) -> Iterator[Document]:
    """The first document of each text; case and punctuation make no difference."""
    seen: set[Run] = set()
    for document in texts:
        words = tuple(re.findall(r"\w+", document.text.lower()))
        if words not in seen:
            seen.add(words)
            yield document


def _is_skipped(path: Path, module: Path) -> bool:
    return path.stem.endswith(_GENERATED) or not _SKIPPED_FOLDERS.isdisjoint(path.relative_to(module).parts)
