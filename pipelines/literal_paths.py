"""Paths that others take for patterns: TFX and Beam find examples and artifacts by globs that they make of paths.

Ours are found without globs. Where a path goes to TFX as a pattern it is escaped; the working folder, below which TFX
makes patterns of its own, must be free of what a glob knows.
"""

import re
from pathlib import Path

from piecehub.errors import EnvironmentProblem, RecipeError

_SPECIAL = re.compile(r"[\[*?\\]")


def escaped(path: Path) -> str:
    """A pattern that matches the path alone, for TFX's file systems and Beam's alike.

    Raises:
        RecipeError: if there is a backslash in it, which they read differently.
    """
    if "\\" in str(path):
        raise RecipeError(
            f"Expected a folder of records without a backslash in its path. Received: '{path}'; rename it."
        )
    return _SPECIAL.sub(lambda found: f"[{found[0]}]", str(path))


def refuse_patterns(workdir: Path) -> None:
    """Raises EnvironmentProblem if TFX would take the path of the working folder for a pattern."""
    path = workdir.resolve()
    if found := _SPECIAL.search(str(path)):
        raise EnvironmentProblem(
            f"Expected a working folder without [, *, ? and backslash in its path. Received: '{path}', in which TFX "
            f"would take '{found[0]}' for a pattern; give another with --workdir."
        )
