"""TFX's IR-based Beam runner on one machine, with SQLite ML Metadata, live progress and nothing left behind.

What it adds to TFX's own runner (measured on TFX 1.21; a test fails if the names that it hooks into move):
one line and one log file a component; a failure's sentence, also in ML Metadata; a failed input resolution is an error,
not silence; anomalies of examples stop the run where they are found; an output equal to the one before it *is* the one
before it, so what reads the store (and is never cached) does not make everything after it run again; executions of
killed runs are closed and their folders removed.
"""

# The generated protos have no types, and Beam and TFX set attributes while they run.
# pyright: reportAttributeAccessIssue=false

import contextlib
import functools
import os
import time
import traceback
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import StandardOptions
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx import v1 as tfx
from tfx.dsl.compiler import compiler
from tfx.orchestration import metadata as tfx_metadata
from tfx.orchestration.beam import beam_dag_runner
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import pipeline_pb2

from piecehub import logs
from piecehub.errors import NoSpace, PiecehubError, no_space, telling_no_space
from piecehub.examples.anomalies import refuse_anomalies
from piecehub.facts import runs
from piecehub.facts.beam import beam_with
from piecehub.facts.heap import give_back
from piecehub.facts.workdir import Workdir, alone, make_writable, mark, relied_on
from piecehub.signing.keys import public_key_of
from piecehub.signing.place import LOCAL_BUILDER, SigningPlace, signing_with
from piecehub.store.push import read_outcome
from piecehub.training.devices import resolved
from pipelines import preflight
from pipelines.cost.stopwatch import Stopwatch
from pipelines.data import examples_folder
from pipelines.launcher import TruthfulLauncher, sentence_of
from pipelines.literal_paths import refuse_patterns
from pipelines.piece_journey import Places, evaluator_ids, piece_suffixes
from pipelines.pipeline import create_pipeline, never_cached
from pipelines.recipe.tables import LoadedRecipe, Piece, Recipe
from pipelines.sweep import sweep

_SIGNS = {"done": ("✓", "done"), "cached": ("↺", "from cache"), "stopped": ("◼", "stopped")}
_RUNNER = "FnApiRunner"  # by name: DirectRunner tries to download a binary in every run
_LONG_S = 10.0  # a component that took so long may take half a second more to give memory back


@dataclass(frozen=True)
class PieceOutcome:
    """What became of one piece: `handle` is empty if it was not published, and `why` then says why.

    Attributes:
        evidence: the folders of its evidence, one a task.
        mode: what the gate judged of it, fine-tuning or frozen features.
    """

    name: str
    pushed: bool
    handle: str
    why: str
    evidence: tuple[Path, ...]
    mode: str = "fine_tuning"


@dataclass(frozen=True)
class Outcome:
    """How a run ended, for each of the recipe's pieces."""

    run: str
    pieces: tuple[PieceOutcome, ...]

    @property
    def pushed(self) -> bool:
        """Whether every piece stands in the store now."""
        return all(piece.pushed for piece in self.pieces)


@dataclass(frozen=True)
class _Means:
    """What who starts a run says of how it runs; no record holds it."""

    signing: SigningPlace | None
    beam_args: tuple[str, ...]


class ComponentFailed(PiecehubError):
    """A component failed; the message says which and why."""


def run(
    loaded: LoadedRecipe,
    workdir: Workdir,
    signing_key: Path | None = None,
    beam_args: Sequence[str] = (),
    devices: str = "",
) -> Outcome:
    """Runs the recipe's pipeline to its end.

    Args:
        loaded: the recipe.
        workdir: where everything lies.
        signing_key: signs what is published; where it lies stands in no record.
        beam_args: for Beam, which then reads examples and runs trials, such as `--runner=FlinkRunner`; empty does so
            without it.
        devices: what the full model is trained on (piecehub/training/devices.py).

    Raises:
        PiecehubError: if something fails; finished components come from the cache in the next run.
    """
    with telling_no_space():
        return _run_alone(loaded, workdir, signing_key, beam_args, devices)


def _run_alone(
    loaded: LoadedRecipe, workdir: Workdir, signing_key: Path | None, beam_args: Sequence[str], devices: str
) -> Outcome:
    refuse_patterns(workdir.root)
    with logs.away():
        devices = resolved(devices)  # TensorFlow divides a processor only before it has computed anything
    means = _Means(_signing_place(signing_key, workdir), tuple(beam_args))
    for folder in (workdir.root, workdir.store, workdir.runs, workdir.logs):
        make_writable(folder)
    mark(workdir.root)
    with alone(workdir):
        sweep(workdir)
        ir = _compiled(loaded, workdir, devices)
        return _run_ir(ir, loaded, workdir, means)


def _signing_place(key: Path | None, workdir: Workdir) -> SigningPlace | None:
    """What the run signs with, tried out before anything is computed."""
    if key is None:
        return None
    public_key_of(key)
    return SigningPlace(key.resolve(), LOCAL_BUILDER, workdir.metadata.resolve())


