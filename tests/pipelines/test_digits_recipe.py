"""The shipped recipe at its full size: what it states is what comes out, wherever it runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from piecehub.facts.workdir import Workdir
from tests.command_line import ROOT, piecehub

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders in which `piecehub run digits` ran, each with empty caches and in a process of its own."""
    pytest.importorskip("tfx")
    made = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    for folder in made:
        done = piecehub("run", "digits", cwd=folder)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "published piecehub/digits/1" in done.stdout
    return made


def _models(folder: Path) -> list[dict[str, str]]:
    return json.loads(piecehub("models", "--json", cwd=folder).stdout)


def test_two_runs_with_empty_caches_publish_the_same_content(folders: list[Path]) -> None:
    (one,), (other,) = map(_models, folders)
    assert one["name"] == other["name"] == "piecehub/digits/1"
    assert one["digest"] == other["digest"]


def test_pretraining_pays_what_the_recipe_states(folders: list[Path]) -> None:
    (path,) = folders[0].glob(".piecehub/artifacts/digits/FineTuneEvaluator/evidence/*/evidence.json")
    contrasts = json.loads(path.read_text("utf-8"))["contrasts"]
    gain = next(c for c in contrasts if c["reference"] == "from_scratch" and c["shots"] == "curve")
    assert gain["low"] > 0.005
    assert 0.015 <= gain["estimate"] <= 0.045
    assert gain["seeds"] >= 5


def test_random_weights_exit_4_and_change_nothing(folders: list[Path]) -> None:
    before = _models(folders[0])
    done = piecehub("run", "digits", "--set", "train.epochs=0", cwd=folders[0])
    assert done.returncode == 4
    assert "not published: Expected a gain over from scratch" in done.stdout
    assert _models(folders[0]) == before


def test_a_dry_run_foretells_what_the_run_takes_by_a_factor_of_one_and_a_half(tmp_path: Path) -> None:
    pytest.importorskip("tfx")
    from pipelines.cost import dry_run
    from pipelines.cost.processes import looked_at
    from pipelines.cost.rehearsal import allocated
    from pipelines.cost.stopwatch import children_s
    from pipelines.recipe.loader import load_recipe

    told = dry_run.estimate(load_recipe("digits"), (), Workdir(tmp_path / "work"))
    assert not (tmp_path / "work").exists()
    command = [sys.executable, "-P", "-m", "piecehub.cli", "run", "digits", "--workdir", str(tmp_path / "work")]
    before = children_s()
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
    with looked_at(process.pid) as looks:
        assert process.wait() == 0
    took = {
        "processors": (told.cpu_s, children_s() - before),
        "memory": (told.memory_bytes, max(look.dirty_bytes for look in looks)),
        "disk": (told.disk_bytes, allocated(tmp_path / "work")),
    }
    ratios = {what: estimated / was for what, (estimated, was) in took.items()}
    assert all(1 / 1.5 < ratio < 1.5 for ratio in ratios.values()), ratios
