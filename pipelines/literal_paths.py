"""Paths that others take for patterns: TFX finds artifacts by globs that it makes of paths.

Ours are found without globs; the working folder, below which TFX makes patterns of its own, must be free of what a glob
knows.
"""

import re
from pathlib import Path

from piecehub.errors import EnvironmentProblem

_SPECIAL = re.compile(r"[\[*?\\]")


def refuse_patterns(workdir: Path) -> None:
    """Raises EnvironmentProblem if TFX would take the path of the working folder for a pattern."""
    path = workdir.resolve()
    if found := _SPECIAL.search(str(path)):
        raise EnvironmentProblem(
            f"Expected a working folder without [, *, ? and backslash in its path. Received: '{path}', in which TFX "
            f"would take '{found[0]}' for a pattern; give another with --workdir."
        )
