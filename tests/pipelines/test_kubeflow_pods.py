"""What a recipe's `[kubeflow]` asks of a cluster, in its package: held to the form of kfp-kubernetes 2.16.1.

`recorded/executor_config.json` has the fields of its messages, taken from the descriptors of its protobuf.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from piecehub.errors import RecipeError
from pipelines.kubeflow_platform import OnCluster
from pipelines.kubeflow_pods import ask_of_containers, ask_of_pods
from pipelines.recipe.kubeflow_table import OnKubeflow
from pipelines.recipe.loader import load_recipe

_PUSHER = "components.hub_pusher.HubPusher_Executor"
_GATE = "components.publish_gate.PublishGate_Executor"
TRAINER = "components.full_model_trainer.FullModelTrainer_Executor"
EXPORTER = "components.piece_exporter.PieceExporter_Executor"
ALL = OnKubeflow(
    cpu="2",
    memory="8Gi",
    gpus=1,
    environment={"TF_CPP_MIN_LOG_LEVEL": "2"},
    secrets={"hub": ("HUB_TOKEN",)},
    secret_files={"certificates": "/etc/ours"},
    scratch="20Gi",
    deadline_s=7200,
    node_selector={"pool": "big"},
    tolerations=({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}, {"key": "team", "value": "ours"}),
    pull_secret="registry",
    labels={"team": "ours"},
)


def _executor(path: str) -> dict:
    return {"container": {"image": "i:1", "args": ["--executor_class_path", path]}}


def _asked(asked: OnKubeflow, cluster: OnCluster | None = None) -> tuple[dict, dict]:
    """The containers and the pods of a package whose recipe asks for that, by what they run."""
    paths = {"train": TRAINER, "export": EXPORTER, "gate": _GATE, "push": _PUSHER}
    spec = {"deploymentSpec": {"executors": {label: _executor(path) for label, path in paths.items()}}}
    light = {_GATE: "", _PUSHER: ""}
    ask_of_containers(spec["deploymentSpec"]["executors"], asked, light)
    document = ask_of_pods((cluster or OnCluster()).document(spec, "/mnt/work"), spec, asked, light)
    pods = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if document else {}
    return {label: one["container"] for label, one in spec["deploymentSpec"]["executors"].items()}, pods


def test_what_a_recipe_asks_of_containers_is_in_the_spec():
    containers, _ = _asked(ALL)
    sizes = {"resourceCpuRequest": "2", "resourceCpuLimit": "2"}
    sizes |= {"resourceMemoryRequest": "8Gi", "resourceMemoryLimit": "8Gi"}
    accelerator = {"resourceType": "nvidia.com/gpu", "resourceCount": "1"}
    assert containers["train"]["resources"] == {**sizes, "accelerator": accelerator}
    assert containers["export"]["resources"] == sizes
    assert "resources" not in containers["push"]
    assert containers["push"]["env"] == [{"name": "TF_CPP_MIN_LOG_LEVEL", "value": "2"}]
    assert {"name": "TMPDIR", "value": "/scratch"} in containers["train"]["env"]


def test_what_a_recipe_asks_of_pods_is_of_the_form_of_kfp_kubernetes():
    _, pods = _asked(ALL, OnCluster(volume="work", signing_secret="keys"))
    forms = json.loads((Path(__file__).parents[1] / "kubeflow" / "recorded" / "executor_config.json").read_text())
    assert set(pods["train"]) | set(pods["push"]) == {
        *("secretAsEnv", "secretAsVolume", "emptyDirMounts", "activeDeadlineSeconds", "nodeSelector", "tolerations"),
        *("imagePullSecret", "podMetadata", "pvcMount"),
    }
    for pod in pods.values():
        _hold(pod, "KubernetesExecutorConfig", forms)
    assert [mount["secretName"] for mount in pods["push"]["secretAsVolume"]] == ["keys", "certificates"]
    assert pods["train"]["tolerations"][1] == {"key": "team", "value": "ours", "operator": "Equal"}
    assert "emptyDirMounts" not in pods["gate"]


def _hold(value: Any, form: str, forms: dict) -> None:
    """Holds a value against a recorded message: known fields, of their kinds (protobuf's JSON has int64 as texts)."""
    if form.startswith("list of "):
        assert isinstance(value, list)
        for item in value:
            _hold(item, form.removeprefix("list of "), forms)
    elif form in forms:
        assert value.keys() <= forms[form].keys(), form
        for key, item in value.items():
            _hold(item, forms[form][key], forms)
    elif form == "map":
        assert all(isinstance(word, str) for pair in value.items() for word in pair)
    else:
        assert isinstance(value, {"string": str, "bool": bool, "int": str}[form])
        assert form != "int" or value.isdigit()


def test_a_field_that_kfp_kubernetes_does_not_have_is_seen():
    forms = json.loads((Path(__file__).parents[1] / "kubeflow" / "recorded" / "executor_config.json").read_text())
    with pytest.raises(AssertionError):
        _hold({"emptyDirMount": []}, "KubernetesExecutorConfig", forms)


def test_a_recipe_that_asks_for_nothing_changes_no_package():
    containers, pods = _asked(OnKubeflow())
    assert containers == {label: _executor(one["args"][1])["container"] for label, one in containers.items()}
    assert pods == {}


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": "a", "operator": "exists"},
        {"operator": "Equal", "value": "b"},
        {"key": "a", "operator": "Exists", "value": "b"},
        {"key": "a", "effect": "Never"},
        {"keys": "a"},
    ],
)
def test_a_toleration_that_kubernetes_would_refuse_is_refused(toleration):
    with pytest.raises(RecipeError, match=r"Expected a toleration of kubeflow\.tolerations"):
        _asked(OnKubeflow(tolerations=(toleration,)))


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ('kubeflow.cpu="two"', "kubeflow.cpu"),
        ('kubeflow.memory="8 GB"', "kubeflow.memory"),
        ("kubeflow.gpus=-1", "kubeflow.gpus"),
        ('kubeflow.secrets={Hub=["TOKEN"]}', "kubeflow.secrets"),
        ('kubeflow.secret_files={hub="etc"}', "kubeflow.secret_files"),
        ('kubeflow.environment={"A B"="1"}', "kubeflow.environment"),
        ('kubeflow.pull_secret="A_B"', "kubeflow.pull_secret"),
        ('kubeflow.memori="8Gi"', "kubeflow.memori"),
    ],
)
def test_a_recipe_whose_kubeflow_table_is_wrong_is_refused_by_its_key(setting, key):
    with pytest.raises(RecipeError, match=re.escape(key)):
        load_recipe("digits", (setting,))
