"""What TFX 1.21 compiles for Kubeflow, mended until Kubeflow Pipelines 2.16 runs it; plain dicts, no TFX.

The spec is a PipelineSpec 2.1.0 in protobuf JSON (kfp/pipeline_spec):

    {"components":     {ID: {"executorLabel", "inputDefinitions", "outputDefinitions"}},
     "deploymentSpec": {"executors": {LABEL: {"container": {"image", "command", "args", "resources"?}}}},
     "pipelineInfo":   {"name"}, "schemaVersion", "sdkVersion",
     "root":           {"dag": {"tasks": {ID: {"inputs", "cachingOptions", "retryPolicy", …}}}, "inputDefinitions"}}

What cannot be mended is refused here, in a sentence, rather than by a pod an hour later.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import yaml

from piecehub.containers.entrypoint import LIGHT_FUNCTION, TEXT_FILE, TRIALS_FOLDER
from piecehub.errors import RecipeError
from piecehub.facts.content import canonical_json, sha256_bytes
from pipelines.operating.image_name import without_registry

Spec = dict[str, Any]
Scalar = str | int | float

EXECUTOR = "--executor_class_path"
# The driver of 2.16 adds it to the outputs of every task.
_LOGS = "executor-logs"
_TASK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
# The driver of 2.16 puts the run's id in its place where it is the whole of a constant.
_RUN_ID = "{{$.pipeline_job_uuid}}"
MAX_EXACT_INTEGER = 2**53  # protobuf's Value keeps numbers as doubles
# Linux takes 128 KiB in one argument, and the executor input, which is one, also holds facts known only at run time.
_MAX_ARGUMENT_BYTES = 96 * 1024
_BYTES_PER_ARTIFACT = 1024
# Kubernetes takes about 1 MB in one object; the workflow that Kubeflow makes of a package is larger than it.
_MAX_PACKAGE_BYTES = 512 * 1024


@dataclass(frozen=True)
class Retries:
    """How often a task that failed is tried again, and how long Kubeflow waits before.

    Attributes:
        count: how often.
        backoff_s: seconds before the first time.
        backoff_factor: by which each pause is longer than the last.
        within_s: seconds from the start of the first pod in which it may be tried again, which KFP calls
            `backoffMaxDuration`, and Argo `maxDuration`: no cap of a pause. A training that takes longer would fail the
            run at once where its pod is evicted.
    """

    count: int = 2
    backoff_s: int = 30
    backoff_factor: float = 2.0
    within_s: int = 30 * 24 * 3600


def refuse_parameters(parameters: Mapping[str, Mapping[str, object]]) -> None:
    """Refuses what the compiler would change without a word: a bool becomes a number, so `True` comes back as 1.

    Args:
        parameters: each component's parameters by its id, before compilation (afterwards it cannot be told).

    Raises:
        RecipeError: if one is a bool.
    """
    for task, values in parameters.items():
        for key, value in values.items():
            if isinstance(value, bool):
                raise RecipeError(
                    f"Expected an int, float or str for {task}.{key}. Received: {value}, which Kubeflow would turn "
                    f"into {int(value)}; pass an int or a str."
                )


def mend(
    spec: Mapping[str, Any],
    *,
    never_cached: Collection[str],
    defaults: Mapping[str, Scalar] | None = None,
    retries: Retries | None = None,
    resources: Mapping[str, Mapping[str, Any]] | None = None,
    light: Mapping[str, str] | None = None,
    never_again: Collection[str] = (),
    trials_folder: str = "",
    text_files: Mapping[str, str] | None = None,
) -> Spec:
    """The spec as Kubeflow Pipelines 2.16 runs it; the given one is left as it was.

    Args:
        spec: what TFX compiled.
        never_cached: tasks that run in every run.
        defaults: values of runtime parameters that a submission may leave out.
        retries: how tasks are retried; `Retries()` if None.
        resources: by task, Kubeflow's `container.resources`, such as {"resourceCpuRequest": "1"}.
        light: by executor, the function that does its work without TFX.
        never_again: executors that touch nothing but their artifacts, so what fails there fails again.
        trials_folder: where all others mark a failure that no retry mends; empty for nowhere.
        text_files: by executor, the parameter that names a file here, whose text travels in its place.

    Raises:
        RecipeError: for what Kubeflow cannot run and no mending cures.
    """
    mended = deepcopy(dict(spec))
    _cache_none_of(mended, never_cached)
    _carry(mended, text_files or {})
    refuse(mended)
    _keep_defaults(mended, defaults or {})
    _retry(mended, retries or Retries(), never_again, trials_folder)
    _ask_for(mended, resources or {})
    _lighten(mended, light or {})
    return mended


def tell_of_run(spec: Spec, executor: str) -> None:
    """Tells the tasks of an executor which run they are of, and by which image: what is published says both.

    The registry, which says where and not what, stays out.
    """
    for body in _tasks(spec).values():
        container = _container(spec, body)
        if executor_path(container) == executor:
            told = {"cluster_run": _RUN_ID, "image": without_registry(container["image"])}
            for key, value in told.items():
                body["inputs"]["parameters"][key] = {"runtimeValue": {"constant": value}}


def refuse(spec: Mapping[str, Any]) -> None:
    """Raises RecipeError for the first thing in `spec` that Kubeflow Pipelines 2.16 cannot run."""
    for task, body in _tasks(spec).items():
        _refuse_name(task)
        _refuse_condition(task, body)
        _refuse_parameters_of(spec, task, body)
        _refuse_executor_input(task, body)
    for component, body in spec["components"].items():
        _refuse_prefixes(component, body)
    for label, executor in _executors(spec).items():
        _refuse_executor(label, executor)
    _refuse_artifacts_under_two_names(spec)


class _Quoting(yaml.SafeDumper):
    """Quotes every text: what PyYAML leaves without quotes may be a number, a date or a bool to another reader."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


