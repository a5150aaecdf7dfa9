"""Whole packages through the replay: every task in a pod of its own, started by the compiled command alone."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from piecehub.conformance.sandbox import missing
from piecehub.facts.workdir import Workdir
from piecehub.signing.keys import new_key
from tests.kubeflow.cluster import Cluster, Ran, documents
from tests.kubeflow.driver import Json
from tests.kubeflow.pods import Node
from tests.pipelines.world import TINY
from tests.s3_server import BUCKET, KEY, REGION, SECRET, running_s3

IMAGE = "registry.example/piecehub:0.1.0"
# What makes data, or sees the store.
ALWAYS = {"ExampleWriter", "IncumbentResolver", "PublishGate", "DocumentationWriter", "HubPusher"}
CHECK = "SubmissionCheck"  # runs where recipe or submission are others
LIGHT_CPU_S = 3.0  # a light start takes under 2 s on a quiet machine
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(missing()), reason=f"needs bubblewrap: {missing()}")]


class World:
    """A volume with a working folder, a secret with a signing key, a cluster, and packages compiled in that folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.work = root, Workdir(root / "work")
        new_key(root / "key.pem")
        node = Node(claims={"work": self.work.root}, secrets={"signing": {"key.pem": (root / "key.pem").read_bytes()}})
        self.cluster = Cluster(root / "cluster", node)

    def package(self, *settings: str, recipe: str = "digits", asks: Sequence[str] = ("--volume", "work")) -> list[Json]:
        command = [sys.executable, "-P", "-m", "piecehub.cli", "kubeflow", "compile", recipe, "--image", IMAGE]
        command += ["--workdir", str(self.work.root), "-o", str(self.root / "package.yaml")]
        command += [*asks, "--signing-secret", "signing"]
        command += [word for setting in settings for word in ("--set", setting)]
        subprocess.run(command, check=True)
        return documents(self.root / "package.yaml")

    def verified(self, handle: str, store: str = "") -> dict:
        command = [sys.executable, "-P", "-m", "piecehub.cli", "verify", handle, "--json"]
        command += ["--store", store] if store else ["--workdir", str(self.work.root)]
        command += ["--key", str(self.root / "key.pem.pub")]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("kubeflow"))


@pytest.fixture(scope="module")
def tiny(world: World) -> Ran:
    return world.cluster.run(world.package(*TINY))


def _outcome(ran: Ran, task: str = "HubPusher") -> dict:
    return json.loads((ran.output(task, "pushed_model") / "outcome.json").read_text(encoding="utf-8"))


def test_every_task_succeeds_in_its_first_pod(tiny):
    assert tiny.failed == "", tiny.logs()
    assert tiny.pods.keys() == tiny.run.tasks.keys()
    assert all(len(attempts) == 1 for attempts in tiny.pods.values())


def test_what_was_published_is_signed_and_verifies(world, tiny):
    outcome = _outcome(tiny)
    assert (outcome["pushed"], outcome["handle"]) == (True, "piecehub/digits/1")
    assert world.verified(outcome["handle"])["signed"]["builder"] == "urn:piecehub:builder:kubeflow"


def test_what_needs_no_tfx_starts_light(tiny):
    for task in ("ImportSchemaGen", "IncumbentResolver", "PublishGate", "DocumentationWriter", "HubPusher"):
        (pod,) = tiny.pods[task]
        assert pod.cpu_s < LIGHT_CPU_S, task


def test_the_same_package_again_comes_from_the_cache_and_publishes_nothing_new(world, tiny):
    again = world.cluster.run([tiny.run.spec, tiny.run.platform])
    assert again.failed == "", again.logs()
    # The incumbent is another one now: what it is judged against is computed again.
    assert again.pods.keys() == ALWAYS
    assert _outcome(again)["why"] == "The same content was published before."


def test_other_code_in_the_image_than_in_the_package_is_told_once_and_repeated(world, tiny):
    spec = json.loads(json.dumps(tiny.run.spec))
    task = spec["root"]["dag"]["tasks"]["FullModelTrainer"]
    task["inputs"]["parameters"]["code_digest"]["runtimeValue"]["constant"] = "sha256:other"
    ran = world.cluster.run([spec, tiny.run.platform])
    assert ran.failed == "FullModelTrainer"
    first, *retries = ran.pods["FullModelTrainer"]
    assert first.last_line.startswith("Expected the code of FullModelTrainer that the pipeline was compiled with.")
    assert len(retries) == 2
    for retry in retries:
        assert retry.log == f"{first.last_line}\n"
        assert retry.seconds < 3


