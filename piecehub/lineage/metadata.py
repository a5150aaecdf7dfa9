"""Reads a push and the steps before it out of ML Metadata, through its public API.

What is read was written by TFX and by the door of our components (components/dsl.py):

    execution   type "<module>.<Component>"; custom properties: the parameters, code_digest and lock_digest among them
                context of type `node`, named "<pipeline>.<node id>"
    artifact    type; custom properties content_digest, provenance_digest, and input_splits of the execution that made
                it: {input key: {split: digest}}
    PushedModel custom properties pushed, handle, saved_model_digest, why

This module needs `ml_metadata`, which comes with the pipeline and is imported inside: who reads what was published, by
pages too, does without.
"""

import importlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piecehub.errors import StoreError
from piecehub.extras import missing_extra
from piecehub.facts import provenance
from piecehub.facts.steps import Read, Step

_DIGESTS = ("code_digest", "lock_digest")


@dataclass(frozen=True)
class Push:
    """A PushedModel artifact, and what it was published as."""

    artifact_id: int
    handle: str


def find_push(metadata: Path, digest: str, handle: str = "") -> Push:
    """The push that published a SavedModel: the last one that made a version, if the store was made anew.

    Raises:
        StoreError: if ML Metadata records none.
    """
    store = open_to_read(metadata)
    artifacts = [a for a in store.get_artifacts_by_type("PushedModel") if _is_push_of(properties(a), digest, handle)]
    if not artifacts:
        raise StoreError(f"Expected a push of {digest} in '{metadata}'. Received: none; it was pushed elsewhere.")
    # A push that found its content published says so in `why`.
    found = max(artifacts, key=lambda a: (not properties(a).get("why"), a.id))
    return Push(found.id, properties(found)["handle"])


def _is_push_of(properties: Mapping[str, Any], digest: str, handle: str) -> bool:
    is_content = properties.get("pushed") == 1 and properties.get("saved_model_digest") == digest
    return is_content and handle in ("", properties.get("handle"))


def steps_before(metadata: Path, push: Push) -> dict[str, Step]:
    """The executions of our components that led to a push, by id, without the push itself."""
    reader = _Reader(open_to_read(metadata))
    pusher = reader.maker(push.artifact_id)
    return _steps_from(reader, [read.source for read in reader.reads(pusher, {})])


def steps_to(metadata: Path, provenance_digest: str) -> dict[str, Step]:
    """The executions of our components that led to the artifact with that statement, by id, its maker included.

    Raises:
        StoreError: if ML Metadata records no such artifact.
    """
    store = open_to_read(metadata)
    types = [t.name for t in store.get_artifact_types()]
    found = [a.id for name in types for a in store.get_artifacts_by_type(name) if _has(a, provenance_digest)]
    if not found:
        raise StoreError(
            f"Expected an artifact with the statement {provenance_digest} in '{metadata}'. Received: none; "
            "run it again."
        )
    reader = _Reader(store)
    return _steps_from(reader, [str(reader.maker(max(found)))])


def _has(artifact: Any, provenance_digest: str) -> bool:
    return properties(artifact).get("provenance_digest") == provenance_digest


def _steps_from(reader: "_Reader", waiting: list[str]) -> dict[str, Step]:
    steps: dict[str, Step] = {}
    while waiting:
        step = waiting.pop()
        if step and step not in steps:
            steps[step] = reader.step(int(step))
            waiting += [read.source for read in steps[step].reads]
    return steps


def node_id(store: Any, execution_id: int) -> str:
    """The node of the pipeline that an execution ran; two nodes may run one component."""
    names = {context.type: context.name for context in store.get_contexts_by_execution(execution_id)}
    return str(names["node"]).removeprefix(f"{names['pipeline']}.")