_Quoting.add_representer(str, _quoted)


def write_yaml(spec: Mapping[str, Any], platform: Mapping[str, Any] | None = None) -> bytes:
    """The spec as a YAML document, all texts in it quoted; equal specs give equal bytes.

    Args:
        spec: the package.
        platform: Kubeflow's platform document, which follows it as a second one; none if empty.

    Raises:
        RecipeError: if it is too large for Kubernetes.
    """
    documents = [dict(spec), *([dict(platform)] if platform else [])]
    text = yaml.dump_all(documents, Dumper=_Quoting, sort_keys=True, allow_unicode=True, width=120).encode()
    if len(text) > _MAX_PACKAGE_BYTES:
        raise RecipeError(
            f"Expected a package of at most {_MAX_PACKAGE_BYTES} bytes. Received: {len(text)}, which Kubernetes would "
            "refuse as a workflow; keep long parameters in files."
        )
    return text


def _tasks(spec: Mapping[str, Any]) -> dict[str, Any]:
    return spec["root"]["dag"]["tasks"]


def _executors(spec: Mapping[str, Any]) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"]


def _keep_defaults(spec: Spec, defaults: Mapping[str, Scalar]) -> None:
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name in declared.keys() & defaults.keys():
        declared[name] |= {"defaultValue": defaults[name], "isOptional": True}


def _carry(spec: Spec, text_files: Mapping[str, str]) -> None:
    # Kubeflow's cache knows a path, not what lies there: it would return what an older file made.
    for task, body in _tasks(spec).items():
        container = _container(spec, body)
        if not (key := text_files.get(executor_path(container))):
            continue
        value = body["inputs"]["parameters"][key]["runtimeValue"]
        file = Path(value["constant"])
        try:
            value["constant"] = file.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"Expected a text in '{file}' for {task}. Received: {error}; mend the file.") from error
        if file.stat().st_size > _MAX_ARGUMENT_BYTES:
            raise RecipeError(
                f"Expected at most {_MAX_ARGUMENT_BYTES} bytes in '{file}', which travels as a parameter of {task}. "
                f"Received: {file.stat().st_size}; make it shorter, such as by leaving out long domains."
            )
        container["args"] = [*container["args"], TEXT_FILE, key]


