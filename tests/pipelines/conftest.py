"""One tiny run of the whole pipeline, from records to store, that all end-to-end tests only read."""

import contextlib
from pathlib import Path

import pytest

from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from tests.pipelines.world import TINY, Finished, World, write_foreign_repository


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A recipe outside this repository, run from inside its own."""
    pytest.importorskip("tfx")
    from pipelines import local_runner
    from pipelines.recipe.loader import load_recipe

    root = tmp_path_factory.mktemp("world")
    recipe, workdir = write_foreign_repository(root / "repository"), Workdir(root / "work")

    def run(*settings: str, signing_key: Path | None = None) -> Finished:
        with contextlib.chdir(root / "repository"):
            outcome = local_runner.run(load_recipe(str(recipe), [*TINY, *settings]), workdir, signing_key)
        record = runs.read_run(workdir, outcome.run)
        assert record is not None
        states = runs.node_states(record, runs.read_events(workdir, outcome.run))
        return Finished(outcome.pieces, outcome.run, states)

    return World(workdir, recipe, run)


@pytest.fixture(scope="session")
def first(world: World) -> Finished:
    """The first run: everything is computed."""
    return world.run()