class _Reader:
    """ML Metadata, seen from executions."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def step(self, execution_id: int) -> Step:
        execution = self._execution(execution_id)
        found = properties(execution)
        parameters = {k: v for k, v in found.items() if _is_parameter(k)}
        reads = self.reads(execution_id, self._input_splits(execution_id))
        code_digest, lock_digest = (str(found[key]) for key in _DIGESTS)
        return Step(_component(execution.type), parameters, code_digest, lock_digest, reads)

    def reads(self, execution_id: int, splits: Mapping[str, Mapping[str, str]]) -> tuple[Read, ...]:
        """What an execution read; `splits` says what the records of its examples were."""
        keys = [(e.artifact_id, e.path.steps[0].key) for e in self._events(execution_id, "INPUT")]
        artifacts = self._artifacts(artifact_id for artifact_id, _ in keys)
        return tuple(
            Read(
                key,
                artifacts[artifact_id].type,
                str(properties(artifacts[artifact_id]).get("content_digest", "")),
                splits.get(key, {}),
                self._source(artifact_id),
            )
            for artifact_id, key in keys
        )

    def maker(self, artifact_id: int) -> int:
        """The execution that made an artifact: the first that has it as output, before those from the cache."""
        output = event_type("OUTPUT")
        return min(e.execution_id for e in self._store.get_events_by_artifact_ids([artifact_id]) if e.type == output)

    def _source(self, artifact_id: int) -> str:
        """The id of the step that made an artifact; empty for one without a statement: examples, and what TFX made."""
        told = "provenance_digest" in properties(self._artifacts([artifact_id])[artifact_id])
        return str(self.maker(artifact_id)) if told else ""

    def _input_splits(self, execution_id: int) -> dict[str, dict[str, str]]:
        outputs = self._artifacts(e.artifact_id for e in self._events(execution_id, "OUTPUT"))
        notes = [properties(artifact).get("input_splits", "{}") for artifact in outputs.values()]
        return json.loads(max(notes, default="{}", key=len))

    def _execution(self, execution_id: int) -> Any:
        return self._store.get_executions_by_id([execution_id])[0]

    def _artifacts(self, ids: Iterable[int]) -> dict[int, Any]:
        return {artifact.id: artifact for artifact in self._store.get_artifacts_by_id(sorted(set(ids)))}

    def _events(self, execution_id: int, kind: str) -> list[Any]:
        events = self._store.get_events_by_execution_ids([execution_id])
        return [event for event in events if event.type == event_type(kind)]


def _is_parameter(key: str) -> bool:
    """Leaves out the digests, the places, and what TFX notes for itself (`__execution_result__`, …)."""
    return key not in _DIGESTS and not provenance.is_place(key) and not key.startswith("__")


def _component(type_name: str) -> str:
    return type_name.rpartition(".")[2]


def properties(thing: Any) -> dict[str, Any]:
    """Properties and custom properties of an artifact or execution, as plain values."""
    both = {**thing.properties, **thing.custom_properties}
    return {key: getattr(value, kind) for key, value in both.items() if (kind := value.WhichOneof("value"))}


def event_type(kind: str) -> int:
    """The number of a kind of event, `INPUT` or `OUTPUT`."""
    return int(_protos().Event.Type.Value(kind))


def _protos() -> Any:
    from ml_metadata.proto import metadata_store_pb2

    return metadata_store_pb2


def open_to_read(metadata: Path) -> Any:
    """ML Metadata, for reading only.

    Raises:
        StoreError: if there is no such file; ML Metadata would make one.
        EnvironmentProblem: without `ml_metadata`; it says what to install.
    """
    if not metadata.is_file():
        raise StoreError(
            f"Expected ML Metadata at '{metadata}'. Received: no such file; give the --workdir of the run."
        )
    need_library(metadata)
    from ml_metadata import metadata_store

    config = _protos().ConnectionConfig()
    config.sqlite.filename_uri = str(metadata)
    config.sqlite.connection_mode = _protos().SqliteMetadataSourceConfig.READONLY
    return metadata_store.MetadataStore(config)


def are_live(metadata: Path, places: Iterable[str]) -> bool:
    """Whether all these folders are there, and are those of artifacts that ML Metadata has, and knows of no end."""
    if not metadata.is_file():
        return False
    store, live = open_to_read(metadata), _protos().Artifact.LIVE
    return all(
        Path(place).is_dir() and any(artifact.state == live for artifact in store.get_artifacts_by_uri(place))
        for place in places
    )


def need_library(metadata: Path) -> None:
    """Raises EnvironmentProblem, which says what to install, where the package `ml_metadata` is missing."""
    try:
        importlib.import_module("ml_metadata")
    except ModuleNotFoundError as error:
        lacks = missing_extra(error, f"what runs recorded in '{metadata}'")
        if lacks is None:
            raise
        raise lacks from error
