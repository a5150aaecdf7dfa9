"""Folders of a user's that bear the names of our packages `pipelines` and `components`, as many a TFX project has them.

ML Metadata and Kubeflow know ours by these names, so they keep them. Who is found where both are:

    the command line      ours, wherever the others lie (`claim`)
    a program, a notebook, pytest
                          the user's, for so is the process: what needs ours says which folder is in the way
                          (`in_the_way`). One without `__init__.py` is in nobody's way: Python takes ours, and finds
                          the modules of both in it
"""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from piecehub.errors import EnvironmentProblem

NAMES = ("components", "pipelines")
HOME = Path(__file__).resolve().parents[1]


class _Ours:
    """Finds our packages beside `piecehub`; the interpreter asks it before it looks at `sys.path`."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, [str(HOME)], target) if fullname in NAMES else None


def claim() -> None:
    """Makes the names ours in this process, which must be one that we start."""
    if _Ours not in sys.meta_path:
        sys.meta_path.insert(0, _Ours)


def in_the_way() -> EnvironmentProblem | None:
    """What is found in place of our packages, and what to do; None where both are found."""
    others = {name: place for name in NAMES if (place := _place(name)) != HOME / name}
    if not others:
        return None
    names, places = (" and ".join(f"'{each}'" for each in some) for some in (others, others.values()))
    return EnvironmentProblem(
        f"Expected piecehub's own {names} to be imported. Received: {places}, in the way; rename what is in the "
        "way, or start Python where it is not on the path (the command `piecehub` works here all the same)."
    )


def of_others(folder: Path) -> Iterator[Path]:
    """What in a folder a program that starts there would be given in place of our packages."""
    for name in NAMES:
        for place in (folder / name / "__init__.py", folder / f"{name}.py"):
            if place.is_file() and HOME not in place.resolve().parents:
                yield place.parent if place.name == "__init__.py" else place


def _place(name: str) -> Path | None:
    """The folder or the file that `import` takes for that name, or has taken."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    found = next(iter(spec.submodule_search_locations or ()), spec.origin)
    return Path(found).resolve() if found else None
