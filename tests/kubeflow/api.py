"""What a v2beta1 server of Kubeflow Pipelines holds, and what it refuses, in memory: the rules without their transport.

Its rules are those that were seen with `kfp.Client` 2.16.1 (the names in brackets are the SDK's calls):

    a pipeline's name is taken once [upload_pipeline], a version's once a pipeline [upload_pipeline_version]
    a package has schemaVersion 2.1.0 and less than 1 MB
    parameters are those that the package declares, of its JSON types; those without a default are given
    a run names a pipeline and a version [run_pipeline]; a recurring run without a version kills the server
    cron has five or six fields; five are second to month; at most 10 runs at once
    two recurring runs may have one name, and none can be changed but its mode
    lists have pages of 10 unless more is asked for; an empty one lacks its field
    of several namespaces one has to be named; what belongs to another is refused
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

Json = dict[str, Any]
_MOST_BYTES = 1_000_000
_TYPES: dict[str, Callable[[Any], bool]] = {
    "NUMBER_INTEGER": lambda value: _is_number(value) and float(value).is_integer(),
    "NUMBER_DOUBLE": lambda value: _is_number(value),
    "BOOLEAN": lambda value: isinstance(value, bool),
    "STRING": lambda value: isinstance(value, str),
    "LIST": lambda value: isinstance(value, list),
    "STRUCT": lambda value: isinstance(value, dict),
}


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Crashed(Exception):
    """The server dies of this request: whoever asked gets no answer."""


@dataclass
class Kfp:
    """A server's state.

    Attributes:
        namespaces: that it serves; empty if it has one team and asks for none.
        now: its clock, which each creation moves on by a second.
        moments: after each change of a recurring run, all of them, by name.
        packages: the documents of each version.
        pod_logs: what a pod wrote, by its name.
        pods: what Kubernetes knows of a pod, by its name.
        when_created: called with the id of each run.
    """

    namespaces: tuple[str, ...] = ()
    now: datetime = field(default_factory=lambda: datetime(2026, 11, 30, 12, tzinfo=UTC))
    experiments: dict[str, Json] = field(default_factory=dict)
    pipelines: dict[str, Json] = field(default_factory=dict)
    versions: dict[str, Json] = field(default_factory=dict)
    runs: dict[str, Json] = field(default_factory=dict)
    recurring: dict[str, Json] = field(default_factory=dict)
    moments: list[list[Json]] = field(default_factory=list)
    packages: dict[str, list[Json]] = field(default_factory=dict)
    pod_logs: dict[str, str] = field(default_factory=dict)
    pods: dict[str, Json] = field(default_factory=dict)
    when_created: Callable[[str], None] | None = None

    def upload_pipeline(self, package: bytes, name: str, namespace: str) -> Json:
        self._allow(namespace)
        documents = _documents(package)
        if any(p["display_name"] == name and p.get("namespace", "") == namespace for p in self.pipelines.values()):
            raise Refused(409, f"The name {name} already exist. Please specify a new name.")
        made = self._make(pipeline_id=_id(), display_name=name, name=name, **_in(namespace))
        self.pipelines[made["pipeline_id"]] = made
        self._version(made["pipeline_id"], name, documents)
        return made

    def upload_version(self, package: bytes, name: str, pipeline_id: str) -> Json:
        documents, pipeline = _documents(package), self._found(self.pipelines, pipeline_id, "Pipeline")
        self._allow(pipeline.get("namespace", ""))
        if any(v["display_name"] == name for v in self.versions.values() if v["pipeline_id"] == pipeline_id):
            raise Refused(409, f"The name {name} already exist. Please specify a new name.")
        return self._version(pipeline_id, name, documents)

    def create_experiment(self, body: Json) -> Json:
        namespace = body.get("namespace") or ""
        self._allow(namespace)
        made = self._make(experiment_id=_id(), display_name=body["display_name"], **_in(namespace))
        self.experiments[made["experiment_id"]] = made
        return made

    def create_run(self, body: Json) -> Json:
        given = self._checked(body)
        made = self._make(run_id=_id(), display_name=body["display_name"], state="PENDING", **given)
        self.runs[made["run_id"]] = made
        if self.when_created:
            self.when_created(made["run_id"])
        return made

    def create_recurring(self, body: Json) -> Json:
        if not (body.get("pipeline_version_reference") or {}).get("pipeline_version_id"):
            raise Crashed
        cron = (body.get("trigger") or {}).get("cron_schedule", {}).get("cron", "")
        if len(cron.split()) not in (5, 6):
            raise Refused(400, f"Invalid input error: Schedule cron is not a supported format(https://…): {cron}")
        at_once = int(body.get("max_concurrency") or 0)
        if not 1 <= at_once <= 10:
            raise Refused(400, f"Invalid input error: Max concurrency {at_once} is out of range 1 to 10.")
        given = self._checked(body)
        made = self._make(
            recurring_run_id=_id(),
            display_name=body["display_name"],
            description=body.get("description", ""),
            trigger={"cron_schedule": {"cron": cron}},
            max_concurrency=str(at_once),
            no_catchup=bool(body.get("no_catchup")),
            mode=body.get("mode", "ENABLE"),
            status="DISABLED" if body.get("mode") == "DISABLE" else "ENABLED",
            **given,
        )
        self.recurring[made["recurring_run_id"]] = made
        return self._changed(made)

    def delete_recurring(self, recurring_id: str) -> Json:
        self._found(self.recurring, recurring_id, "Job")
        del self.recurring[recurring_id]
        return self._changed({})

    def enable_recurring(self, recurring_id: str, *, is_on: bool) -> Json:
        found = self._found(self.recurring, recurring_id, "Job")
        found |= {"mode": "ENABLE" if is_on else "DISABLE", "status": "ENABLED" if is_on else "DISABLED"}
        return self._changed({})

    def get_run(self, run_id: str) -> Json:
        return self._found(self.runs, run_id, "Run")

    def listed(self, kind: str, query: Mapping[str, str], **same: str) -> Json:
        """A page of a list, without those of other namespaces, and of those that the filter leaves."""
        field_name, held = {
            "experiments": ("experiments", self.experiments),
            "pipelines": ("pipelines", self.pipelines),
            "versions": ("pipeline_versions", self.versions),
            "runs": ("runs", self.runs),
            "recurringruns": ("recurringRuns", self.recurring),
        }[kind]
        namespace = query.get("namespace", "")
        if kind != "versions":
            self._allow(namespace)
            same |= _in(namespace) if self.namespaces else {}
        wanted = {p["key"]: p["stringValue"] for p in _predicates(query.get("filter", ""))} | same
        found = [one for one in held.values() if all(one.get(key) == value for key, value in wanted.items())]
        if query.get("sort_by", "").endswith(" desc"):
            found.sort(key=lambda one: one["created_at"], reverse=True)
        first, size = int(query.get("page_token") or 0), int(query.get("page_size") or 10)
        page, last = found[first : first + size], first + size
        answer: Json = {field_name: page} if page else {}
        return {**answer, "total_size": len(found), **({"next_page_token": str(last)} if last < len(found) else {})}

    def fire(self, recurring_id: str, at: datetime) -> Json:
        """What the controller does when a schedule's time has come."""
        source = self._found(self.recurring, recurring_id, "Job")
        kept = ("experiment_id", "pipeline_version_reference", "runtime_config", "namespace")
        given = {key: source[key] for key in kept if key in source}
        made = self._make(run_id=_id(), display_name=f"Run of {source['display_name']}", state="PENDING", **given)
        made |= {"recurring_run_id": recurring_id, "scheduled_at": at.astimezone(UTC).isoformat()}
        self.runs[made["run_id"]] = made
        return made

    def end(self, run_id: str, state: str, logs: Mapping[str, str] | None = None, failed: str = "") -> None:
        """Ends a run as Argo would: a node for each task, with the pod that ran for it as its child."""
        run = self.runs[run_id]
        details: list[Json] = []
        for task, text in (logs or {}).items():
            digits = str(uuid.uuid4().int)[:9]
            details.append(
                {
                    "run_id": run_id,
                    "task_id": _id(),
                    "display_name": task,
                    "state": "FAILED" if task == failed else "SUCCEEDED",
                    "create_time": self._tick(),
                    "child_tasks": [{"pod_name": f"digits-x7k2p-{digits}"}],
                }
            )
            self.pod_logs[f"digits-x7k2p-system-container-impl-{digits}"] = text
        run |= {"state": state, "finished_at": self._tick(), "run_details": {"task_details": details}}

    def _checked(self, body: Json) -> Json:
        reference = body.get("pipeline_version_reference") or {}
        version = self._found(self.versions, reference.get("pipeline_version_id", ""), "PipelineVersion")
        if version["pipeline_id"] != reference.get("pipeline_id"):
            raise Refused(400, "Invalid input error: a pipeline version needs its pipeline.")
        experiment = self._found(self.experiments, body.get("experiment_id", ""), "Experiment")
        self._allow(experiment.get("namespace", ""))
        config = body.get("runtime_config") or {}
        given = config.get("parameters") or {}
        _check_parameters(self.packages[version["pipeline_version_id"]][0], given)
        return {
            "experiment_id": experiment["experiment_id"],
            "pipeline_version_reference": dict(reference),
            "runtime_config": {"parameters": given, "pipeline_root": config.get("pipeline_root") or ""},
            **_in(experiment.get("namespace", "")),
        }

    def _version(self, pipeline_id: str, name: str, documents: list[Json]) -> Json:
        made = self._make(pipeline_id=pipeline_id, pipeline_version_id=_id(), display_name=name, name=name)
        self.versions[made["pipeline_version_id"]] = made
        self.packages[made["pipeline_version_id"]] = documents
        return made

    def _allow(self, namespace: str) -> None:
        if self.namespaces and not namespace:
            raise Refused(400, "Invalid input error: a namespace is required in multi-user mode.")
        if self.namespaces and namespace not in self.namespaces:
            raise Refused(403, f"User 'nobody' is not authorized with reason: no access to namespace {namespace}")

    def _found(self, held: Mapping[str, Json], key: str, what: str) -> Json:
        if key not in held:
            raise Refused(404, f"ResourceNotFoundError: {what} {key} not found.")
        return held[key]

    def _changed(self, answer: Json) -> Json:
        self.moments.append(list(map(dict, self.recurring.values())))
        return answer

    def _make(self, **facts: Any) -> Json:
        return {**facts, "created_at": self._tick()}

    def _tick(self) -> str:
        self.now += timedelta(seconds=1)
        return self.now.isoformat()


def _check_parameters(spec: Json, given: Json) -> None:
    declared = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, value in given.items():
        if name not in declared:
            raise Refused(400, f"Invalid input error: the pipeline has no parameter {name}")
        if not _TYPES[declared[name]["parameterType"]](value):
            raise Refused(400, f"Invalid input error: parameter {name} is no {declared[name]['parameterType']}")
    missing = [name for name, told in declared.items() if "defaultValue" not in told and name not in given]
    if missing:
        raise Refused(400, f"Invalid input error: missing parameters {missing}")


def _documents(package: bytes) -> list[Json]:
    if len(package) > _MOST_BYTES:
        raise Refused(400, "Invalid input error: the workflow is larger than the limit of 1 MB.")
    documents = list(yaml.safe_load_all(package))
    if not documents or documents[0].get("schemaVersion") != "2.1.0":
        raise Refused(400, "Invalid input error: unknown template format: pipeline spec is invalid")
    return documents


def _predicates(text: str) -> list[Json]:
    return json.loads(text)["predicates"] if text else []


def _in(namespace: str) -> Json:
    return {"namespace": namespace} if namespace else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _id() -> str:
    return str(uuid.uuid4())
