"""What Kubeflow's launcher tells a container, and what it reads back, in the form that TFX 1.21 can take.

The launcher of Kubeflow Pipelines 2.16 replaces `{{$}}` by an ExecutorInput (kfp/pipeline_spec, protobuf JSON):

    {"inputs":  {"parameterValues": {key: value}, "artifacts": {key: {"artifacts": [artifact]}}},
     "outputs": {"artifacts": {key: {"artifacts": [artifact]}}, "outputFile": path}}

with artifacts {"name", "type": {"instanceSchema" | "schemaTitle"}, "uri", "metadata"}, and reads an ExecutorOutput of
the same artifacts from `outputFile`. Plain dicts here; `components/kubeflow_entrypoint.py` calls TFX with them.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

Json = dict[str, Any]

# Where the launcher downloads to and uploads from: LocalPathForURI in backend/src/v2/component/launcher_v2.go.
_LOCAL_ROOTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
# The driver adds this output to every task, with a type that TFX cannot import.
_LOGS = "executor-logs"
# The launcher's own notes on an artifact; no type declares them.
_LAUNCHER_NOTES = frozenset({"display_name", "store_session_info"})


def local_path(uri: str) -> str:
    """The folder of this container that stands for `uri`; other uris stay as they are."""
    for scheme, root in _LOCAL_ROOTS.items():
        if uri.startswith(scheme):
            return root + uri.removeprefix(scheme)
    return uri


def for_tfx(executor_input: Mapping[str, Any], inputs_spec: Mapping[str, Any]) -> Json:
    """The executor input as TFX's executor can take it: typed inputs, local folders, no foreign notes.

    Args:
        executor_input: what the launcher passed.
        inputs_spec: the component's `inputDefinitions`, which names the type of each input; the launcher leaves it out
            (tensorflow/tfx #7768).
    """
    value = deepcopy(dict(executor_input))
    outputs: Json = value.get("outputs", {}).get("artifacts", {})
    outputs.pop(_LOGS, None)
    types = {key: spec["artifactType"] for key, spec in inputs_spec.get("artifacts", {}).items()}
    for key, artifact in _artifacts(value.get("inputs", {})):
        artifact["type"] = types.get(key, artifact.get("type", {}))
        artifact["metadata"] = _own_facts(artifact)
    for section in ("inputs", "outputs"):
        for _, artifact in _artifacts(value.get(section, {})):
            artifact["uri"] = local_path(artifact["uri"])
    return value


def with_driver_facts(executor_input: Mapping[str, Any], driver_output: Mapping[str, Any]) -> Json:
    """The executor input whose outputs carry what ExampleGen's driver found (span and fingerprint).

    TFX's executor takes the driver's parameters from the output file, but not the facts about its artifact.
    """
    value = deepcopy(dict(executor_input))
    found = dict(_artifacts(driver_output))
    for key, artifact in _artifacts(value.get("outputs", {})):
        if key in found:
            artifact["metadata"] = {**artifact.get("metadata", {}), **found[key].get("metadata", {})}
    return value


def for_launcher(executor_output: Mapping[str, Any], executor_input: Mapping[str, Any]) -> Json:
    """What TFX's executor wrote, as the launcher can take it: remote uris again, and no fact that is null.

    Args:
        executor_output: the document that TFX wrote.
        executor_input: what the launcher passed, with its remote uris.
    """
    value = deepcopy(dict(executor_output))
    remote = {local_path(a["uri"]): a["uri"] for _, a in _artifacts(executor_input.get("outputs", {}))}
    for _, artifact in _artifacts(value):
        artifact["uri"] = remote.get(artifact["uri"], artifact["uri"])
        artifact["metadata"] = _where(artifact.get("metadata", {}), lambda _, fact: fact is not None)
    return value


def _artifacts(section: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    for key, listed in section.get("artifacts", {}).items():
        for artifact in listed.get("artifacts", []):
            yield key, artifact


def _own_facts(artifact: Mapping[str, Any]) -> Json:
    return _where(artifact.get("metadata", {}), lambda key, fact: key not in _LAUNCHER_NOTES and fact is not None)


def _where(facts: Mapping[str, Any], keep: Callable[[str, Any], bool]) -> Json:
    return {key: fact for key, fact in facts.items() if keep(key, fact)}
