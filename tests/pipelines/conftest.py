"""One tiny run of the whole pipeline, from records to store, that all end-to-end tests only read."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from piecehub.containers import code
from piecehub.facts import runs
from piecehub.facts.plan import read_plan
from piecehub.facts.workdir import Workdir
from tests.pipelines.world import TINY, Finished, World, write_foreign_repository


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A recipe outside this repository, run from inside its own; of each run the plan that it keeps foretold it."""
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
        finished = Finished(outcome.pieces, outcome.run, states)
        plan = read_plan(workdir, outcome.run)
        assert plan is not None
        assert {component.id for component in plan.components if component.state == "run"} == finished.ran()
        return finished

    return World(workdir, recipe, run)


@pytest.fixture(scope="session")
def first(world: World) -> Finished:
    """The first run: everything is computed."""
    return world.run()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of this checkout, whose code the digests are taken of."""
    copy = tmp_path / "checkout"
    for package in ("components", "piecehub"):
        shutil.copytree(code._PROJECT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    with monkeypatch.context() as patched:
        patched.setattr(code, "_PROJECT", copy)
        patched.setattr(code, "_FRONT_DOOR", copy / "piecehub" / "__init__.py")
        code.module_closure.cache_clear()
        yield copy
    code.module_closure.cache_clear()
