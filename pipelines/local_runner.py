"""TFX's IR-based Beam runner on one machine, with SQLite ML Metadata, live progress and nothing left behind.

What it adds to TFX's own runner (measured on TFX 1.21; a test fails if the names that it hooks into move):
events and one log file a component; a failure's sentence, also in ML Metadata; a failed input resolution is an error,
not silence; anomalies of examples stop the run where they are found; an output equal to the one before it *is* the one
before it, so what reads the store (and is never cached) does not make everything after it run again; executions of
killed runs are closed and their folders removed.
"""

# The generated protos have no types, and Beam and TFX set attributes while they run.
# pyright: reportAttributeAccessIssue=false

import contextlib
import functools
import json
import os
import time
import traceback
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import StandardOptions
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration import metadata as tfx_metadata
from tfx.orchestration.beam import beam_dag_runner
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import pipeline_pb2

from piecehub import logs
from piecehub.errors import NoSpace, PiecehubError, no_space, telling_no_space
from piecehub.examples.anomalies import refuse_anomalies
from piecehub.facts import runs
from piecehub.facts.beam import beam_with
from piecehub.facts.heap import give_back, set_aside
from piecehub.facts.heartbeat import beating
from piecehub.facts.plan import write_plan
from piecehub.facts.progress import Progress, progress_to
from piecehub.facts.workdir import Workdir, alone, make_writable, mark, relied_on
from piecehub.signing.keys import public_key_of
from piecehub.signing.place import LOCAL_BUILDER, SigningPlace, signing_with
from piecehub.training.devices import resolved
from piecehub.ui.shown import write_event
from pipelines.compiled import RUNNER, checked, compiled
from pipelines.cost.allocated import allocated
from pipelines.cost.processes import Looks, looked_at
from pipelines.cost.stopwatch import Stopwatch
from pipelines.launcher import TruthfulLauncher, sentence_of
from pipelines.literal_paths import refuse_patterns
from pipelines.outcome import Outcome, outcome_of
from pipelines.planning.noted import Noted, beginning, note_end
from pipelines.planning.parameters import plain_parameters
from pipelines.planning.read import sources
from pipelines.planning.repeat import repeated, signer
from pipelines.recipe.node_ids import pipeline_name
from pipelines.recipe.tables import LoadedRecipe
from pipelines.sweep import sweep

_LOOK_S = 2.0  # a look at the memory of all processes takes some milliseconds
_LONG_S = 10.0  # a component that took so long may take half a second more to give memory back


@dataclass(frozen=True)
class _Means:
    """What who starts a run says of how it runs; no record holds it."""

    signing: SigningPlace | None
    signed_by: str
    beam_args: tuple[str, ...]
    devices: str
    events_fd: int


@dataclass(frozen=True)
class _Diary:
    """Where the events of a run are written, and shown; plain values, since Beam copies what holds it."""

    root: str
    run: str
    events_fd: int

    @property
    def workdir(self) -> Workdir:
        """The working folder."""
        return Workdir(Path(self.root))

    def tell(self, event: runs.Event) -> None:
        """Shows an event, then writes it down."""
        write_event(self.events_fd, runs.line_of(self.workdir, self.run, event))
        runs.append_event(self.workdir, self.run, event)


class ComponentFailed(PiecehubError):
    """A component failed; the message says which and why."""


def run(
    loaded: LoadedRecipe,
    workdir: Workdir,
    signing_key: Path | None = None,
    beam_args: Sequence[str] = (),
    devices: str = "",
    events_fd: int = -1,
) -> Outcome:
    """Runs the recipe's pipeline to its end.

    Args:
        loaded: the recipe.
        workdir: where everything lies, and what is published to.
        signing_key: signs what is published; where it lies stands in no record.
        beam_args: for Beam, which then reads examples and runs trials, such as `--runner=FlinkRunner`; empty does so
            without it.
        devices: what the full model is trained on (piecehub/training/devices.py).
        events_fd: a descriptor that gets each event as a line (piecehub/facts/runs.py), and first what will run; -1
            for none. How far it is before there are components is told as in piecehub/facts/progress.py.

    Raises:
        PiecehubError: if something fails; finished components come from the cache in the next run.
        KeyboardInterrupt: if a person stopped it; its sentence says what is kept.
    """
    means = _means(signing_key, beam_args, devices, events_fd, workdir)
    with _alone(workdir):
        return _run_ir(*_compiled(loaded, workdir, means, None), loaded, workdir, means)


