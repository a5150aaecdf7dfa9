"""Kubeflow Pipelines 2.16.1's driver, replayed: what it tells the launcher of a task, from package and artifacts.

Held against what the real one said of a whole run (`recorded/`, test_recording.py). Numbers in brackets are the rules
of README.md. Nothing here is of ours: no name of a component, no module of piecehub.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

LOGS = "executor-logs"
SESSION = (
    '{"Provider":"minio","Params":{"accessKeyKey":"accesskey","disableSSL":"true","endpoint":"seaweedfs.kubeflow:9000",'
    '"fromEnv":"false","maxRetries":"5","region":"minio","secretKeyKey":"secretkey",'
    '"secretName":"mlpipeline-minio-artifact"}}'
)
LOCAL_ROOTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}


class DriverFailed(Exception):
    """The driver ends with an error, in every retry: the task never gets a pod."""


@dataclass(frozen=True)
class Artifact:
    """What ML Metadata holds of an output: its id, where it lies, and its facts as they were stored."""

    id: str
    uri: str
    facts: Json


@dataclass
class Metadata:
    """ML Metadata, as far as drivers ask it."""

    made: dict[str, dict[str, Artifact]] = field(default_factory=dict[str, dict[str, Artifact]])
    values: dict[str, Json] = field(default_factory=dict[str, Json])
    last_id: int = 0

    def publish(self, task: str, key: str, uri: str, facts: Mapping[str, Any]) -> None:
        """Records an output of a task; raises DriverFailed's like in the launcher for a fact that is null (23)."""
        self.last_id += 1
        stored = {name: _stored(value) for name, value in facts.items()}
        self.made.setdefault(task, {})[key] = Artifact(str(self.last_id), uri, stored)

    def hand_on(self, task: str, artifacts: Mapping[str, Artifact], values: Mapping[str, Any]) -> None:
        """What a task gets that comes from the cache: the artifacts and parameters of another run (16)."""
        self.made[task], self.values[task] = dict(artifacts), dict(values)


@dataclass(frozen=True)
class Run:
    """One run of a package: where its artifacts go, and what was given at submission."""

    spec: Json
    root: str
    run_id: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    platform: Json = field(default_factory=dict[str, Any])

    def patch(self, task: str) -> Json:
        """What the driver adds to the task's pod for the platform document, as far as the container sees it."""
        label = self.spec["components"][self.tasks[task]["componentRef"]["name"]]["executorLabel"]
        kubernetes = self.platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {})
        return pod_patch(kubernetes.get("executors", {}).get(label, {}))

    @property
    def tasks(self) -> dict[str, Any]:
        """The tasks of the package."""
        return self.spec["root"]["dag"]["tasks"]

    def order(self) -> list[str]:
        """The tasks, each after those that it depends on; of several that could start the first by name."""
        done: list[str] = []
        while len(done) < len(self.tasks):
            waiting = [t for t in sorted(self.tasks) if t not in done]
            done.append(next(t for t in waiting if set(self.tasks[t].get("dependentTasks", [])) <= set(done)))
        return done

    def container(self, task: str) -> Json:
        """The container of a task, as the package states it."""
        label = self.spec["components"][self.tasks[task]["componentRef"]["name"]]["executorLabel"]
        return self.spec["deploymentSpec"]["executors"][label]["container"]

    def arguments(self, task: str) -> dict[str, Json]:
        """What the Workflow gives the driver as --component, --task and --container (13, 14)."""
        own = self.container(task)
        twins = [t for t in sorted(self.tasks) if self.container(t) == own]
        component = self.spec["components"][self.tasks[twins[0]]["componentRef"]["name"]]
        return {"component": _plain(component), "task": _plain(self.tasks[task]), "container": _plain(own)}

    def executor_input(self, task: str, metadata: Metadata, uuid: str) -> Json:
        """What the driver tells the launcher (1-12).

        Raises:
            DriverFailed: if ML Metadata would not take the events: one artifact under two names.
        """
        component = self.arguments(task)["component"]  # of two tasks with one container, the first's
        given = self.tasks[task].get("inputs", {})
        read = {key: self._artifact(source, metadata) for key, source in sorted(given.get("artifacts", {}).items())}
        ids = [(source["name"]) for listed in read.values() for source in listed["artifacts"]]
        if len(set(ids)) != len(ids):
            raise DriverFailed(f"{task}: one artifact under two names; ML Metadata answers ALREADY_EXISTS")
        values = self._values(component, given.get("parameters", {}), metadata)
        folder = f"{self.root}/{self.spec['pipelineInfo']['name']}/{self.run_id}/{task}/{uuid}"
        declared = component.get("outputDefinitions", {}).get("artifacts", {})
        types_out = {key: value["artifactType"] for key, value in declared.items()}
        types_out[LOGS] = {"schemaTitle": "system.Artifact"}
        written = {
            key: {"artifacts": [{"name": key, "type": types_out[key], "uri": f"{folder}/{key}"}]}
            for key in sorted(types_out)
        }
        inputs = {"artifacts": read, "parameterValues": values}
        told = component.get("outputDefinitions", {}).get("parameters", {})
        parameters = {key: {"outputFile": f"/tmp/kfp/outputs/{key}"} for key in sorted(told)}
        return {
            "inputs": {key: value for key, value in inputs.items() if value},
            "outputs": {
                **({"parameters": parameters} if parameters else {}),
                "artifacts": written,
                "outputFile": f"{local_path(folder)}/output_metadata.json",
            },
        }

    def fingerprint(self, task: str, executor_input: Json) -> str:
        """What the cache knows a task by: ids of what it reads, parameters, outputs, image's name and command."""
        container = self.container(task)
        read = executor_input["inputs"].get("artifacts", {})
        component = self.spec["components"][self.tasks[task]["componentRef"]["name"]]
        facts = [
            {key: [a["name"] for a in listed["artifacts"]] for key, listed in read.items()},
            executor_input["inputs"].get("parameterValues", {}),
            component.get("outputDefinitions", {}),
            [container["image"], container.get("command", []), container.get("args", [])],
        ]
        return json.dumps(facts, sort_keys=True)

    def _artifact(self, source: Json, metadata: Metadata) -> Json:
        produced = source["taskOutputArtifact"]
        key = produced["outputArtifactKey"]
        found = metadata.made[produced["producerTask"]][key]
        facts = {"display_name": key, **found.facts, "store_session_info": SESSION}
        told = {"name": found.id, "type": {"instanceSchema": ""}, "uri": found.uri}
        return {"artifacts": [{**told, "metadata": dict(sorted(facts.items()))}]}

    def _values(self, component: Json, given: Json, metadata: Metadata) -> Json:
        """The parameters that a task is told (7, 10, 11, 35-38a, 45, 48)."""
        found: Json = {}
        for key, declared in sorted(component.get("inputDefinitions", {}).get("parameters", {}).items()):
            is_optional = declared.get("isOptional", False)
            if key not in given:
                if "defaultValue" in declared and not is_optional and declared["parameterType"] == "STRING":
                    found[key] = ""
                continue
            known, value = self._value(given[key], metadata)
            if not known and is_optional:
                continue
            if not known and "componentInputParameter" in given[key]:
                raise DriverFailed(f"the resolved input parameter is null: {key}")
            found[key] = _typed(value, declared["parameterType"], key)
        return found

    def _value(self, source: Json, metadata: Metadata) -> tuple[bool, Any]:
        """Whether there is a value, and which."""
        if produced := source.get("taskOutputParameter"):
            told = metadata.values.get(produced["producerTask"], {})
            return produced["outputParameterKey"] in told, told.get(produced["outputParameterKey"])
        if "componentInputParameter" in source:
            name = source["componentInputParameter"]
            declared = self.spec["root"]["inputDefinitions"]["parameters"][name]
            return name in self.parameters or "defaultValue" in declared, self.parameters.get(
                name, declared.get("defaultValue")
            )
        constant = source["runtimeValue"]["constant"]
        return True, self.run_id if constant == "{{$.pipeline_job_uuid}}" else constant


