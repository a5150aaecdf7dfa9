"""What a recipe's `[kubeflow]` asks for, in a package: of containers in the spec, of pods in the platform document.

    container.resources   {resourceCpuRequest, resourceCpuLimit: "2", resourceMemoryRequest, …Limit: "8Gi",
                           accelerator: {resourceType, resourceCount: "1"}}
    container.env         [{name, value}]
    executors.LABEL       {secretAsEnv, secretAsVolume, emptyDirMounts: [{volumeName, mountPath, sizeLimit}],
                           activeDeadlineSeconds, nodeSelector: {labels}, tolerations, imagePullSecret,
                           podMetadata: {labels}}

The second form is that of kfp-kubernetes 2.16.1 in protobuf's JSON, which tests hold it to.
"""

from collections.abc import Collection, Mapping
from typing import Any

from piecehub.errors import RecipeError
from pipelines.kubeflow_mend import executor_path
from pipelines.recipe.kubeflow_table import OnKubeflow

SCRATCH = "/scratch"
# What trains on a GPU where there is one.
_TRAIN = (
    "components.full_model_trainer.FullModelTrainer_Executor",
    "components.fine_tune_evaluator.FineTuneEvaluator_Executor",
)
# The recipe of a toleration, as Kubernetes takes it.
_OPERATORS = ("Exists", "Equal")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_KEYS = {"key", "operator", "value", "effect"}


def ask_of_containers(executors: Mapping[str, Any], asked: OnKubeflow, light: Collection[str]) -> None:
    """Writes what is asked for into the containers of a spec; those of `light` start no TensorFlow."""
    for executor in executors.values():
        container = executor["container"]
        path = executor_path(container)
        resources = {} if path in light else _sizes(asked)
        if asked.gpus and path in _TRAIN:
            resources["accelerator"] = {"resourceType": asked.gpu_type, "resourceCount": str(asked.gpus)}
        variables = {} if path in light or not asked.scratch else {"TMPDIR": SCRATCH}
        variables |= asked.environment
        if resources:
            container["resources"] = {**container.get("resources", {}), **resources}
        if variables:
            container["env"] = [
                *container.get("env", []),
                *({"name": name, "value": variables[name]} for name in sorted(variables)),
            ]


def ask_of_pods(
    document: Mapping[str, Any], spec: Mapping[str, Any], asked: OnKubeflow, light: Collection[str]
) -> dict[str, Any]:
    """The platform document with what is asked for, beside what stands in it; empty if nothing is.

    Args:
        document: the package's, or an empty one.
        spec: the package.
        asked: what is asked for.
        light: the executors that start no TensorFlow.

    Raises:
        RecipeError: for a toleration that Kubernetes would refuse.
    """
    wants = {is_light: _of_pod(asked, is_light=is_light) for is_light in (False, True)}
    standing = document.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    found: dict[str, Any] = {}
    for label, executor in spec["deploymentSpec"]["executors"].items():
        of_recipe = wants[executor_path(executor.get("container", {})) in light]
        if both := _together(standing.get(label, {}), of_recipe):
            found[label] = both
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": found}}}} if found else {}


def _of_pod(asked: OnKubeflow, *, is_light: bool) -> dict[str, Any]:
    wants: dict[str, Any] = {
        "secretAsEnv": [
            {"secretName": name, "keyToEnv": [{"secretKey": key, "envVar": key} for key in keys]}
            for name, keys in asked.secrets.items()
        ],
        "secretAsVolume": [{"secretName": name, "mountPath": place} for name, place in asked.secret_files.items()],
        "tolerations": [_toleration(one) for one in asked.tolerations],
        "imagePullSecret": [{"secretName": asked.pull_secret}] if asked.pull_secret else [],
        "nodeSelector": {"labels": dict(asked.node_selector)} if asked.node_selector else {},
        "podMetadata": {"labels": dict(asked.labels)} if asked.labels else {},
        "activeDeadlineSeconds": str(asked.deadline_s) if asked.deadline_s else "",
    }
    if asked.scratch and not is_light:
        wants["emptyDirMounts"] = [{"volumeName": "scratch", "mountPath": SCRATCH, "sizeLimit": asked.scratch}]
    return {key: value for key, value in wants.items() if value}


def _together(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two of such documents in one: lists one after the other."""
    both = {key: [*first[key], *second[key]] for key in first.keys() & second.keys()}
    return {**first, **second, **both}


def _sizes(asked: OnKubeflow) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, value in (("Cpu", asked.cpu), ("Memory", asked.memory)):
        if value:
            found |= {f"resource{kind}Request": value, f"resource{kind}Limit": value}
    return found


def _toleration(told: Mapping[str, str]) -> dict[str, str]:
    operator = told.get("operator", "Equal")
    is_right = (
        told.keys() <= _KEYS
        and operator in _OPERATORS
        and told.get("effect", _EFFECTS[0]) in _EFFECTS
        and (operator == "Exists" or "key" in told)
        and not (operator == "Exists" and "value" in told)
    )
    if not is_right:
        raise RecipeError(
            f"Expected a toleration of kubeflow.tolerations with a key, an operator ({' or '.join(_OPERATORS)}; a "
            f"value with Equal only) and an effect ({', '.join(_EFFECTS)}). Received: {dict(told)}."
        )
    return {**told, "operator": operator}
