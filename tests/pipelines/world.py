"""What end-to-end tests share: a tiny recipe in a repository of its own, and how a run of it ended."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from piecehub import runs
from piecehub.workdir import Workdir

# Small enough for a test: pretraining pays, but so few trials cannot prove it, so the rule asks for less than the
# recipe's, and still refuses random weights.
TINY = (
    "train.epochs=8",
    "evaluation.shots=[5]",
    "evaluation.seeds=[0, 1, 2, 3, 4]",
    "evaluation.learning_rates=[0.003]",
    "evaluation.steps=60",
    "gate.min_gain=-0.02",
)


@dataclass(frozen=True)
class Finished:
    """A run that ended: its outcome, and the last event of each component."""

    handle: str
    why: str
    run: str
    states: dict[str, runs.Event]

    def ran(self) -> set[str]:
        """The components that did not come from the cache."""
        return {node for node, event in self.states.items() if event.state == "done"}


@dataclass(frozen=True)
class World:
    """A working folder with a recipe of its own, and a way to run it."""

    workdir: Workdir
    recipe: Path
    run: Callable[..., Finished]


def write_foreign_repository(root: Path) -> Path:
    """The digits recipe in a repository whose own packages have the names of ours; returns the recipe's folder."""
    from pipelines.config import RECIPES

    for package in ("components", "pipelines", "piecehub"):
        (root / package).mkdir(parents=True)
        (root / package / "__init__.py").write_text("raise ImportError('the wrong package')\n")
    shutil.copytree(RECIPES / "digits", root / "recipe", ignore=shutil.ignore_patterns("__pycache__"))
    return root / "recipe"
