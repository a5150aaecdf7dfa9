"""A run that the server accepts, executed by the replay with what was submitted: the parameters reach the training."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from piecehub.cli.main import cli
from tests.kubeflow.api import Kfp
from tests.kubeflow.cluster import Ran, needed
from tests.kubeflow.server import Served, serving
from tests.kubeflow.test_package_runs import World, pytestmark
from tests.pipelines.world import TINY

pytestmark = pytestmark
TRAINER, CHECK = "FullModelTrainer", "SubmissionCheck"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("submitted"))


def _submitted(world: World, *words: str) -> Ran:
    """Compiles, runs by command on a server, and executes what the server then holds, up to the training."""
    world.package(*TINY, 'kubeflow.parameters=["train.epochs"]')
    package: Path = world.root / "package.yaml"
    with serving(Served(Kfp())) as served:
        done = CliRunner().invoke(cli, ["kubeflow", "run", str(package), "--host", served.url, *words])
        assert done.exit_code == 0, done.output
        (run,) = served.state.runs.values()
        documents = served.state.packages[run["pipeline_version_reference"]["pipeline_version_id"]]
    given = run["runtime_config"]["parameters"]
    return world.cluster.run(documents, given, only=needed(documents[0], TRAINER))


def test_the_parameters_of_a_submission_reach_the_training_and_its_provenance(world):
    ran = _submitted(world, "-p", "epochs=2")
    assert ran.failed == "", ran.logs()
    told = json.loads((ran.output(TRAINER, "full_model") / "provenance.json").read_text(encoding="utf-8"))
    assert json.loads(told["statement"]["parameters"]["train"])["epochs"] == 2
    assert not any(key.startswith("recipe--") for key in told["statement"]["parameters"])


def test_a_value_that_the_recipe_refuses_is_the_last_line_of_the_check_and_nothing_else_is_run(world):
    ran = _submitted(world, "-p", "epochs=-1")
    assert (ran.failed, len(ran.pods[CHECK])) == (CHECK, 1)
    assert ran.pods[CHECK][0].last_line.startswith("Expected a number greater than or equal to 0 for 'train.epochs'")