def _cache_none_of(spec: Spec, never_cached: Collection[str]) -> None:
    for task in never_cached:
        _task(spec, task)["cachingOptions"] = {"enableCache": False}


def _retry(spec: Spec, retries: Retries, never_again: Collection[str], trials_folder: str) -> None:
    for body in _tasks(spec).values():
        container = _container(spec, body)
        if executor_path(container) in never_again:
            continue
        if trials_folder and TRIALS_FOLDER not in container["args"]:
            container["args"] = [*container["args"], TRIALS_FOLDER, trials_folder]
        body["retryPolicy"] = {
            "maxRetryCount": retries.count,
            "backoffDuration": f"{retries.backoff_s}s",
            "backoffFactor": retries.backoff_factor,
            "backoffMaxDuration": f"{retries.within_s}s",
        }


def _lighten(spec: Spec, light: Mapping[str, str]) -> None:
    for executor in _executors(spec).values():
        container = executor["container"]
        if function := light.get(executor_path(container)):
            container["args"] = [*container["args"], LIGHT_FUNCTION, function]


def _container(spec: Spec, task: Mapping[str, Any]) -> dict[str, Any]:
    return _executors(spec)[spec["components"][task["componentRef"]["name"]]["executorLabel"]]["container"]


def executor_path(container: Mapping[str, Any]) -> str:
    """The class that a container runs, as TFX compiles it; empty if none is told."""
    arguments: list[str] = container.get("args", [])
    return arguments[arguments.index(EXECUTOR) + 1] if EXECUTOR in arguments else ""


def _ask_for(spec: Spec, resources: Mapping[str, Mapping[str, Any]]) -> None:
    for task, asked in resources.items():
        _container(spec, _task(spec, task))["resources"] = dict(asked)


def _task(spec: Spec, name: str) -> dict[str, Any]:
    if name not in _tasks(spec):
        raise RecipeError(f"Expected a component of the pipeline: {', '.join(_tasks(spec))}. Received: '{name}'.")
    return _tasks(spec)[name]


def _refuse_name(task: str) -> None:
    if not _TASK_NAME.fullmatch(task):
        raise RecipeError(f"Expected a component id of letters, digits and '-'. Received: '{task}'; rename it.")


def _refuse_condition(task: str, body: Mapping[str, Any]) -> None:
    if body.get("triggerPolicy", {}).get("condition"):
        raise RecipeError(
            f"Expected {task} to run without a condition. Received: one, which Kubeflow cannot read from TFX; let the "
            "component read its input and decide."
        )


def _refuse_parameters_of(spec: Mapping[str, Any], task: str, body: Mapping[str, Any]) -> None:
    for key, source in body.get("inputs", {}).get("parameters", {}).items():
        if made := source.get("taskOutputParameter"):
            _refuse_made_by_none(spec, f"{task}.{key}", made)
        constant = source.get("runtimeValue", {}).get("constant")
        if isinstance(constant, int | float) and abs(constant) > MAX_EXACT_INTEGER:
            raise RecipeError(
                f"Expected a number within 2^53 for {task}.{key}. Received: {constant:.0f}, of which Kubeflow would "
                "lose digits; pass it as a str."
            )


def _refuse_made_by_none(spec: Mapping[str, Any], taker: str, made: Mapping[str, str]) -> None:
    producer = _tasks(spec).get(made["producerTask"], {}).get("componentRef", {}).get("name", "")
    outputs = spec["components"].get(producer, {}).get("outputDefinitions", {}).get("parameters", {})
    if made.get("outputParameterKey") not in outputs:
        raise RecipeError(
            f"Expected a value for {taker} that is known at compilation, or made by a task of the package. Received: "
            f"an output of '{made['producerTask']}', which makes none of that name; make it an input artifact."
        )


