"""Whole packages through the replay: every task in a pod of its own, started by the compiled command alone."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest

from piecehub.conformance.sandbox import missing
from piecehub.facts.content import list_files
from piecehub.facts.workdir import Workdir
from piecehub.signing.keys import new_key
from pipelines.recipe.loader import RECIPES
from tests.kubeflow.cluster import Cluster, Ran, documents
from tests.kubeflow.driver import Json
from tests.kubeflow.pods import Node
from tests.pipelines.world import TINY
from tests.s3_server import BUCKET, client_of, running_s3, told_to

IMAGE = "registry.example/piecehub:0.1.0"
# What makes data, or sees the store.
ALWAYS = {"ExampleWriter", "IncumbentResolver", "PublishGate", "DocumentationWriter", "HubPusher"}
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
    assert ran.pods.keys() == ALWAYS
    assert not _outcome(ran)["pushed"]
    assert "0.9" in _outcome(ran)["why"] or "90" in _outcome(ran)["why"]


def test_an_edit_of_the_page_trains_and_measures_nothing(world, tiny):
    ran = world.cluster.run(world.package(*TINY, 'documentation.limitations="It has seen five digits, edited."'))
    assert ran.failed == "", ran.logs()
    reads_it = {"ReusabilityValidator", "DocumentationWriter"}
    assert ran.pods.keys() == reads_it | {"IncumbentResolver", "PublishGate", "HubPusher"}


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
    ran = world.cluster.run(world.package())
    assert ran.failed == "", ran.logs()
    assert _outcome(ran)["pushed"], _outcome(ran)["why"]
    assert world.verified(_outcome(ran)["handle"])["signed"]
    evidence = json.loads((ran.output("FineTuneEvaluator", "evidence") / "evidence.json").read_text("utf-8"))
    gain = next(c for c in evidence["contrasts"] if c["reference"] == "from_scratch" and c["shots"] == "curve")
    assert 0.015 <= gain["estimate"] <= 0.045


@dataclass(frozen=True)
class Bucket:
    """A bucket, and what a package and its pods are told of it; the recipe is none that lies in the image."""

    world: World
    endpoint: str
    recipe: Path

    @property
    def store(self) -> str:
        return f"s3://{BUCKET}/shop"

    def package(self, *settings: str, **changed: str) -> list[Json]:
        told = {"--store": self.store, "--store-secret": f"store:{','.join(told_to(self.endpoint))}"}
        told |= {"--code": f"s3://{BUCKET}/code", **changed}
        return self.world.package(
            *settings, recipe=str(self.recipe), asks=[word for two in told.items() for word in two]
        )

    def cluster(self, kills: Callable[[Sequence[str], int], bool] | None = None, **changed: str) -> Cluster:
        """That of the world, with no volume; what was made before lies in it, and nothing in its cache."""
        told = {name: value.encode() for name, value in (told_to(self.endpoint) | changed).items()}
        secrets = {**self.world.cluster.node.secrets, "store": told}
        node = Node(image=[self.world.work.root], secrets=secrets, has_network=True, kills=kills)
        return replace(self.world.cluster, node=node, cached={})

    def keys(self, prefix: str) -> dict[str, datetime]:
        """When each object was written, by its key."""
        pages = client_of(self.endpoint).get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {entry["Key"]: entry["LastModified"] for page in pages for entry in page.get("Contents", [])}

    def kept(self, folder: str) -> dict[str, datetime]:
        """What pods keep, whole."""
        found = self.keys(f"shop/work/{folder}/")
        return {key: when for key, when in found.items() if key.endswith("/whole.json")}


@pytest.fixture(scope="module")
def bucket(world: World) -> Iterator[Bucket]:
    recipe = world.root / "digits"
    shutil.copytree(RECIPES / "digits", recipe, ignore=shutil.ignore_patterns("__pycache__"))
    with running_s3() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in told_to(endpoint).items():
            patch.setenv(name, value)
        yield Bucket(world, endpoint, recipe)


def test_without_a_volume_the_pusher_publishes_straight_into_a_bucket(world, tiny, bucket):
    """The working folder lies in the image; trials and code in the bucket. What comes before is of the run above."""
    judged = {"FineTuneEvaluator", "IncumbentResolver", "PublishGate", "DocumentationWriter", "HubPusher"}
    ran = bucket.cluster().run(bucket.package(*TINY), only=judged)
    assert ran.failed == "", ran.logs()
    assert _outcome(ran)["handle"] == "piecehub/digits/1"
    assert world.verified("piecehub/digits/1", bucket.store)["signed"]["builder"] == "urn:piecehub:builder:kubeflow"
    assert not any("AWS_SECRET" in json.dumps(asked) for asked in ran.asked.values())


def test_pods_that_are_killed_are_followed_by_ones_with_empty_disks_that_go_on(tiny, bucket):
    """The trainer once a checkpoint is kept, the evaluator once six trials are."""
    before, at_death = bucket.kept("trials"), dict[str, datetime]()

    def kills(argv: Sequence[str], attempt: int) -> bool:
        folder, enough = ("training", 1) if any("FullModelTrainer" in word for word in argv) else ("trials", 6)
        found = {key: when for key, when in bucket.kept(folder).items() if key not in before}
        if attempt == 0 and len(found) >= enough:
            at_death.update(found)
            return True
        return False

    # Another number of steps, so that its trials were never run.
    settings = [setting for setting in TINY if "steps" not in setting]
    package = bucket.package(*settings, "evaluation.steps=61")
    ran = bucket.cluster(kills).run(package, only={"FullModelTrainer", "FineTuneEvaluator"})
    assert ran.failed == "", ran.logs()
    for task in ("FullModelTrainer", "FineTuneEvaluator"):
        killed, last = ran.pods[task]
        assert (killed.returncode, last.returncode) == (-9, 0), task
    went_on = re.search(r"Goes on at epoch (\d+), step", ran.pods["FullModelTrainer"][1].log)
    assert went_on and int(went_on[1]) > 1
    # Code in an archive is code at another place, which is no part of what is made.
    assert list_files(ran.output("FullModelTrainer", "full_model")) == list_files(
        tiny.output("FullModelTrainer", "full_model")
    )
    assert bucket.kept("training") == {}, "a training that has ended keeps no checkpoint"
    trials = {key: when for key, when in at_death.items() if "/trials/" in key}
    after = bucket.kept("trials")
    assert len(trials) >= 6 and len(after.keys() - before.keys()) > len(trials)
    assert {key: after[key] for key in trials} == trials, "a trial that was kept is not run again"


def test_altered_code_and_a_missing_bucket_are_one_sentence_each(bucket):
    package = bucket.package(*TINY)
    (archive,) = bucket.keys("code/")
    client_of(bucket.endpoint).put_object(Bucket=BUCKET, Key=archive, Body=b"other code")
    for asked, sentence in [
        (package, "Expected the recipe's code at 's3://bucket/code/"),
        (bucket.package(*TINY, **{"--work": "s3://gone/work"}), "Expected to reach 's3://gone/work/trials'."),
    ]:
        ran = bucket.cluster().run(asked, only={"FullModelTrainer"})
        assert ran.failed == "FullModelTrainer"
        first, *retries = ran.pods["FullModelTrainer"]
        assert first.last_line.startswith(sentence)
        assert [retry.last_line for retry in retries] == [first.last_line] * 2
        assert all(retry.seconds < 3 for retry in retries)
