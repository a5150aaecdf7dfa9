"""What a killed run left in a working folder is closed and removed, and the folder may move.

After SIGKILL an execution stays RUNNING in ML Metadata for ever, and its partial outputs and `.system` folders stay
(TFX 1.21). ML Metadata holds absolute paths, so in a folder that was moved the cache would name what is gone.
"""

# The generated protos have no types.
# pyright: reportAttributeAccessIssue=false

import shutil
from pathlib import Path
from typing import Any

from ml_metadata import errors as mlmd_errors
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration import metadata as tfx_metadata

from piecehub.facts import runs
from piecehub.facts.workdir import Workdir, outside

_ACTIVE = (mlmd.Execution.NEW, mlmd.Execution.RUNNING)


def sweep(workdir: Workdir) -> None:
    """Closes what killed runs left: executions that would stay RUNNING for ever, and their partial folders.

    Artifacts of a working folder that was moved are told where they lie now, and those that a gc removed that they are
    gone: the cache passes over them.
    """
    for partial in [*workdir.data.glob("tmp-*"), *workdir.artifacts.glob("*/*/.system/stateful_working_dir/*")]:
        shutil.rmtree(partial, ignore_errors=True)
    for run_id in runs.run_ids(workdir):
        events = runs.read_events(workdir, run_id)
        if not any(event.node == "" for event in events):
            runs.append_event(workdir, run_id, runs.Event(runs.now(), "", "failed", message="The run was killed."))
    if not workdir.metadata.is_file():
        return
    for execution in mend_records(workdir, workdir.metadata):
        for folder in workdir.artifacts.glob(f"*/*/**/{execution}"):
            shutil.rmtree(folder, ignore_errors=True)


def mend_records(workdir: Workdir, metadata: Path) -> list[int]:
    """Mends what a file of ML Metadata says of a working folder's artifacts; the ids of executions that were dead."""
    config = tfx_metadata.sqlite_metadata_connection_config(str(metadata.resolve()))
    with tfx_metadata.Metadata(config) as connection:
        store = connection.store
        try:
            dead = [e for e in store.get_executions() if e.last_known_state in _ACTIVE]
            changed = [artifact for artifact in store.get_artifacts() if _bring_home(workdir, artifact)]
        except mlmd_errors.NotFoundError:
            dead, changed = [], []
        if changed:
            store.put_artifacts(changed)
        for execution in dead:
            execution.last_known_state = mlmd.Execution.FAILED
            execution.custom_properties["__execution_result__"].string_value = "The run was killed."
        if dead:
            store.put_executions(dead)
    return [execution.id for execution in dead]


def _bring_home(workdir: Workdir, artifact: Any) -> bool:
    """Tells an artifact where it lies now, or that it is gone; False if it knew."""
    before = artifact.uri, artifact.state
    artifact.uri = outside(workdir, artifact.uri)
    lay_here = Path(artifact.uri).is_relative_to(workdir.artifacts.resolve())
    if lay_here and artifact.state == mlmd.Artifact.LIVE and not Path(artifact.uri).exists():
        artifact.state = mlmd.Artifact.DELETED
    return (artifact.uri, artifact.state) != before
