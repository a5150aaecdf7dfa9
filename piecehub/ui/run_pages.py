"""What the run pages show, as plain values: of `runs/<run>/run.json`, `events.jsonl` and the components' logs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from piecehub.errors import PiecehubError
from piecehub.facts import heartbeat, runs
from piecehub.facts.progress import Progress
from piecehub.facts.run_rows import RunRow, row_of, shown_state
from piecehub.facts.runs import Event, Node, Run
from piecehub.facts.secrets import redacted_text
from piecehub.facts.workdir import Workdir
from piecehub.ui import layout, logs, words
from piecehub.ui.layout import Layout
from piecehub.ui.previews.artifact import plots_in
from piecehub.ui.run_times import Span, Times, times_of

# From how long on it is told that a run that goes on was silent.
_QUIET_S = 10.0


@dataclass(frozen=True)
class Output:
    """One artifact of a component: where it lies below the working folder, the plots in it, and whether it is there."""

    key: str
    place: str
    plots: tuple[str, ...]
    is_here: bool


@dataclass(frozen=True)
class Component:
    """One component of a run as the page shows it; `span` is None until it begins, `progress` unless it says so."""

    id: str
    state: str
    seconds: float
    message: str
    upstream: tuple[str, ...]
    parameters: dict[str, str]
    outputs: tuple[Output, ...]
    has_log: bool
    log_tail: str
    traceback: str
    progress: Progress | None
    span: Span | None

    @property
    def is_ended(self) -> bool:
        """Whether it has a time to show."""
        return self.state in ("done", "cached", "failed", "stopped")

    @property
    def far(self) -> str:
        """How far it is, in few words: the epoch, the trial, the bytes."""
        told = self.progress.counts[0].text if self.progress and self.progress.counts else ""
        return told or (self.progress.phase if self.progress else self.message.split(":")[0])


@dataclass(frozen=True)
class RunPage:
    """Everything on the page of a run.

    `mark` is another one as soon as the page is; `quiet_s` is for how long a run that goes on gave no sign of life, if
    that is long.
    """

    row: RunRow
    components: tuple[Component, ...]
    layout: Layout
    times: Times
    has_log: bool
    log_tail: str
    mark: str
    quiet_s: float

    @property
    def by_id(self) -> dict[str, Component]:
        """The components by id."""
        return {component.id: component for component in self.components}

    @property
    def failed(self) -> tuple[Component, ...]:
        """Those that failed."""
        return self.in_state("failed")

    @property
    def running(self) -> tuple[Component, ...]:
        """Those at work."""
        return self.in_state("running")

    def in_state(self, state: str) -> tuple[Component, ...]:
        """The components in a state."""
        return tuple(component for component in self.components if component.state == state)

    @property
    def said(self) -> str:
        """What somebody is told who listens and does not look: only what changes seldom."""
        ended = sum(component.is_ended for component in self.components)
        told = f"{ended} of {len(self.components)} components have ended."
        if self.row.state == "running":
            return " ".join((told, *(f"{words.isolated(component.id)} is running." for component in self.running)))
        return f"The run has ended: {words.state_word(self.row.shown_state)}."


class DamagedRun(PiecehubError):
    """The description of a run is not what the runner writes."""


def run_page(workdir: Workdir, run_id: str) -> RunPage | None:
    """The page of one run, or None if there is no such run; raises DamagedRun if its files cannot be read."""
    mark = mark_of(workdir, run_id)  # before anything is read: what comes after it is another mark
    run = read_run(workdir, run_id)
    if run is None:
        return None
    events = runs.read_events(workdir, run_id)
    sign = heartbeat.last_sign(workdir, run_id)
    row = row_of(run, events, sign)
    states = _states(run, events)
    times = times_of(run, events, row, {node.id: shown_state(event.state, row.state) for node, event in states})
    spans = times.by_id()
    components = tuple(_component(workdir, run, row, node, event, spans.get(node.id)) for node, event in states)
    log = workdir.logs / run_id / runs.RUNNER_LOG
    quiet_s = heartbeat.age_s(sign) if row.state == "running" else 0.0
    return RunPage(
        row,
        components,
        layout.place({node.id: node.upstream for node in run.nodes}),
        times,
        log.is_file(),
        logs.tail(log) if row.state == "failed" else "",
        mark,
        quiet_s if quiet_s > _QUIET_S else 0.0,
    )


def read_row(workdir: Workdir, run_id: str) -> RunRow | None:
    """How a run stands, short; None if there is no such run."""
    run = read_run(workdir, run_id)
    return row_of(run, runs.read_events(workdir, run_id), heartbeat.last_sign(workdir, run_id)) if run else None


def mark_of(workdir: Workdir, run_id: str) -> str:
    """A text that changes when what a run's page shows does, but for the time that goes by."""
    alive = heartbeat.is_fresh(heartbeat.last_sign(workdir, run_id))
    sizes = logs.logs_of(workdir, run_id)
    return f"{sizes.pop('events.jsonl', 0)}-{sum(sizes.values())}-{int(alive)}"


