"""The shipped recipe at its full size: what it states is what comes out, wherever it runs."""

import json
from pathlib import Path

import pytest

from tests.command_line import piecehub

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
    assert gain["low"] > 0
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
    from tests.pipelines.foretold import told_over_taken

    ratios = told_over_taken("digits", tmp_path / "work", 0)
    assert all(1 / 1.5 < ratio < 1.5 for ratio in ratios.values()), ratios