def run_if_needed(
    loaded: LoadedRecipe,
    workdir: Workdir,
    signing_key: Path | None = None,
    beam_args: Sequence[str] = (),
    devices: str = "",
    events_fd: int = -1,
) -> Outcome:
    """The same, but where a plan says that there is nothing to do, the outcome of the last run is repeated.

    Arguments and errors are those of `run`.
    """
    means = _means(signing_key, beam_args, devices, events_fd, workdir)
    with _alone(workdir):
        ir, began = _compiled(loaded, workdir, means, means.signed_by)
        if began.plan.something_runs:
            return _run_ir(ir, began, loaded, workdir, means)
        return repeated(loaded, workdir)


def _means(
    signing_key: Path | None, beam_args: Sequence[str], devices: str, events_fd: int, workdir: Workdir
) -> _Means:
    return _Means(_signing_place(signing_key, workdir), signer(signing_key), tuple(beam_args), devices, events_fd)


@contextlib.contextmanager
def _alone(workdir: Workdir) -> Generator[None]:
    """In a working folder in which nobody else runs, and in which killed runs have left nothing."""
    with telling_no_space():
        refuse_patterns(workdir.root)
        for folder in (workdir.root, workdir.store, workdir.runs, workdir.logs):
            make_writable(folder)
        mark(workdir.root)
        with alone(workdir):
            sweep(workdir)
            yield


def _signing_place(key: Path | None, workdir: Workdir) -> SigningPlace | None:
    """What the run signs with, tried out before anything is computed."""
    if key is None:
        return None
    public_key_of(key)
    return SigningPlace(key.resolve(), LOCAL_BUILDER, workdir.metadata.resolve())


def _compiled(
    loaded: LoadedRecipe, workdir: Workdir, means: _Means, signed_by: str | None
) -> tuple[pipeline_pb2.Pipeline, Noted]:
    """The recipe's pipeline, and what is so as it begins; `signed_by` is that of `plan_of`.

    What stops a run before it has components leaves a run, too, with its traceback.
    """
    started_at = runs.now()
    with logs.away():
        devices = resolved(means.devices)  # TensorFlow divides a processor only before it has computed anything
    try:
        with logs.to_file(workdir.logs / "loading.log"):
            read = sources(loaded, means.devices)
            ir = compiled(loaded, workdir, checked(loaded, workdir), devices)
            return ir, beginning(ir, loaded, workdir, read, signed_by)
    except BaseException as error:
        record = runs.Run(_run_id(), pipeline_name(loaded.config), str(loaded.folder), started_at, os.getpid(), ())
        with _as_far_as_there_is_room():
            runs.write_run(workdir, record)
            _write_traceback(error, workdir.logs / record.run / runs.RUNNER_LOG)
            _end(_Diary(str(workdir.root), record.run, means.events_fd), error)
        raise


@contextlib.contextmanager
def _as_far_as_there_is_room() -> Generator[None]:
    """What is told of a failure is told where it can be: a full disk may be the failure, which must not be hidden."""
    with contextlib.suppress(OSError):
        yield


def _end(diary: _Diary, error: BaseException, message: str = "") -> None:
    """Records how a run ended that did not come to its end."""
    stopped = isinstance(error, KeyboardInterrupt)
    sentence = runs.STOPPED if stopped else message or sentence_of(error)
    state: runs.State = "stopped" if stopped else "failed"
    diary.tell(runs.Event(runs.now(), "", state, message=sentence))