def run_json(page: RunPage) -> dict[str, Any]:
    """The page as plain JSON: its twin under `/api/v1/runs`."""
    return {
        "schema": 1,
        **asdict(page.row),
        "critical_s": round(page.times.critical_s, 3),
        "components": [_component_json(component) for component in page.components],
    }


def _component_json(component: Component) -> dict[str, Any]:
    value = asdict(component)
    told = {key: value[key] for key in ("id", "state", "seconds", "message", "upstream", "parameters")}
    told["outputs"] = [{"key": o.key, "place": o.place, "plots": o.plots} for o in component.outputs]
    told["progress"] = component.progress.to_json() if component.progress else {}
    span = component.span
    told["time"] = (
        {
            "began_s": round(span.began, 3),
            "seconds": round(span.seconds, 3),
            "waited_s": round(span.waited, 3),
            "after": span.after,
            "critical": span.is_critical,
            "cpu_s": span.cpu_s,
            "phases": [{"name": name, "seconds": round(seconds, 3)} for name, seconds in span.phases],
        }
        if span
        else None
    )
    return told


def log_text(workdir: Workdir, run_id: str, node_id: str) -> str | None:
    """The end of a component's log, or of the runner's own by the id `runner`; None if there is none such."""
    path = known_log(workdir, run_id, node_id)
    return logs.end_of(path) if path else None


def known_log(workdir: Workdir, run_id: str, node_id: str) -> Path | None:
    """Where the log of a component of the run is, or the runner's own; None of any other name."""
    run = read_run(workdir, run_id)
    if run is None or node_id not in {logs.RUNNER, *(node.id for node in run.nodes)}:
        return None
    return logs.log_path(workdir, run_id, node_id)


def plot_path(workdir: Workdir, run_id: str, node_id: str, output: str, plot: str) -> Path | None:
    """The file of a plot in a component's output; None unless it is one that the run's page shows."""
    page = run_page(workdir, run_id)
    for component in page.components if page else ():
        for made in component.outputs:
            if (component.id, made.key) == (node_id, output) and plot in made.plots:
                return workdir.root / made.place / plot
    return None


def read_run(workdir: Workdir, run_id: str) -> Run | None:
    """The description of a run, or None if there is none such.

    Raises:
        DamagedRun: if it cannot be read.
    """
    try:
        return runs.read_run(workdir, run_id)
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedRun(
            f"Expected the description of the run '{run_id}'. Received: {type(error).__name__} {error}; remove it."
        ) from error


def _states(run: Run, events: Sequence[Event]) -> list[tuple[Node, Event]]:
    """Each component with its last event, those that failed first."""
    states = runs.node_states(run, list(events))
    pairs = [(node, states[node.id]) for node in run.nodes]
    return sorted(pairs, key=lambda pair: pair[1].state != "failed")


def _component(workdir: Workdir, run: Run, row: RunRow, node: Node, event: Event, span: Span | None) -> Component:
    state = shown_state(event.state, row.state)
    log = logs.log_path(workdir, run.run, node.id)
    return Component(
        node.id,
        state,
        event.seconds or (span.seconds if span and state == "stopped" else 0.0),
        redacted_text(event.message),
        node.upstream,
        dict(words.parameters(node.parameters)),
        tuple(_output(workdir, key, place) for key, place in sorted(event.outputs.items())),
        log.is_file(),
        logs.tail(log) if state in ("failed", "running", "stopped") else "",
        logs.traceback_in(logs.end_of(log) or "") if state == "failed" else "",
        event.progress,
        span,
    )


def _output(workdir: Workdir, key: str, place: str) -> Output:
    """An output below the working folder; of one elsewhere only the address is shown, nothing is read."""
    folder, root = Path(place).resolve(), workdir.root.resolve()
    if not folder.is_relative_to(root):
        return Output(key, place, (), is_here=False)
    return Output(key, folder.relative_to(root).as_posix(), plots_in(folder), is_here=folder.is_dir())