def pod_patch(asked: Json) -> Json:
    """The container's mounts and variables, and the pod's volumes, for an executor of the platform document."""
    mounts, volumes, variables = [], [], []
    for wanted in asked.get("pvcMount", []):
        name = wanted["constant"]
        mounts.append({"mountPath": wanted["mountPath"], "name": name})
        volumes.append({"name": name, "persistentVolumeClaim": {"claimName": name}})
    for wanted in asked.get("secretAsVolume", []):
        name = wanted["secretName"]
        mounts.append({"mountPath": wanted["mountPath"], "name": name})
        volumes.append({"name": name, "secret": {"optional": wanted.get("optional", False), "secretName": name}})
    for wanted in asked.get("secretAsEnv", []):
        for pair in wanted["keyToEnv"]:
            source = {"secretKeyRef": {"key": pair["secretKey"], "name": wanted["secretName"]}}
            variables.append({"name": pair["envVar"], "valueFrom": source})
    container = {"env": variables, "volumeMounts": mounts}
    return {"container": {key: value for key, value in container.items() if value}, "volumes": volumes}


def local_path(uri: str) -> str:
    """Where the launcher brings what lies at `uri`, and takes it from; "" if it knows no such place."""
    for scheme, root in LOCAL_ROOTS.items():
        if uri.startswith(scheme):
            return root + uri.removeprefix(scheme)
    return ""


def _typed(value: Any, kind: str, key: str) -> Any:
    """A value as one of that type: anything becomes a text, and a text nothing else (36)."""
    if kind == "STRING":
        if isinstance(value, str | None):
            return value or ""
        return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, str) or value is None or value != value:
        raise DriverFailed(f'input parameter "{key}" type mismatch: expect {kind}, got {value!r}')
    return _plain(value)


def _whole(value: Any) -> Any:
    """A number as protobuf's JSON writes a double (7)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return int(value) if float(value).is_integer() and abs(value) < 1e21 else float(value)


def _plain(value: Any) -> Any:
    """A value as protobuf's JSON: keys sorted, whole numbers without a point, and false, the default, left out."""
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value) if value[key] is not False}
    return [_plain(item) for item in value] if isinstance(value, list) else _whole(value)


def _stored(value: Any) -> Any:
    """A fact as it comes back from ML Metadata (8, 9)."""
    if value is None:
        raise DriverFailed("a fact that is null")
    if isinstance(value, Mapping):
        return {"struct": _plain(value)}
    if isinstance(value, list):
        return {"list": _plain(value)}
    if isinstance(value, int | float):
        return _whole(float(f"{float(f'{float(value):.6f}'):.15g}"))
    return value