def test_a_gate_that_refuses_publishes_nothing_and_says_why(world, tiny):
    ran = world.cluster.run(world.package(*TINY, "gate.min_gain=0.9"))
    assert ran.failed == "", ran.logs()
    assert ran.pods.keys() == {*ALWAYS, CHECK}
    assert not _outcome(ran)["pushed"]
    assert "0.9" in _outcome(ran)["why"] or "90" in _outcome(ran)["why"]


def test_an_edit_of_the_page_trains_and_measures_nothing(world, tiny):
    ran = world.cluster.run(world.package(*TINY, 'documentation.limitations="It has seen five digits, edited."'))
    assert ran.failed == "", ran.logs()
    assert ran.pods.keys() == {*ALWAYS, CHECK, "ReusabilityValidator"}


def test_the_evidence_of_several_tasks_comes_to_the_gate(world, tiny):
    """Twice the same task by another name, read from a folder on the volume."""
    examples, written = world.work.root / "own", world.cluster.metadata.values["ExampleWriter"]
    for part, name in (("upstream", "upstream"), ("digits-5-9", "digits-5-9"), ("digits-5-9", "digits-again")):
        shutil.copytree(written[f"{part}-folder"], examples / name)
    own = (f'data.folder="{examples}"', 'data.module=""', "data.arguments={}")
    tasks = 'task=[{name="digits-5-9"}, {name="digits-again", role="report"}]'
    ran = world.cluster.run(world.package(*TINY, *own, tasks))
    assert ran.failed == "", ran.logs()
    assert len(ran.pods["FineTuneEvaluatorDigitsAgain"]) == 1
    page = (ran.output("DocumentationWriter", "documentation") / "documentation.md").read_text("utf-8")
    assert "digits-5-9" in page
    assert "digits-again" in page
    told = json.loads((ran.output("PublishGate", "blessing") / "provenance.json").read_text("utf-8"))
    assert len(told["statement"]["inputs"]["evidence"]) == 2


def test_digits_at_its_full_size_publishes_what_it_states(world):
    # By a name of its own: what few trials measured is no incumbent that it can be compared with.
    ran = world.cluster.run(world.package('piece.name="digits/full"'))
    assert ran.failed == "", ran.logs()
    assert _outcome(ran)["pushed"], _outcome(ran)["why"]
    assert world.verified(_outcome(ran)["handle"])["signed"]
    evidence = json.loads((ran.output("FineTuneEvaluator", "evidence") / "evidence.json").read_text("utf-8"))
    gain = next(c for c in evidence["contrasts"] if c["reference"] == "from_scratch" and c["shots"] == "curve")
    assert 0.015 <= gain["estimate"] <= 0.045


def test_without_a_volume_the_pusher_publishes_straight_into_a_bucket(world, tiny, monkeypatch):
    """The working folder lies in the image; trials lie in the bucket. What comes before is of the run above."""
    with running_s3() as endpoint:
        told = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
        told |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}
        store = f"s3://{BUCKET}/shop"
        asks = ("--store", store, "--store-secret", f"store:{','.join(told)}")
        package = world.package(*TINY, asks=asks)
        secrets = {**world.cluster.node.secrets, "store": {name: value.encode() for name, value in told.items()}}
        node = Node(image=[world.work.root], secrets=secrets, has_network=True)
        cluster = replace(world.cluster, node=node, cached={})
        judged = {CHECK, "FineTuneEvaluator", "IncumbentResolver", "PublishGate", "DocumentationWriter", "HubPusher"}
        ran = cluster.run(package, only=judged)
        assert ran.failed == "", ran.logs()
        assert _outcome(ran)["handle"] == "piecehub/digits/1"
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        assert world.verified("piecehub/digits/1", store)["signed"]["builder"] == "urn:piecehub:builder:kubeflow"
    assert not any("AWS_SECRET" in json.dumps(asked) for asked in ran.asked.values())