def _refuse_prefixes(component: str, body: Mapping[str, Any]) -> None:
    # Outputs of a task lie side by side in the object store, and 2.16 downloads by plain prefix: reading `model` would
    # bring `model_run` with it.
    names = [*body.get("outputDefinitions", {}).get("artifacts", {}), _LOGS]
    for short, long in permutations(names, 2):
        if long.startswith(short):
            raise RecipeError(
                f"Expected outputs of {component} of which none begins with another's name. Received: '{short}' and "
                f"'{long}', which Kubeflow 2.16 would download together; rename one."
            )


def _refuse_executor(label: str, executor: Mapping[str, Any]) -> None:
    if "resolver" in executor:
        raise RecipeError(
            f"Expected components only. Received: the resolver '{label}', which Kubeflow refuses; write a component "
            "that finds the artifact."
        )
    if executor.get("container", {}).get("lifecycle"):
        # `lifecycle.preCacheCheck` is Vertex AI's: Kubeflow drops it, and span and fingerprint would be missing.
        raise RecipeError(
            f"Expected components that Kubeflow can start by themselves. Received: the ExampleGen '{label}', whose "
            "driver it never calls; use ExampleIngester."
        )
    for argument in executor.get("container", {}).get("args", []):
        _refuse_long(label, argument.encode())


def _refuse_executor_input(task: str, body: Mapping[str, Any]) -> None:
    inputs = body.get("inputs", {})
    artifacts = b"x" * _BYTES_PER_ARTIFACT * len(inputs.get("artifacts", {}))
    _refuse_long(task, b"".join([artifacts, *_constants(inputs)]))


def _refuse_artifacts_under_two_names(spec: Mapping[str, Any]) -> None:
    # ML Metadata takes one event of an artifact, an execution and a type, so the driver fails, in every retry.
    known: dict[str, str] = {}
    for task, body in _tasks(spec).items():
        seen: dict[tuple[str, str], tuple[str, str]] = {}
        for key, (producer, output) in sorted(_read(body).items()):
            artifact = (_identity(spec, producer, known), output)
            if artifact in seen:
                other, twin = seen[artifact]
                makers = f"'{twin}'" if twin == producer else f"'{twin}' and '{producer}', of which the cache makes one"
                raise RecipeError(
                    f"Expected inputs of {task} that are different artifacts. Received: '{other}' and '{key}' from the "
                    f"same output of {makers}; pass it under one name."
                )
            seen[artifact] = (key, producer)


def _read(body: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """By the name of each input of a task, the task that makes it and the name of the output there."""
    sources = body.get("inputs", {}).get("artifacts", {})
    made = {key: source["taskOutputArtifact"] for key, source in sources.items() if "taskOutputArtifact" in source}
    return {key: (source["producerTask"], source.get("outputArtifactKey", "")) for key, source in made.items()}


def _identity(spec: Mapping[str, Any], task: str, known: dict[str, str]) -> str:
    """What Kubeflow's cache knows a task by: tasks that agree in it get the same artifacts, whatever their names."""
    body = _tasks(spec).get(task, {})
    if not body.get("cachingOptions", {}).get("enableCache"):
        return task
    if task not in known:
        component = spec["components"][body["componentRef"]["name"]]
        container = _executors(spec)[component["executorLabel"]].get("container", {})
        facts = [
            {key: container.get(key) for key in ("image", "command", "args")},
            body.get("inputs", {}).get("parameters", {}),
            {key: [_identity(spec, producer, known), output] for key, (producer, output) in _read(body).items()},
            component.get("outputDefinitions", {}),
        ]
        known[task] = sha256_bytes(canonical_json(facts))
    return known[task]


def _constants(inputs: Mapping[str, Any]) -> Iterator[bytes]:
    for key, source in inputs.get("parameters", {}).items():
        yield canonical_json({key: source.get("runtimeValue", {}).get("constant")})


def _refuse_long(name: str, argument: bytes) -> None:
    if len(argument) > _MAX_ARGUMENT_BYTES:
        raise RecipeError(
            f"Expected at most {_MAX_ARGUMENT_BYTES} bytes in one argument of {name}. Received: {len(argument)}; keep "
            "long parameters in files."
        )