def _write_traceback(error: BaseException, log: Path) -> None:
    """Adds where an error came from to the log that the page of a run shows."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        traceback.print_exception(error, file=file)


def _run_id() -> str:
    return time.strftime("%Y%m%d-%H%M%S") + f"-{time.time_ns() // 1_000_000 % 1000:03d}"


def _run_ir(ir: pipeline_pb2.Pipeline, began: Noted, loaded: LoadedRecipe, workdir: Workdir, means: _Means) -> Outcome:
    """Runs the compiled pipeline; every change of a component's state is an event of the run."""
    nodes = [node.pipeline_node for node in ir.nodes]
    record = _record(ir.pipeline_info.id, nodes, loaded)
    runs.write_run(workdir, record)
    with _as_far_as_there_is_room():
        write_plan(workdir, record.run, began.plan)
    diary = _Diary(str(workdir.root), record.run, means.events_fd)
    write_event(means.events_fd, _beginning(record))
    node_runner = functools.partial(_Node, diary=diary, means=means)
    runner = type("Runner", (beam_dag_runner.BeamDagRunner,), {"_PIPELINE_NODE_DO_FN_CLS": staticmethod(node_runner)})
    StandardOptions.DEFAULT_RUNNER = RUNNER
    try:
        with logs.to_file(workdir.logs / record.run / runs.RUNNER_LOG), beating(workdir, record.run), set_aside():
            runner().run_with_ir(ir)
    except BaseException as error:
        was_stopped = _was_stopped(workdir, record, error)  # Beam hands on an interrupt as an error like any other
        failed = _failure(workdir, record)
        with _as_far_as_there_is_room():
            for node in _unstarted(workdir, record):
                diary.tell(runs.Event(runs.now(), node, "not run"))
            _end(diary, KeyboardInterrupt() if was_stopped else error, failed)
        if was_stopped:
            raise KeyboardInterrupt(_kept(workdir, record)) from error
        if not isinstance(error, Exception):
            raise
        kind = NoSpace if no_space(error) else ComponentFailed
        raise kind(f"{failed or sentence_of(error)} Log: {workdir.logs / record.run}") from error
    outcome = outcome_of(workdir, record, loaded.config)
    results = tuple(runs.Result(p.name, p.pushed, p.handle, p.why) for p in outcome.pieces)
    diary.tell(runs.Event(runs.now(), "", "done", results=results))
    with _as_far_as_there_is_room(), contextlib.suppress(PiecehubError):
        note_end(workdir, record, began, outcome, loaded, means.devices, means.signed_by)
    return outcome


def _beginning(record: runs.Run) -> bytes:
    """The first line for whoever looks on: what will run. On disk, `run.json` says it."""
    components = [{"id": node.id, "upstream": list(node.upstream)} for node in record.nodes]
    about = {"pipeline": record.pipeline, "recipe": record.recipe, "components": components}
    event = {"event": "run", "run": record.run, "component": "", "at": record.started_at, "state": "running", **about}
    return (json.dumps(event) + "\n").encode()


def _kept(workdir: Workdir, record: runs.Run) -> str:
    """What a person who stopped a run need not wait for again."""
    events = runs.read_events(workdir, record.run)
    states = runs.node_states(record, events)
    ended = sum(event.state in ("done", "cached") for event in states.values())
    told = [f"{ended} of {len(states)} components are finished and come from the cache"]
    began = datetime.fromisoformat(record.started_at).timestamp()
    if trials := sum(path.stat().st_mtime >= began for path in workdir.trials.glob("*/*.npz")):
        told.append(f"{trials} trials are kept")
    if any(path.stat().st_mtime >= began for path in workdir.training.glob("*/checkpoint.npz")):
        told.append("the training goes on from its last checkpoint")
    return f"Stopped. {', '.join(told)}: run the same command again to go on."


def _record(pipeline: str, nodes: list[pipeline_pb2.PipelineNode], loaded: LoadedRecipe) -> runs.Run:
    drawn = tuple(
        runs.Node(
            node.node_info.id,
            tuple(node.upstream_nodes),
            plain_parameters(node),
        )
        for node in nodes
    )
    return runs.Run(_run_id(), pipeline, str(loaded.folder), runs.now(), os.getpid(), drawn)


def _failure(workdir: Workdir, record: runs.Run) -> str:
    for event in runs.read_events(workdir, record.run):
        if event.state == "failed":
            return f"{event.node} failed. {event.message}"
    return ""


def _was_stopped(workdir: Workdir, record: runs.Run, error: BaseException) -> bool:
    """Whether a person stopped the run."""
    is_told = any(event.state == "stopped" for event in runs.read_events(workdir, record.run))
    return is_told or isinstance(error, KeyboardInterrupt)


