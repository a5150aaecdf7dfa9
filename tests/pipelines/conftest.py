"""One tiny run of the whole pipeline, from records to store, that all end-to-end tests only read."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from piecehub import runs
from piecehub.workdir import Workdir

# Small enough for a test, large enough that pretraining still pays.
TINY = ("train.epochs=4", "evaluation.shots=[5, 10]", "evaluation.learning_rates=[0.003]", "evaluation.steps=60")


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


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A recipe outside this repository, run from inside its own."""
    pytest.importorskip("tfx")
    from pipelines import local_runner
    from pipelines.config import load_recipe

    root = tmp_path_factory.mktemp("world")
    recipe, workdir = write_foreign_repository(root / "repository"), Workdir(root / "work")

    def run(*settings: str) -> Finished:
        outcome = local_runner.run(load_recipe(str(recipe), [*TINY, *settings]), workdir)
        record = runs.read_run(workdir, outcome.run)
        assert record is not None
        return Finished(
            outcome.handle, outcome.why, outcome.run, runs.node_states(record, runs.read_events(workdir, outcome.run))
        )

    before = Path.cwd()
    os.chdir(root / "repository")
    try:
        yield World(workdir, recipe, run)
    finally:
        os.chdir(before)


@pytest.fixture(scope="session")
def first(world: World) -> Finished:
    """The first run: everything is computed."""
    return world.run()
