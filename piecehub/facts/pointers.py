"""Pointers in the place of files: what Git LFS and git-annex leave where they did not fetch a large file.

version https://git-lfs.github.com/spec/v1      a few lines of text, by which Git LFS finds the file
/annex/objects/SHA256E-s12345--…                the same of git-annex
"""

import os
from collections.abc import Iterable
from pathlib import Path

from piecehub.errors import RecipeError

_STARTS = {
    b"version https://git-lfs": ("a pointer of Git LFS", "git lfs pull"),
    b"/annex/objects/": ("a pointer of git-annex", "git annex get"),
}
# Git LFS takes nothing larger for a pointer.
_LARGEST_BYTES = 1024


def pointer(path: str | os.PathLike[str]) -> tuple[str, str] | None:
    """What a file is that stands in the place of another one, and what to do; None if it is no pointer, or not there.

    >>> pointer("weights.h5")
    ('a pointer of Git LFS in the place of a file', 'fetch the file itself with `git lfs pull`')
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
        return None
    head = path.read_bytes()
    for start, (what, command) in _STARTS.items():
        if head.startswith(start):
            return f"{what} in the place of a file", f"fetch the file itself with `{command}`"
    return None


def refuse_pointers(paths: Iterable[str | os.PathLike[str]], expected: str) -> None:
    """Passes if none of the files is a pointer.

    Args:
        paths: files; those that are not there are left to who reads them.
        expected: what was expected, for the sentence.

    Raises:
        RecipeError: naming the first that is one, and how to get the file.
    """
    for path in paths:
        if found := pointer(path):
            what, remedy = found
            raise RecipeError(f"Expected {expected}. Received: '{os.fspath(path)}', {what}; {remedy}.")


def refuse_pointers_below(folder: Path, expected: str) -> None:
    """The same of all files in a folder and below; links are not followed."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        paths = (Path(place, name) for name in sorted(names))
        refuse_pointers((path for path in paths if not path.is_symlink()), expected)
