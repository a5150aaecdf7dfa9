"""A recipe of each kind of feature, by the command as a process: pictures, ragged, sparse, bytes, and missing ones."""

from pathlib import Path

import pytest

from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from piecehub.training.full_model import read_facts
from tests.command_line import piecehub
from tests.pipelines.world import TINY

RECIPE = Path(__file__).with_name("kinds_recipe")


def _run(workdir: Path, *settings: str) -> dict[str, runs.Event]:
    words = [word for setting in settings for word in ("--set", setting)]
    ended = piecehub("run", str(RECIPE), "--workdir", str(workdir), *words)
    assert ended.returncode in (0, 4), ended.stderr  # noise need not be blessed against what was published before
    return _newest(workdir)


def _newest(workdir: Path) -> dict[str, runs.Event]:
    places = Workdir(workdir)
    record = runs.read_run(places, runs.run_ids(places)[0])
    assert record
    return runs.node_states(record, runs.read_events(places, record.run))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all runs here."""
    pytest.importorskip("tfx")
    return tmp_path_factory.mktemp("kinds") / "work"


def test_every_kind_of_feature_runs_from_records_to_the_store(workdir: Path) -> None:
    states = _run(workdir, "train.augment=augment")
    assert {event.state for event in states.values()} == {"done"}
    shown = piecehub("store", "show", "piecehub/kinds/1", "--workdir", str(workdir))
    assert shown.returncode == 0
    checked = piecehub("check", "piecehub/kinds/1", "--workdir", str(workdir))
    assert "reusable" in checked.stdout, checked.stdout + checked.stderr


def test_a_recipe_trains_by_a_function_of_its_own(workdir: Path) -> None:
    states = _run(workdir, "train.fit=own_fit")
    assert states["FullModelTrainer"].state == "done"
    assert states["UpstreamExamples"].state == "cached"
    facts = read_facts(Path(states["FullModelTrainer"].outputs["full_model"]))
    assert len(facts["history"]["loss"]) == 2
    assert facts["history"]["loss"][1] < facts["history"]["loss"][0]
    assert 0 < facts["evaluation"]["accuracy"] <= 1


@pytest.mark.long
def test_two_replicas_take_no_sparse_feature_and_say_so(workdir: Path) -> None:
    ended = piecehub("run", str(RECIPE), "--workdir", str(workdir), "--devices", "cpu:2")
    assert ended.returncode == 1
    assert "Expected one device for a sparse feature" in ended.stderr
    assert "Received: 2, and the feature 'bag'" in ended.stderr


@pytest.mark.long
def test_two_replicas_train_a_recipe(tmp_path: Path) -> None:
    words = [word for setting in TINY for word in ("--set", setting)]
    ended = piecehub("run", "digits", "--workdir", str(tmp_path), "--devices", "cpu:2", *words)
    assert ended.returncode in (0, 4), ended.stderr
    states = _newest(tmp_path)
    assert read_facts(Path(states["FullModelTrainer"].outputs["full_model"]))["devices"]["replicas"] == 2


@pytest.mark.long
def test_a_beam_runner_gives_the_same_examples_so_all_else_comes_from_the_cache(workdir: Path, tmp_path: Path) -> None:
    first = _run(workdir, "train.augment=augment")
    ended = piecehub(
        "run", str(RECIPE), "--workdir", str(tmp_path / "work"), "--set", "train.augment=augment",
        "--beam-arg=--runner=FnApiRunner",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    states = _newest(tmp_path / "work")
    for name in ("UpstreamExamples", "DownstreamExamples"):
        one, other = (Path(found[name].outputs["examples"], "examples.json") for found in (first, states))
        assert one.read_bytes() == other.read_bytes()
