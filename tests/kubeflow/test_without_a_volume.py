"""A whole package without a volume: store, trials, checkpoints and code in a bucket, and pods that are killed."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest

from piecehub.conformance.sandbox import missing
from piecehub.training.recipe_modules import load_module
from pipelines.recipe.loader import RECIPES, load_recipe
from tests.kubeflow.cluster import Cluster, Ran
from tests.kubeflow.driver import Json
from tests.kubeflow.pods import Node
from tests.kubeflow.test_package_runs import World
from tests.pipelines.world import TINY, TWO_PIECES
from tests.s3_server import BUCKET, client_of, running_s3, told_to, upload

STORE = f"s3://{BUCKET}/shop"
TRAIN, EVALUATE = "FullModelTrainer", "FineTuneEvaluator"
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(missing()), reason=f"needs bubblewrap: {missing()}")]


@dataclass(frozen=True)
class Bucket:
    """A bucket, and what a package and its pods are told of it; the recipe lies in no image."""

    world: World
    endpoint: str
    recipe: Path

    def package(self, *settings: str, **changed: str) -> list[Json]:
        told = {"--store": STORE, "--store-secret": f"store:{','.join(told_to(self.endpoint))}"}
        told |= {"--code": f"s3://{BUCKET}/code", **changed}
        asks = [word for option in told.items() for word in option]
        return self.world.package(*TINY, *settings, recipe=str(self.recipe), asks=asks)

    def cluster(self, kills: Callable[[Sequence[str], int], bool] | None = None) -> Cluster:
        """That of the world; the working folder, which holds the examples, lies in the image."""
        secrets = {name: value.encode() for name, value in told_to(self.endpoint).items()}
        secrets = {**self.world.cluster.node.secrets, "store": secrets, "data": secrets}
        node = Node(image=[self.world.work.root], secrets=secrets, has_network=True, kills=kills)
        return replace(self.world.cluster, node=node)

    def keys(self, prefix: str) -> dict[str, datetime]:
        """When each object was written, by its key."""
        pages = client_of(self.endpoint).get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {entry["Key"]: entry["LastModified"] for page in pages for entry in page.get("Contents", [])}

    def kept(self, folder: str) -> dict[str, datetime]:
        """What pods keep, whole."""
        found = self.keys(f"shop/work/{folder}/")
        return {key: when for key, when in found.items() if key.endswith("/whole.json")}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    world = World(tmp_path_factory.mktemp("kubeflow"))
    shutil.copytree(RECIPES / "digits", world.root / "digits", ignore=shutil.ignore_patterns("__pycache__"))
    with running_s3() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in told_to(endpoint).items():
            patch.setenv(name, value)
        yield Bucket(world, endpoint, world.root / "digits")


@pytest.fixture(scope="module")
def at_death() -> dict[str, dict[str, datetime]]:
    """What was kept when a pod was killed, by its task."""
    return {}


@pytest.fixture(scope="module")
def ran(bucket: Bucket, at_death: dict[str, dict[str, datetime]]) -> Ran:
    """The trainer is killed once a checkpoint is kept, the evaluator once six trials are."""

    def kills(argv: Sequence[str], attempt: int) -> bool:
        command = " ".join(argv)
        for task, folder, enough in ((TRAIN, "training", 1), (EVALUATE, "trials", 6)):
            if attempt == 0 and f".{task}_Executor" in command and len(found := bucket.kept(folder)) >= enough:
                at_death[task] = found
                return True
        return False

    ran = bucket.cluster(kills).run(bucket.package())
    assert ran.failed == "", ran.logs()
    return ran


def test_it_publishes_a_signed_version_into_the_bucket(bucket, ran):
    found = json.loads((ran.output("HubPusher", "pushed_model") / "outcome.json").read_text(encoding="utf-8"))
    assert found["handle"] == "piecehub/digits/1"
    verified = bucket.world.verified(found["handle"], STORE)
    assert verified["signed"]["builder"] == "urn:piecehub:builder:kubeflow"
    assert not any("AWS_SECRET" in json.dumps(asked) for asked in ran.asked.values())
    # The recipe lay in no pod's image, and the working folder could only be read.
    assert not any(bucket.world.work.trials.glob("*/*")) and not any(bucket.world.work.training.glob("*"))


def test_only_the_pods_that_were_killed_have_a_second_one(ran):
    attempts = {task: [pod.returncode for pod in pods] for task, pods in ran.pods.items() if len(pods) > 1}
    assert attempts == {TRAIN: [-9, 0], EVALUATE: [-9, 0]}


def test_the_training_goes_on_at_its_checkpoint_and_keeps_none_once_it_has_ended(bucket, ran):
    went_on = re.search(r"Goes on at epoch (\d+), step", ran.pods[TRAIN][1].log)
    assert went_on and int(went_on[1]) > 1
    assert bucket.kept("training") == {}


def test_a_trial_that_was_kept_is_not_run_again(bucket, ran, at_death):
    before, after = at_death[EVALUATE], bucket.kept("trials")
    assert 6 <= len(before) < len(after)
    assert {key: after[key] for key in before} == before


def test_altered_code_and_a_missing_bucket_are_one_sentence_each(bucket, ran):
    package, elsewhere = bucket.package(), bucket.package(**{"--work": "s3://gone/work"})
    (archive,) = bucket.keys("code/")
    client_of(bucket.endpoint).put_object(Bucket=BUCKET, Key=archive, Body=b"other code")
    cluster = replace(bucket.cluster(), cached={})
    for asked, sentence in [
        (package, f"Expected the recipe's code at 's3://{BUCKET}/code/"),
        (elsewhere, "Expected to reach 's3://gone/work/trials'."),
    ]:
        failed = cluster.run(asked, only={TRAIN})
        assert failed.failed == TRAIN
        first, *retries = failed.pods[TRAIN]
        assert first.last_line.startswith(sentence)
        assert [retry.last_line for retry in retries] == [first.last_line] * 2
        assert all(retry.seconds < 3 for retry in retries)


def _write_two_tasks(bucket: Bucket, folder: Path) -> None:
    """The recipe's records into the bucket, the downstream task twice."""
    load_module(bucket.recipe, "data.py").write(folder, **load_recipe(bucket.recipe).config.data.arguments)
    shutil.copytree(folder / "digits-5-9", folder / "digits-again")
    upload(bucket.endpoint, folder, "records")


def test_two_pieces_shown_on_two_tasks_are_published_signed_into_the_bucket(bucket, tmp_path):
    _write_two_tasks(bucket, tmp_path / "records")
    own = (f'data.folder="s3://{BUCKET}/records"', 'data.module=""', "data.arguments={}")
    tasks = 'task=[{name="digits-5-9"}, {name="digits-again", role="report"}]'
    secret = {"--data-secret": f"data:{','.join(told_to(bucket.endpoint))}"}
    ran = replace(bucket.cluster(), cached={}).run(bucket.package(*own, tasks, TWO_PIECES, **secret))
    assert ran.failed == "", ran.logs()
    pushers = [task for task in ran.pods if task.startswith("HubPusher")]
    evaluators = [task for task in ran.pods if task.startswith("FineTuneEvaluator")]
    assert (len(pushers), len(evaluators)) == (2, 4)
    outcomes = [json.loads((ran.output(task, "pushed_model") / "outcome.json").read_text("utf-8")) for task in pushers]
    assert {told["handle"] for told in outcomes} == {"piecehub/digits/logits/1", "piecehub/digits/features/1"}
    for told in outcomes:
        assert bucket.world.verified(told["handle"], STORE)["signed"]["builder"] == "urn:piecehub:builder:kubeflow"