def _unstarted(workdir: Workdir, record: runs.Run) -> list[str]:
    states = runs.node_states(record, runs.read_events(workdir, record.run))
    return [node for node, event in states.items() if event.state in ("waiting", "running")]


class _Node(beam_dag_runner.PipelineNodeAsDoFn):
    """One component as TFX's Beam runner sees it, telling what happens to it."""

    def __init__(
        self,
        *,
        diary: _Diary,
        means: _Means,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._diary, self._means = diary, means

    def _run_node(self) -> None:
        log = self._diary.workdir.logs / self._diary.run / f"{self._node_id}.log"
        self._note(Progress())
        started, watch = time.monotonic(), Stopwatch()
        try:
            with (
                logs.to_file(log),
                signing_with(self._means.signing),
                beam_with(self._means.beam_args),
                progress_to(self._note),
                looked_at(os.getpid(), _LOOK_S) as looks,
                watch.during(self._node_id),
            ):
                state, outputs = self._launch()
        except KeyboardInterrupt:
            self._tell("stopped", time.monotonic() - started, "", {})
            raise
        except BaseException as error:
            with _as_far_as_there_is_room():
                # Beam prints it into the runner's log only, among everything else.
                _write_traceback(error, log)
            with _as_far_as_there_is_room():
                self._tell("failed", time.monotonic() - started, sentence_of(error), {})
            raise
        took = time.monotonic() - started
        if took > _LONG_S:
            give_back()
        self._tell(state, took, "", outputs, **_taken(watch.last.cpu_s, looks, outputs))

    def _launch(self) -> tuple[runs.State, dict[str, str]]:
        info = TruthfulLauncher(
            pipeline_node=self._pipeline_node,
            mlmd_connection=tfx_metadata.Metadata(self._mlmd_connection_config),
            pipeline_info=self._pipeline_info,
            pipeline_runtime_spec=self._pipeline_runtime_spec,
            executor_spec=self._executor_spec,
            platform_config=self._extract_platform_config(self._deployment_config, self._node_id),
            custom_driver_spec=self._custom_driver_spec,
            relied_on=functools.partial(relied_on, self._diary.workdir),
        ).launch()
        with tfx_metadata.Metadata(self._mlmd_connection_config) as connection:
            state, outputs = _ended(connection.store, self._node_id, info)
        # TFX's validator only notes what it finds. Who finds it is who stops the run, and what fails by the page.
        if anomalies := outputs.get("anomalies"):
            refuse_anomalies(Path(anomalies))
        return state, outputs

    def _note(self, progress: Progress) -> None:
        told = progress if progress.text else None
        self._diary.tell(runs.Event(runs.now(), self._node_id, "running", message=progress.text, progress=told))

    def _tell(self, state: runs.State, seconds: float, message: str, outputs: dict[str, str], **taken: Any) -> None:
        event = runs.Event(runs.now(), self._node_id, state, round(seconds, 2), message, outputs, **taken)
        self._diary.tell(event)


def _taken(cpu_s: float, looks: Looks, outputs: Mapping[str, str]) -> dict[str, Any]:
    """What a component took, as an event says it."""
    return {
        "cpu_s": max(0.01, round(cpu_s, 2)),  # 0 says that it is not known
        "memory_bytes": max((look.dirty_bytes for look in looks), default=0),
        "peak_bytes": looks.peak_bytes,
        "disk_bytes": sum(allocated(Path(place)) for place in outputs.values()),
    }


def _ended(store: Any, node_id: str, info: data_types.ExecutionInfo | None) -> tuple[runs.State, dict[str, str]]:
    """The state of the execution that was launched, and where its outputs lie.

    Raises:
        PiecehubError: if it neither completed nor came from the cache; TFX would go on silently.
    """
    found = store.get_executions_by_id([info.execution_id]) if info and info.execution_id else []
    if not found or found[0].last_known_state not in (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED):
        raise PiecehubError(f"Expected the inputs of {node_id}. Received: none; a component before it made no output.")
    events = store.get_events_by_execution_ids([found[0].id])
    made = {e.artifact_id: e.path.steps[0].key for e in events if e.type == mlmd.Event.OUTPUT}
    outputs = {made[a.id]: a.uri for a in store.get_artifacts_by_id(list(made))}
    return ("cached" if found[0].last_known_state == mlmd.Execution.CACHED else "done"), outputs