def _compiled(loaded: LoadedRecipe, workdir: Workdir, devices: str) -> pipeline_pb2.Pipeline:
    """The recipe's pipeline; what stops a run before it has components leaves a run, too, with its traceback."""
    started_at = runs.now()
    try:
        with logs.to_file(workdir.logs / "loading.log"):
            return _compile(loaded, workdir, devices)
    except BaseException as error:
        record = runs.Run(_run_id(), loaded.config.recipe.name, str(loaded.folder), started_at, os.getpid(), ())
        with _as_far_as_there_is_room():
            runs.write_run(workdir, record)
            _write_traceback(error, workdir.logs / record.run / runs.RUNNER_LOG)
            _end(workdir, record, error)
        raise


@contextlib.contextmanager
def _as_far_as_there_is_room() -> Generator[None]:
    """What is told of a failure is told where it can be: a full disk may be the failure, which must not be hidden."""
    with contextlib.suppress(OSError):
        yield


def _end(workdir: Workdir, record: runs.Run, error: BaseException, message: str = "") -> None:
    """Records how a run ended that did not come to its end."""
    stopped = isinstance(error, KeyboardInterrupt)
    sentence = runs.STOPPED if stopped else message or sentence_of(error)
    state: runs.State = "stopped" if stopped else "failed"
    runs.append_event(workdir, record.run, runs.Event(runs.now(), "", state, message=sentence))


def _write_traceback(error: BaseException, log: Path) -> None:
    """Adds where an error came from to the log that the page of a run shows."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        traceback.print_exception(error, file=file)


def _run_id() -> str:
    return time.strftime("%Y%m%d-%H%M%S") + f"-{time.time_ns() // 1_000_000 % 1000:03d}"


def _compile(loaded: LoadedRecipe, workdir: Workdir, devices: str) -> pipeline_pb2.Pipeline:
    """The recipe's pipeline as TFX's IR, its examples written and its code tried out."""
    preflight.check(loaded, workdir.store)
    places = Places(
        pipeline_root=str(workdir.artifacts.resolve() / loaded.config.recipe.name.replace("/", "-")),
        examples=str(examples_folder(loaded, workdir.data.resolve())),
        store=str(workdir.store.resolve()),
        trials=str(workdir.trials.resolve()),
        training=str(workdir.training.resolve()),
    )
    connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(workdir.metadata.resolve()))
    pipeline = create_pipeline(loaded, places, connection, [f"--runner={_RUNNER}"], devices)
    return compiler.Compiler().compile(pipeline)


def _run_ir(ir: pipeline_pb2.Pipeline, loaded: LoadedRecipe, workdir: Workdir, means: _Means) -> Outcome:
    """Runs the compiled pipeline; every change of a component's state is an event of the run."""
    nodes = [node.pipeline_node for node in ir.nodes]
    for node in nodes:
        if node.node_info.id in never_cached(loaded.config):
            node.execution_options.caching_options.enable_cache = False
    record = _record(ir.pipeline_info.id, nodes, loaded)
    runs.write_run(workdir, record)
    with _progress_stream() as progress_fd:
        _say(progress_fd, f"{record.pipeline}  {len(nodes)} components  run {record.run}")
        width = max(len(node.node_info.id) for node in nodes)
        node_runner = functools.partial(
            _Node, workdir=str(workdir.root), run=record.run, progress_fd=progress_fd, id_width=width, means=means
        )
        runner = type(
            "Runner", (beam_dag_runner.BeamDagRunner,), {"_PIPELINE_NODE_DO_FN_CLS": staticmethod(node_runner)}
        )
        StandardOptions.DEFAULT_RUNNER = _RUNNER
        try:
            with logs.to_file(workdir.logs / record.run / runs.RUNNER_LOG):
                runner().run_with_ir(ir)
        except BaseException as error:
            was_stopped = _was_stopped(workdir, record, error)  # Beam hands on an interrupt as an error like any other
            failed = _failure(workdir, record)
            with _as_far_as_there_is_room():
                for node in _unstarted(workdir, record):
                    runs.append_event(workdir, record.run, runs.Event(runs.now(), node, "not run"))
                _end(workdir, record, KeyboardInterrupt() if was_stopped else error, failed)
            if was_stopped:
                raise KeyboardInterrupt from error
            if not isinstance(error, Exception):
                raise
            kind = NoSpace if no_space(error) else ComponentFailed
            raise kind(f"{failed or sentence_of(error)} Log: {workdir.logs / record.run}") from error
    outcome = _outcome(workdir, record, loaded.config)
    results = tuple(runs.Result(p.name, p.pushed, p.handle, p.why) for p in outcome.pieces)
    runs.append_event(workdir, record.run, runs.Event(runs.now(), "", "done", results=results))
    return outcome


