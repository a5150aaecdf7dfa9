"""What a run leaves for the pages: its DAG, and one event for each change of a component's state.

    runs/<run>/run.json     {"schema": 1, "run", "pipeline", "recipe", "started_at", "pid",
                             "nodes": [{"id", "upstream": [id…], "parameters": {key: value}}…]}
    logs/<run>/events.jsonl one JSON object a line, as `piecehub run --json` prints it (docs/terminal.md): {"event",
                             "run", "component", "at", "state", "seconds", "message", "progress": {…}, "outputs",
                             "results": [{"piece", "published", "handle", "why"}…], "cpu_s",
                             "memory_bytes", "peak_bytes", "disk_bytes"}

`at` and `started_at` are UTC, ISO 8601. `event` is component; or run, of the run's own end, whose state is done, failed
or stopped (by a person) and whose component is ""; the results of one that is done say what became of each piece.
`outputs` maps an output's key to the artifact's folder, as a path below the working folder, which may be moved. Run ids
sort by time. A component that is long at work says by further events `running` how far it is: `progress` has the form
that progress.py draws, and `message` is its text. Older records have `node` for component, and neither event nor run.
"""

import errno
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from piecehub.facts.progress import Progress
from piecehub.facts.workdir import Workdir, inside, outside

State = Literal["waiting", "running", "done", "cached", "failed", "stopped", "not run"]
# The log of what the runner itself does, and of what happens before there are components.
RUNNER_LOG = "runner.log"
# What a person is told who stopped a run.
STOPPED = "Stopped; finished components come from the cache in the next run."


@dataclass(frozen=True)
class Node:
    """One component of the DAG."""

    id: str
    upstream: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Run:
    """One pipeline run, as it was started."""

    run: str
    pipeline: str
    recipe: str
    started_at: str
    pid: int
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Result:
    """What became of one piece: published as `handle`, or not, and then `why` says why."""

    piece: str
    published: bool
    handle: str = ""
    why: str = ""

    @property
    def sentence(self) -> str:
        """The same for a person."""
        if not self.published:
            return f"Not published: {self.why}"
        return f"Published as {self.handle}." if not self.why else f"Published as {self.handle}. {self.why}"


@dataclass(frozen=True)
class Event:
    """A component changed its state; `seconds` is the time it took, once it ended; `results` are those of a run.

    `cpu_s` is the time of processors that it took, as far as the kernel tells; `memory_bytes` the most that the run had
    written to in all its processes together meanwhile; `peak_bytes` the most that they held, as a container's memory is
    counted, with what they map; and `disk_bytes` what its outputs take of a disk: 0 where it was not noted.
    """

    at: str
    node: str
    state: State
    seconds: float = 0.0
    message: str = ""
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    results: tuple[Result, ...] = ()
    cpu_s: float = 0.0
    memory_bytes: int = 0
    peak_bytes: int = 0
    disk_bytes: int = 0
    progress: Progress | None = None


def now() -> str:
    """The present moment, UTC, ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def parse_time(at: str) -> datetime:
    """An ISO 8601 time; one without a zone is UTC."""
    time = datetime.fromisoformat(at)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def write_run(workdir: Workdir, run: Run) -> None:
    """Writes `runs/<run>/run.json`."""
    folder = workdir.runs / run.run
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"schema": 1, **asdict(run)}, indent=2, sort_keys=True)
    beside = folder / ".run.json"
    try:
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(folder / "run.json")
    finally:
        beside.unlink(missing_ok=True)
    _note(workdir, run.run)


def read_run(workdir: Workdir, run: str) -> Run | None:
    """The run of that id, or None."""
    path = workdir.runs / run / "run.json"
    if Path(run).name != run or not path.is_file():
        return None
    value = json.loads(path.read_text(encoding="utf-8"))
    nodes = tuple(Node(n["id"], tuple(n["upstream"]), n["parameters"]) for n in value["nodes"])
    return Run(value["run"], value["pipeline"], value["recipe"], value["started_at"], value["pid"], nodes)


def store_of(run: Run) -> str:
    """The store that a run was told to publish to, by its whole path then or its uri; empty where no record says."""
    return next((str(node.parameters["store_folder"]) for node in run.nodes if "store_folder" in node.parameters), "")


def is_of_store(workdir: Workdir, run: Run) -> bool:
    """Whether a run published to the store of its working folder, as that is told now; it may have been moved."""
    told = store_of(run)
    if told == workdir.store_place:
        return True
    was_moved = "://" not in told and Path(told).name == workdir.store.name and not Path(told).exists()
    return not workdir.store_at and (not told or was_moved)


def is_going_on(run: Run, events: Sequence[Event]) -> bool:
    """Whether nothing says that the run has ended, and its process is alive on this machine."""
    return all(event.node for event in events) and _is_alive(run.pid)


def _is_alive(pid: int) -> bool:
    """Whether a process of that id runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def run_ids(workdir: Workdir) -> list[str]:
    """All runs, newest first."""
    if not workdir.runs.is_dir():
        return []
    return sorted((p.parent.name for p in workdir.runs.glob("*/run.json")), reverse=True)


def line_of(workdir: Workdir, run: str, event: Event) -> bytes:
    """An event as a line, in the form drawn above."""
    value = {"event": "component" if event.node else "run", "run": run, "component": event.node, **asdict(event)}
    del value["node"]
    value["outputs"] = {key: inside(workdir, place) for key, place in event.outputs.items()}
    value["progress"] = event.progress.to_json() if event.progress else {}
    return (json.dumps(value) + "\n").encode()


def append_event(workdir: Workdir, run: str, event: Event) -> None:
    """Adds a line to `logs/<run>/events.jsonl`."""
    folder = workdir.logs / run
    folder.mkdir(parents=True, exist_ok=True)
    line = line_of(workdir, run, event)
    with (folder / "events.jsonl").open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
        except OSError:
            file.truncate(size)  # a half line would spoil the next one
            raise
    if not event.node:
        _note(workdir, run)


def _note(workdir: Workdir, run: str) -> None:
    """Tells the index of runs, which reads them by this module."""
    from piecehub.facts import run_index

    run_index.note(workdir, run)


def read_events(workdir: Workdir, run: str) -> list[Event]:
    """The events of a run, oldest first; a line that a killed run left half-written is passed over."""
    path = workdir.logs / run / "events.jsonl"
    if Path(run).name != run or not path.is_file():
        return []
    events: list[Event] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            events.append(_event(workdir, json.loads(line)))
        except (ValueError, TypeError, AttributeError):
            continue
    return events


def _event(workdir: Workdir, value: dict[str, Any]) -> Event:
    """An event as `line_of` wrote it, now or in an older release."""
    fields = {key: found for key, found in value.items() if key not in ("event", "run", "component")}
    event = Event(**({"node": value["component"]} if "component" in value else {}), **fields)
    places = {key: outside(workdir, place) for key, place in event.outputs.items()}
    results = tuple(Result(**cast("dict[str, Any]", result)) for result in event.results)
    progress = Progress.from_json(cast("dict[str, Any]", event.progress)) if event.progress else None
    return replace(event, outputs=places, results=results, progress=progress)


def node_states(run: Run, events: list[Event]) -> dict[str, Event]:
    """The last event of each component of the run; one that has none is waiting."""
    states = {node.id: Event(run.started_at, node.id, "waiting") for node in run.nodes}
    return states | {event.node: event for event in events if event.node in states}
