"""What the run pages show, as plain values: of `runs/<run>/run.json`, `events.jsonl` and the components' logs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from piecehub.errors import PiecehubError
from piecehub.facts import runs
from piecehub.facts.run_rows import RunRow, row_of, shown_state
from piecehub.facts.runs import Event, Node, Run
from piecehub.facts.secrets import redacted_text
from piecehub.facts.workdir import Workdir
from piecehub.ui import layout, words
from piecehub.ui.layout import Layout

PLOTS = ("accuracy.svg", "saving.svg", "learning.svg", "gains.svg", "learning_curves.svg")
_TAIL_BYTES, _TAIL_LINES = 6_000, 40
LOG_BYTES = 262_144


@dataclass(frozen=True)
class Output:
    """One artifact of a component: where it lies below the working folder, and the plots in it."""

    key: str
    place: str
    plots: tuple[str, ...]


@dataclass(frozen=True)
class Component:
    """One component of a run as the page shows it; `started` and `share` are parts of the run's time, 0 to 100."""

    id: str
    state: str
    seconds: float
    message: str
    upstream: tuple[str, ...]
    parameters: dict[str, str]
    outputs: tuple[Output, ...]
    started: float
    share: float
    has_log: bool
    log_tail: str

    @property
    def is_ended(self) -> bool:
        """Whether it has a time to show."""
        return self.state in ("done", "cached", "failed", "stopped")

    @property
    def places(self) -> list[tuple[str, str]]:
        """Where each output lies."""
        return [(output.key, output.place) for output in self.outputs]


@dataclass(frozen=True)
class RunPage:
    """Everything on the page of a run."""

    row: RunRow
    components: tuple[Component, ...]
    failed: tuple[Component, ...]
    layout: Layout
    has_log: bool
    log_tail: str

    @property
    def by_id(self) -> dict[str, Component]:
        """The components by id."""
        return {component.id: component for component in self.components}


class DamagedRun(PiecehubError):
    """The description of a run is not what the runner writes."""


def run_page(workdir: Workdir, run_id: str) -> RunPage | None:
    """The page of one run, or None if there is no such run; raises DamagedRun if its files cannot be read."""
    run = _read(workdir, run_id)
    if run is None:
        return None
    events = runs.read_events(workdir, run_id)
    row = row_of(run, events)
    components = tuple(_component(workdir, run, row, node, event) for node, event in _states(run, events))
    failed = tuple(component for component in components if component.state == "failed")
    log = workdir.logs / run_id / runs.RUNNER_LOG
    return RunPage(
        row,
        components,
        failed,
        layout.place({node.id: node.upstream for node in run.nodes}),
        log.is_file(),
        _tail(log) if row.state == "failed" else "",
    )


def run_json(page: RunPage) -> dict[str, Any]:
    """The page as plain JSON: its twin under `/api/v1/runs`."""
    keys = ("id", "state", "seconds", "message", "upstream", "parameters", "outputs")
    components = [{key: value for key, value in asdict(c).items() if key in keys} for c in page.components]
    return {"schema": 1, **asdict(page.row), "components": components}


def log_text(workdir: Workdir, run_id: str, node_id: str) -> str | None:
    """The end of a component's log, or of the runner's own by the id `runner`; None if there is none such."""
    run = _read(workdir, run_id)
    if run is None or node_id not in {"runner", *(node.id for node in run.nodes)}:
        return None
    return _end(_log_path(workdir, run_id, node_id), LOG_BYTES)


def plot_path(workdir: Workdir, run_id: str, node_id: str, output: str, plot: str) -> Path | None:
    """The file of a plot in a component's output; None unless it is one that the run's page shows."""
    page = run_page(workdir, run_id)
    for component in page.components if page else ():
        for made in component.outputs:
            if (component.id, made.key) == (node_id, output) and plot in made.plots:
                return workdir.root / made.place / plot
    return None


def _read(workdir: Workdir, run_id: str) -> Run | None:
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


def _component(workdir: Workdir, run: Run, row: RunRow, node: Node, event: Event) -> Component:
    state = shown_state(event.state, row.state)
    log = _log_path(workdir, run.run, node.id)
    end = (words.parse_time(event.at) - words.parse_time(run.started_at)).total_seconds()
    whole = max(row.seconds, 0.001)
    wants_tail = state in ("failed", "running", "stopped")
    return Component(
        node.id,
        state,
        event.seconds,
        redacted_text(event.message),
        node.upstream,
        dict(words.parameters(node.parameters)),
        tuple(_output(workdir, key, place) for key, place in sorted(event.outputs.items())),
        max(0.0, min(100.0, 100 * (end - event.seconds) / whole)),
        max(0.0, min(100.0, 100 * event.seconds / whole)),
        log.is_file(),
        _tail(log) if wants_tail else "",
    )


def _output(workdir: Workdir, key: str, place: str) -> Output:
    """An output below the working folder; of one elsewhere only the address is shown, nothing is read."""
    folder, root = Path(place).resolve(), workdir.root.resolve()
    if not folder.is_relative_to(root):
        return Output(key, place, ())
    plots = tuple(name for name in PLOTS if (folder / name).is_file() and not (folder / name).is_symlink())
    return Output(key, folder.relative_to(root).as_posix(), plots)


def _log_path(workdir: Workdir, run_id: str, node_id: str) -> Path:
    name = f"{node_id}.log"
    return workdir.logs / run_id / (name if Path(name).name == name else "unnamed")


def _tail(log: Path) -> str:
    return "\n".join((_end(log, _TAIL_BYTES) or "").splitlines()[-_TAIL_LINES:])


def _end(path: Path, at_most_bytes: int) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - at_most_bytes))
        return "\n".join(map(redacted_text, file.read().decode(errors="replace").split("\n")))
