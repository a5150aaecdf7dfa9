"""The replay says what Kubeflow Pipelines 2.16.1's own driver and launcher said of a whole run, word for word.

Masked is what chance decides: the run's id, a task's uuid, ids in ML Metadata.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.kubeflow.driver import DriverFailed, Metadata, Run, local_path, pod_patch
from tests.kubeflow.launcher import argv

_HERE = Path(__file__).parent / "recorded"
RECORDED = json.loads((_HERE / "digits.json").read_text(encoding="utf-8"))
TASKS = list(RECORDED["tasks"])
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def run() -> Run:
    spec = yaml.safe_load((_HERE / "digits.yaml").read_text(encoding="utf-8"))
    return Run(spec, RECORDED["pipeline_root"], RECORDED["run_id"])


@pytest.fixture(scope="module")
def metadata(run: Run) -> Metadata:
    """What the launchers of the recorded run told ML Metadata."""
    known = Metadata()
    for task, recorded in RECORDED["tasks"].items():
        for key, listed in recorded["output_metadata"]["artifacts"].items():
            known.publish(task, key, listed["artifacts"][0]["uri"], listed["artifacts"][0]["metadata"])
    return known


def _masked(value: dict) -> dict:
    """Without what chance decides; the order of keys is kept, and compared."""
    masked = json.loads(_UUID.sub("UUID", json.dumps(value)))
    for listed in masked["inputs"].get("artifacts", {}).values():
        for artifact in listed["artifacts"]:
            assert artifact["name"].isdecimal()
            artifact["name"] = "ID"
    return masked


def _parsed(arguments: list[str]) -> list:
    at = arguments.index("--json_serialized_invocation_args") + 1
    return [*arguments[:at], json.dumps(_masked(json.loads(arguments[at]))), *arguments[at + 1 :]]


@pytest.mark.parametrize("task", TASKS)
def test_the_driver_is_started_with_the_same_component_task_and_container(run, task):
    assert json.dumps(run.arguments(task)) == json.dumps(RECORDED["tasks"][task]["driver"])


@pytest.mark.parametrize("task", TASKS)
def test_the_driver_tells_the_launcher_the_same_text(run, metadata, task):
    recorded = json.loads(RECORDED["tasks"][task]["executor_input"])
    replayed = run.executor_input(task, metadata, "01234567-89ab-cdef-0123-456789abcdef")
    assert json.dumps(_masked(replayed)) == json.dumps(_masked(recorded))


@pytest.mark.parametrize("task", TASKS)
def test_the_launcher_starts_the_container_with_the_same_arguments(run, task):
    """From the recorded executor input, so nothing at all is masked."""
    recorded = RECORDED["tasks"][task]
    replayed = argv(run.container(task), json.loads(recorded["executor_input"]), attempt=0)
    assert replayed == recorded["container_argv"]


@pytest.mark.parametrize("task", TASKS)
def test_from_package_to_argv_nothing_differs(run, metadata, task):
    asked = run.executor_input(task, metadata, "01234567-89ab-cdef-0123-456789abcdef")
    replayed = argv(run.container(task), asked, attempt=0)
    assert _parsed(replayed) == _parsed(RECORDED["tasks"][task]["container_argv"])


def test_tasks_run_in_an_order_that_the_recorded_run_could_have_had(run):
    order = run.order()
    assert sorted(order) == sorted(TASKS)
    for task, body in run.tasks.items():
        assert all(order.index(before) < order.index(task) for before in body.get("dependentTasks", []))


def test_c2_one_artifact_under_two_names_fails_in_the_driver(run, metadata):
    spec = json.loads(json.dumps(run.spec))
    read = spec["root"]["dag"]["tasks"]["FineTuneEvaluator"]["inputs"]["artifacts"]
    read["upstream_schema"] = read["schema"]
    with pytest.raises(DriverFailed, match="ALREADY_EXISTS"):
        Run(spec, run.root, run.run_id).executor_input("FineTuneEvaluator", metadata, "0")


@pytest.mark.parametrize(
    ("fact", "comes_back"),
    [
        (0.8121547102928162, "0.812155"),
        (67720.0, "67720"),
        (1e-7, "0"),
        (-0.0, "0"),
        (2**53 + 1, "9007199254740990"),
        ({"eval": 1.0}, '{"struct": {"eval": 1}}'),
        (True, "1"),
        ("", '""'),
    ],
)
def test_facts_come_back_from_ml_metadata_as_they_did(fact, comes_back):
    """Those of the recorded rules 8 and 9, seen with a package made by hand."""
    known = Metadata()
    known.publish("Make", "out", "minio://b/k", {"fact": fact})
    assert json.dumps(known.made["Make"]["out"].facts["fact"]) == comes_back


def test_the_pod_is_patched_as_the_platform_document_asks():
    """Of a package with one, in another run."""
    recorded = json.loads((_HERE / "pod.json").read_text(encoding="utf-8"))
    patch, (container,) = pod_patch(recorded["executor"]), recorded["patch"]["containers"]
    assert patch["container"]["volumeMounts"] == container["volumeMounts"]
    assert patch["volumes"] == recorded["patch"]["volumes"]


def test_a_fact_that_is_null_fails():
    with pytest.raises(DriverFailed, match="null"):
        Metadata().publish("Make", "out", "minio://b/k", {"fact": None})


@pytest.mark.parametrize(
    ("uri", "path"),
    [("s3://b/k", "/s3/b/k"), ("gs://b/k", "/gcs/b/k"), ("minio://b/k", "/minio/b/k"), ("/mnt/k", "")],
)
def test_the_launcher_brings_a_uri_to_its_folder(uri, path):
    assert local_path(uri) == path