def _record(pipeline: str, nodes: list[pipeline_pb2.PipelineNode], loaded: LoadedRecipe) -> runs.Run:
    drawn = tuple(
        runs.Node(
            node.node_info.id,
            tuple(node.upstream_nodes),
            {key: plain(value) for key, value in sorted(node.parameters.parameters.items())},
        )
        for node in nodes
    )
    return runs.Run(_run_id(), pipeline, str(loaded.folder), runs.now(), os.getpid(), drawn)


def plain(value: pipeline_pb2.Value) -> Any:
    """A parameter of a component as a text or a number."""
    field = value.field_value
    kind = field.WhichOneof("value")
    return getattr(field, kind) if kind else ""


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


def _outcome(workdir: Workdir, record: runs.Run, config: Recipe) -> Outcome:
    states = runs.node_states(record, runs.read_events(workdir, record.run))
    suffixes = zip(piece_suffixes(config), config.piece, strict=True)
    return Outcome(record.run, tuple(_piece_outcome(piece, suffix, config, states) for suffix, piece in suffixes))


def _piece_outcome(piece: Piece, suffix: str, config: Recipe, states: Mapping[str, runs.Event]) -> PieceOutcome:
    pushed = read_outcome(Path(states[f"HubPusher{suffix}"].outputs["pushed_model"]))
    evidence = [Path(states[node].outputs["evidence"]) for node in evaluator_ids(config, piece, suffix)]
    return PieceOutcome(piece.name, pushed.pushed, pushed.handle, pushed.why, tuple(evidence), config.gate.mode)


class _Node(beam_dag_runner.PipelineNodeAsDoFn):
    """One component as TFX's Beam runner sees it, telling what happens to it."""

    def __init__(
        self,
        *,
        workdir: str,
        run: str,
        progress_fd: int,
        id_width: int,
        means: _Means,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._means = means
        self._workdir, self._run, self._progress_fd, self._id_width = workdir, run, progress_fd, id_width

    def _run_node(self) -> None:
        workdir = Workdir(Path(self._workdir))
        runs.append_event(workdir, self._run, runs.Event(runs.now(), self._node_id, "running"))
        started, watch = time.monotonic(), Stopwatch()
        try:
            with (
                logs.to_file(workdir.logs / self._run / f"{self._node_id}.log"),
                signing_with(self._means.signing),
                beam_with(self._means.beam_args),
                runs.progress_to(functools.partial(self._note, workdir)),
                watch.during(self._node_id),
            ):
                state, outputs = self._launch()
        except KeyboardInterrupt:
            self._tell(workdir, "stopped", time.monotonic() - started, "", {})
            raise
        except BaseException as error:
            with _as_far_as_there_is_room():
                # Beam prints it into the runner's log only, among everything else.
                _write_traceback(error, workdir.logs / self._run / f"{self._node_id}.log")
            with _as_far_as_there_is_room():
                self._tell(workdir, "failed", time.monotonic() - started, sentence_of(error), {})
            raise
        took = time.monotonic() - started
        if took > _LONG_S:
            give_back()
        self._tell(workdir, state, took, "", outputs, watch.last.cpu_s)

    def _launch(self) -> tuple[runs.State, dict[str, str]]:
        info = TruthfulLauncher(
            pipeline_node=self._pipeline_node,
            mlmd_connection=tfx_metadata.Metadata(self._mlmd_connection_config),
            pipeline_info=self._pipeline_info,
            pipeline_runtime_spec=self._pipeline_runtime_spec,
            executor_spec=self._executor_spec,
            platform_config=self._extract_platform_config(self._deployment_config, self._node_id),
            custom_driver_spec=self._custom_driver_spec,
            relied_on=functools.partial(relied_on, Workdir(Path(self._workdir))),
        ).launch()
        with tfx_metadata.Metadata(self._mlmd_connection_config) as connection:
            state, outputs = _ended(connection.store, self._node_id, info)
        # TFX's validator only notes what it finds. Who finds it is who stops the run, and what fails by the page.
        if anomalies := outputs.get("anomalies"):
            refuse_anomalies(Path(anomalies))
        return state, outputs

    def _note(self, workdir: Workdir, message: str) -> None:
        runs.append_event(workdir, self._run, runs.Event(runs.now(), self._node_id, "running", message=message))

    def _tell(
        self,
        workdir: Workdir,
        state: runs.State,
        seconds: float,
        message: str,
        outputs: dict[str, str],
        cpu_s: float = 0.0,
    ) -> None:
        event = runs.Event(runs.now(), self._node_id, state, round(seconds, 2), message, outputs, cpu_s=round(cpu_s, 2))
        runs.append_event(workdir, self._run, event)
        sign, word = _SIGNS.get(state, ("✗", state))
        _say(self._progress_fd, f"  {sign}  {self._node_id:<{self._id_width}} {word:<10} {seconds:7.1f} s")


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


@contextlib.contextmanager
def _progress_stream() -> Generator[int]:
    """A copy of standard error that stays the person's while components write into their logs."""
    fd = os.dup(2)
    try:
        yield fd
    finally:
        os.close(fd)


def _say(fd: int, line: str) -> None:
    os.write(fd, (line + "\n").encode())
