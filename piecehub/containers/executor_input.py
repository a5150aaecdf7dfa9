"""What Kubeflow's launcher tells a container, and what it reads back, in the form that TFX 1.21 can take.

The launcher of Kubeflow Pipelines 2.16 replaces `{{$}}` by an ExecutorInput (kfp/pipeline_spec, protobuf JSON):

    {"inputs":  {"parameterValues": {key: value}, "artifacts": {key: {"artifacts": [artifact]}}},
     "outputs": {"artifacts": {key: {"artifacts": [artifact]}}, "parameters": {key: …}, "outputFile": path}}

with artifacts {"name", "type": {"instanceSchema" | "schemaTitle"}, "uri", "metadata"}, and reads an ExecutorOutput of
the same artifacts, and of "parameterValues", from `outputFile`. Plain dicts here; `entrypoint.py` says who is called
with them.

An input of several artifacts, such as the evidence of several tasks, is several inputs there, `evidence-0`,
`evidence-1` and so on: Kubeflow has no other way to give a task what several others made.
"""

import re
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from piecehub.errors import PiecehubError

Json = dict[str, Any]

# Where the launcher downloads to and uploads from: LocalPathForURI in backend/src/v2/component/launcher_v2.go.
_LOCAL_ROOTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
# The driver adds this output to every task, with a type that TFX cannot import.
_LOGS = "executor-logs"
_ONE_OF_SEVERAL = re.compile(r"(?P<key>.+)-(?P<number>\d+)")
# The launcher's own notes on an artifact; no type declares them.
_LAUNCHER_NOTES = frozenset({"display_name", "store_session_info"})


def one_of_several(key: str, number: int) -> str:
    """The name of an input's artifact of that number, for an input of several."""
    return f"{key}-{number}"


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
    if "artifacts" in value.get("inputs", {}):
        value["inputs"]["artifacts"] = _joined(value["inputs"]["artifacts"])
    return value


@contextmanager
def with_files(given: Json, keys: Sequence[str]) -> Generator[Json]:
    """The executor input with files, for as long as this lasts, in place of parameters that hold their texts."""
    values = given["inputs"].get("parameterValues", {})
    with tempfile.TemporaryDirectory(prefix="piecehub-") as folder:
        files = {key: Path(folder, key) for key in keys}
        for key, file in files.items():
            file.write_bytes(values[key].encode())
        paths = {key: str(file) for key, file in files.items()}
        yield {**given, "inputs": {**given["inputs"], "parameterValues": {**values, **paths}}} if keys else given


def _joined(artifacts: Json) -> Json:
    """The inputs with those of several artifacts as one again."""
    several: dict[str, dict[int, Json]] = {}
    found: Json = {}
    for key, listed in artifacts.items():
        if one := _ONE_OF_SEVERAL.fullmatch(key):
            several.setdefault(one["key"], {})[int(one["number"])] = listed
        else:
            found[key] = listed
    for key, numbered in several.items():
        found[key] = {"artifacts": [a for _, listed in sorted(numbered.items()) for a in listed["artifacts"]]}
    return found


def for_launcher(executor_output: Mapping[str, Any], executor_input: Mapping[str, Any]) -> Json:
    """What an executor wrote, as the launcher can take it: remote uris again, and no fact that is null.

    What the launcher would pass over in silence, and end as a success, is refused.

    Args:
        executor_output: the document that the executor wrote.
        executor_input: what the launcher passed, with its remote uris.

    Raises:
        PiecehubError: if an output's uri is none of an object store, nothing was written there, or an output parameter
            has no value.
    """
    value = deepcopy(dict(executor_output))
    remote = {local_path(a["uri"]): a["uri"] for _, a in _artifacts(executor_input.get("outputs", {}))}
    for _, artifact in _artifacts(value):
        artifact["uri"] = remote.get(artifact["uri"], artifact["uri"])
        artifact["metadata"] = _where(artifact.get("metadata", {}), lambda _, fact: fact is not None)
    told = dict(_artifacts(value))
    for key, declared in _artifacts(executor_input.get("outputs", {})):
        if key != _LOGS:
            _refuse_lost(key, told.get(key, declared)["uri"])
    declared, given = executor_input.get("outputs", {}).get("parameters", {}), value.get("parameterValues", {})
    if declared.keys() != given.keys():
        raise PiecehubError(
            f"Expected a value for each output parameter of the package: {', '.join(sorted(declared)) or 'none'}. "
            f"Received: {', '.join(sorted(given)) or 'none'}; compile the pipeline again."
        )
    return value


def _refuse_lost(key: str, uri: str) -> None:
    place = local_path(uri)
    if place == uri:
        roots = ", ".join(_LOCAL_ROOTS)
        raise PiecehubError(
            f"Expected a uri of an object store ({roots}) for the output '{key}'. Received: '{uri}', from where "
            "Kubeflow uploads nothing; give such a pipeline root at submission."
        )
    path = Path(place)
    if not path.is_file() and not any(found.is_file() for found in path.rglob("*")):
        raise PiecehubError(
            f"Expected files in the output '{key}'. Received: none in '{place}', of which Kubeflow would say nothing, "
            "and hand on nothing; mend what writes it."
        )


def _artifacts(section: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    for key, listed in section.get("artifacts", {}).items():
        for artifact in listed.get("artifacts", []):
            yield key, artifact


def _own_facts(artifact: Mapping[str, Any]) -> Json:
    return _where(artifact.get("metadata", {}), lambda key, fact: key not in _LAUNCHER_NOTES and fact is not None)


def _where(facts: Mapping[str, Any], keep: Callable[[str, Any], bool]) -> Json:
    return {key: fact for key, fact in facts.items() if keep(key, fact)}
