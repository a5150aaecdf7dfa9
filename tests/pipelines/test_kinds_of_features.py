"""A recipe of each kind of feature, by the command as a process: pictures, ragged, sparse, bytes, and missing ones."""

import shutil
from pathlib import Path

import pytest

from piecehub.examples import ingest
from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from piecehub.training.full_model import read_facts
from piecehub.transfer.evidence import FACTS
from tests.command_line import ROOT, piecehub
from tests.pipelines.world import TINY

RECIPE = Path(__file__).with_name("kinds_recipe")
EVALUATORS = ("FineTuneEvaluatorKindsOne", "FineTuneEvaluatorKindsTwo")
# In every process of a run: a line in a file for each record whose key is computed, of which a split's digest is made.
COUNTING = """
import os, sys
from importlib.machinery import PathFinder

class Counting:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "piecehub.examples.canonical":
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        def counted(module):
            execute(module)
            key = module.key
            def key_of(record):
                with open(os.environ["COUNTED_KEYS"], "a") as file:
                    file.write(key(record).hex() + chr(10))
                return key(record)
            module.key = key_of
        spec.loader.exec_module = counted
        return spec

sys.meta_path.insert(0, Counting)
"""


def _run(workdir: Path, *settings: str, **variables: str) -> dict[str, runs.Event]:
    words = [word for setting in settings for word in ("--set", setting)]
    ended = piecehub("run", str(RECIPE), "--workdir", str(workdir), *words, **variables)
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


@pytest.fixture(scope="module")
def counted(workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, runs.Event], list[str]]:
    """A run of two pieces by a `fit` of the recipe's own, and the keys of records that its processes computed."""
    folder = tmp_path_factory.mktemp("counted")
    (folder / "sitecustomize.py").write_text(COUNTING, encoding="utf-8")
    counting = {"PYTHONPATH": f"{folder}:{ROOT}", "COUNTED_KEYS": str(folder / "keys")}
    two = 'piece=[{name="kinds/one", road="core"}, {name="kinds/two", road="core"}]'
    states = _run(workdir, two, "train.fit=own_fit", "train.augment=augment", **counting)
    return states, (folder / "keys").read_text().splitlines()


def test_every_kind_of_feature_runs_from_records_to_the_store(
    workdir: Path, counted: tuple[dict[str, runs.Event], list[str]]
) -> None:
    assert {event.state for event in counted[0].values()} == {"done"}
    for handle in ("piecehub/kinds/one/1", "piecehub/kinds/two/1"):
        assert piecehub("store", "show", handle, "--workdir", str(workdir)).returncode == 0
    checked = piecehub("check", handle, "--workdir", str(workdir))
    assert "reusable" in checked.stdout, checked.stdout + checked.stderr


def test_a_recipe_trains_by_a_function_of_its_own(counted: tuple[dict[str, runs.Event], list[str]]) -> None:
    states, _ = counted
    assert states["FullModelTrainer"].state == "done"
    facts = read_facts(Path(states["FullModelTrainer"].outputs["full_model"]))
    assert len(facts["history"]["loss"]) == 2
    assert facts["history"]["loss"][1] < facts["history"]["loss"][0]
    assert 0 < facts["evaluation"]["accuracy"] <= 1


def test_a_record_is_read_once_for_its_digest_whoever_needs_it(
    counted: tuple[dict[str, runs.Event], list[str]],
) -> None:
    """Upstream is read by a trainer and by the evaluators of two pieces, the task by both evaluators."""
    states, keys = counted
    assert [states[name].state for name in ("FullModelTrainer", *EVALUATORS)] == ["done"] * 3
    folders = [states[name].outputs["examples"] for name in ("UpstreamExamples", "DownstreamExamples")]
    records = sum(facts.records for folder in folders for facts in ingest.read_facts(folder).values())
    assert records == 4 * 90
    assert len(keys) == records


@pytest.mark.long
@pytest.mark.parametrize("kind", ["jpeg", "tokens", "bag", "raw", "age"])
def test_each_kind_of_feature_runs_by_itself(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("tfx")
    recipe = shutil.copytree(RECIPE, tmp_path / "recipe")
    schema, wanted = recipe / "schema.pbtxt", {kind, "label", *(("at", "weight") if kind == "bag" else ())}
    told = [line for line in schema.read_text().splitlines() if line.split('"')[1] in wanted]
    schema.write_text("\n".join(told))
    options = (f'data.arguments.kinds=["{kind}"]', f'model.arguments.kinds=["{kind}"]', "gate.min_gain=-1.0")
    words = [word for setting in options for word in ("--set", setting)]
    ended = piecehub("run", str(recipe), "--workdir", str(tmp_path / "work"), *words)
    assert ended.returncode == 0, ended.stderr
    assert {event.state for event in _newest(tmp_path / "work").values()} == {"done"}
    checked = piecehub("check", "piecehub/kinds/1", "--workdir", str(tmp_path / "work"))
    assert "reusable" in checked.stdout, checked.stdout + checked.stderr


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
def test_a_beam_runner_gives_the_same_examples_and_evidence(workdir: Path, tmp_path: Path) -> None:
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
    one, other = (Path(found["FineTuneEvaluator"].outputs["evidence"], FACTS) for found in (first, states))
    assert one.read_bytes() == other.read_bytes()
    told = next((tmp_path / "work" / "logs").glob("*/events.jsonl")).read_text(encoding="utf-8")
    assert "running trials on Beam" in told
