"""A working folder belongs to one run at a time; what a killed run left in it is closed and removed."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from piecehub.errors import EnvironmentProblem
from piecehub.facts import runs
from piecehub.facts.workdir import Workdir, alone

pytest.importorskip("tfx")

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipelines.sweep import sweep

_proto: Any = mlmd  # generated, without types
Store = Any
Executions = Callable[..., int]


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    found = Workdir(tmp_path / "work")
    found.root.mkdir()
    return found


@pytest.fixture
def other_run(workdir: Workdir) -> Iterator[int]:
    """The id of a process that holds the folder; it does nothing else."""
    ready, say = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with alone(workdir):
                os.write(say, b"held")
                signal.pause()
        finally:
            os._exit(1)
    os.close(say)
    assert os.read(ready, 4) == b"held"
    os.close(ready)
    yield child
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def test_a_second_run_in_a_working_folder_is_refused_until_the_first_ends(workdir: Workdir) -> None:
    with alone(workdir):
        with pytest.raises(EnvironmentProblem, match=r"Expected no other run in '.*'\. Received: one"), alone(workdir):
            raise AssertionError("two runs hold one folder")
        other = Workdir(workdir.root.parent / "other")
        other.root.mkdir()
        with alone(other):
            pass
    with alone(workdir):
        pass


def test_a_run_of_another_process_holds_the_folder_and_a_killed_one_does_not(workdir: Workdir, other_run: int) -> None:
    with pytest.raises(EnvironmentProblem, match="one that is going on"), alone(workdir):
        pass
    os.kill(other_run, signal.SIGKILL)
    os.waitpid(other_run, 0)
    with alone(workdir):
        pass


@pytest.fixture
def store(workdir: Workdir) -> Store:
    return _metadata(workdir)


@pytest.fixture
def execution(workdir: Workdir, store: Store) -> Executions:
    """Makes an execution of a state, with its output's folder; gives its id."""
    kind = store.put_execution_type(_proto.ExecutionType(name="Trainer"))

    def make(state: int) -> int:
        (made,) = store.put_executions([_proto.Execution(type_id=kind, last_known_state=state)])
        folder = _output(workdir, made)
        folder.mkdir(parents=True)
        (folder / "weights").write_text("half")
        return made

    return make


def _output(workdir: Workdir, execution: int) -> Path:
    return workdir.artifacts / "tiny" / "FullModelTrainer" / "full_model" / str(execution)


def test_executions_that_a_killed_run_left_are_closed_and_their_outputs_removed(
    workdir: Workdir, store: Store, execution: Executions
) -> None:
    states = (_proto.Execution.RUNNING, _proto.Execution.NEW)
    dead = [execution(state) for state in states]
    ended = {execution(state): state for state in (_proto.Execution.COMPLETE, _proto.Execution.CACHED)}
    sweep(workdir)
    found = {e.id: e for e in store.get_executions()}
    for number in dead:
        assert found[number].last_known_state == _proto.Execution.FAILED
        assert found[number].custom_properties["__execution_result__"].string_value == "The run was killed."
        assert not _output(workdir, number).exists()
    for number, state in ended.items():
        assert found[number].last_known_state == state
        assert (_output(workdir, number) / "weights").read_text() == "half"


def test_half_written_data_and_working_folders_of_components_are_removed_and_nothing_else(workdir: Workdir) -> None:
    left = [
        workdir.data / "tmp-1" / "train",
        workdir.artifacts / "tiny" / "Trainer" / ".system" / "stateful_working_dir" / "7",
    ]
    kept = [workdir.data / "sha256-1" / "train", workdir.artifacts / "tiny" / "Trainer" / "full_model" / "7"]
    for folder in (*left, *kept):
        folder.mkdir(parents=True)
    sweep(workdir)
    assert not any(folder.exists() for folder in left) and all(folder.is_dir() for folder in kept)


def test_a_run_without_an_end_is_told_to_have_been_killed_and_an_ended_one_is_left_alone(workdir: Workdir) -> None:
    for name in ("killed", "ended"):
        runs.write_run(workdir, runs.Run(name, "tiny", "tiny", runs.now(), 1, (runs.Node("A"),)))
        runs.append_event(workdir, name, runs.Event(runs.now(), "A", "running"))
    runs.append_event(workdir, "ended", runs.Event(runs.now(), "", "done"))
    before = runs.read_events(workdir, "ended")
    for _ in range(2):  # the second finds nothing to do
        sweep(workdir)
        last = runs.read_events(workdir, "killed")
        assert [(e.node, e.state, e.message) for e in last[1:]] == [("", "failed", "The run was killed.")]
        assert runs.read_events(workdir, "ended") == before


def test_an_empty_working_folder_needs_no_sweeping(workdir: Workdir) -> None:
    sweep(workdir)
    assert list(workdir.root.iterdir()) == []
    _metadata(workdir)  # made, and nothing is in it
    sweep(workdir)


def _metadata(workdir: Workdir) -> Store:
    config = _proto.ConnectionConfig()
    config.sqlite.filename_uri = str(workdir.metadata)
    return metadata_store.MetadataStore(config)


def test_an_artifact_that_a_gc_removed_is_told_so_that_no_cache_offers_it(workdir: Workdir, store: Store) -> None:
    kind = store.put_artifact_type(_proto.ArtifactType(name="Model"))
    here, gone, elsewhere = (
        workdir.artifacts / "t" / "A" / "out" / "1",
        workdir.artifacts / "t" / "A" / "out" / "2",
        "/x",
    )
    here.mkdir(parents=True)
    uris = [str(here.resolve()), str(gone.resolve()), elsewhere]
    live = _proto.Artifact.LIVE
    store.put_artifacts([_proto.Artifact(type_id=kind, uri=uri, state=live) for uri in uris])
    sweep(workdir)
    assert [a.state for a in store.get_artifacts()] == [live, _proto.Artifact.DELETED, live]
