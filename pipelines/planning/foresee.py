"""Asks ML Metadata what a run would compute and what it would take from the cache, as the launcher asks it.

It is asked by the launcher itself, on a copy of the database, which is thrown away: each component is prepared in the
order of the data. One from the cache is recorded in the copy, so that what comes after it finds its inputs; after one
that must run nothing can be asked, for its outputs will be new.

Two kinds of components may run and yet give what they gave before, so that all after them comes from the cache: what
brings things from the store, and what reads examples. These are run for real, into a folder that is thrown away; what
reads examples only where there are earlier ones to compare with, and it takes seconds (`_LOOKED_AT_BYTES`): of more,
they count as new if they are to be read.
"""

# The generated protos have no types, and TFX sets attributes while it runs.
# pyright: reportAttributeAccessIssue=false

import copy
import shutil
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata as tfx_metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from piecehub.errors import PiecehubError
from piecehub.facts.workdir import Workdir
from pipelines.launcher import TruthfulLauncher
from pipelines.sweep import mend_records

_READS_EXAMPLES = "components.example_ingester.ExampleIngester"
_PUBLISHES = "components.hub_pusher.HubPusher"
_LOOKED_AT_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Foreseen:
    """What becomes of a component.

    Attributes:
        runs: whether it is computed.
        anew: whether its outputs are others than an earlier run had.
        made_at: of one from the cache, when its outputs were made: seconds since 1970.
        gone: whether an earlier run has done it, and its outputs are gone.
        outputs: the folders of its outputs by key, as far as they are known.
    """

    runs: bool
    anew: bool = False
    made_at: float = 0.0
    gone: bool = False
    outputs: Mapping[str, str] = field(default_factory=dict[str, str])


def foresee(
    ir: pipeline_pb2.Pipeline, workdir: Workdir, scratch: Path, cached: Collection[str] = ()
) -> dict[str, Foreseen]:
    """What becomes of each component of a compiled pipeline, in the order of the data.

    Args:
        ir: as the runner would run it.
        workdir: is only read.
        scratch: an empty folder for what is thrown away.
        cached: components that are asked of the cache though they run in every run.
    """
    asked = copy.deepcopy(ir)
    asked.runtime_spec.pipeline_root.field_value.string_value = str(scratch / "artifacts")
    runtime_parameter_utils.substitute_runtime_parameter(asked, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: "plan"})
    connection = _copied(workdir, scratch / "metadata.sqlite")
    found: dict[str, Foreseen] = {}
    for node in (node.pipeline_node for node in asked.nodes):
        if node.node_info.id in cached:
            node.execution_options.caching_options.enable_cache = True
        if any(found[each].anew for each in node.upstream_nodes):
            found[node.node_info.id] = Foreseen(runs=True, anew=True)
        else:
            found[node.node_info.id] = _asked(asked, node, connection)
    return found


def _copied(workdir: Workdir, to: Path) -> Any:
    """The connection to a copy of the working folder's ML Metadata, mended as a run mends it before it begins."""
    if workdir.metadata.is_file():
        try:
            with (
                closing(sqlite3.connect(f"{workdir.metadata.resolve().as_uri()}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(to)) as target,
            ):
                source.backup(target)
        except sqlite3.OperationalError:  # a run was killed while it wrote: the copy rolls that back
            for ending in ("", "-journal"):
                shutil.copyfile(f"{workdir.metadata}{ending}", f"{to}{ending}")
    connection = tfx_metadata.sqlite_metadata_connection_config(str(to))
    mend_records(workdir, to)
    return connection


def _asked(ir: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode, connection: Any) -> Foreseen:
    """Prepares one component, whose inputs are all known."""
    deployment = runner_utils.extract_local_deployment_config(ir)
    name = node.node_info.id
    launcher = _Asking(
        pipeline_node=node,
        mlmd_connection=tfx_metadata.Metadata(connection),
        pipeline_info=ir.pipeline_info,
        pipeline_runtime_spec=ir.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, name),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
    )
    prepared = launcher.prepared()
    with tfx_metadata.Metadata(connection) as opened:
        store, execution = opened.store, prepared.execution_info.execution_id
        if not prepared.is_execution_needed:
            outputs, made_at = _outputs_of(store, execution)
            return Foreseen(runs=False, made_at=made_at, outputs=outputs)
        gone = _was_done(store, prepared.contexts[-1], execution)
        is_tried = _is_tried(node, store, prepared.contexts)
    if not is_tried:
        return Foreseen(runs=True, anew=True, gone=gone)
    try:
        launcher.launch()
    except (PiecehubError, OSError):  # of what fails in a run, too, the run tells, where it happens
        return Foreseen(runs=True, anew=True, gone=gone)
    with tfx_metadata.Metadata(connection) as opened:
        outputs, _ = _outputs_of(opened.store, execution)
    new = ir.runtime_spec.pipeline_root.field_value.string_value
    is_new = any(place.startswith(new) for place in outputs.values())
    return Foreseen(runs=True, anew=is_new, gone=gone, outputs=outputs)


class _Asking(TruthfulLauncher):
    """The launcher, which can be asked before it launches, and then goes on from there."""

    _prepared: Any = None

    def prepared(self) -> Any:
        """What the launcher found out of its component."""
        self._prepared = super()._prepare_execution()
        return self._prepared

    def _prepare_execution(self) -> Any:
        return self._prepared


def _is_tried(node: pipeline_pb2.PipelineNode, store: Any, contexts: Any) -> bool:
    """Whether a component that runs may give what an earlier run had, and it takes seconds to find out."""
    kind = node.node_info.type.name
    if kind != _READS_EXAMPLES:
        return not node.execution_options.caching_options.enable_cache and kind != _PUBLISHES
    own = next(context for context in contexts if context.name.endswith(f".{node.node_info.id}"))
    folder = Path(node.parameters.parameters["source_folder"].field_value.string_value)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return folder.is_dir() and size <= _LOOKED_AT_BYTES and bool(store.get_artifacts_by_context(own.id))


def _outputs_of(store: Any, execution: int) -> tuple[dict[str, str], float]:
    """The folders of an execution's outputs by key, and when the first execution that had one of them began."""
    events = [e for e in store.get_events_by_execution_ids([execution]) if e.type == mlmd.Event.OUTPUT]
    keys = {event.artifact_id: event.path.steps[0].key for event in events}
    places = {keys[artifact.id]: artifact.uri for artifact in store.get_artifacts_by_id(list(keys))}
    had = store.get_events_by_artifact_ids(list(keys)) if keys else []
    makers = {event.execution_id for event in had if event.type == mlmd.Event.OUTPUT}
    first = min(store.get_executions_by_id(sorted(makers)), key=lambda e: e.id, default=None)
    return places, first.create_time_since_epoch / 1000 if first else 0.0


def _was_done(store: Any, key: Any, execution: int) -> bool:
    """Whether another execution of that cache key came to its end."""
    done = (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)
    return any(e.id != execution and e.last_known_state in done for e in store.get_executions_by_context(key.id))
