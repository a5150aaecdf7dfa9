"""When each component of a run worked, what it waited for, and which of them the run could not have been shorter by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from piecehub.facts import runs
from piecehub.facts.run_rows import RunRow
from piecehub.facts.runs import Event, Run

_ENDED = ("done", "cached", "failed", "stopped")
# Clocks are noted to the millisecond, and a component begins a moment after the one before it has ended.
_MOMENT_S = 0.5
# Phases that took less than this share of a component's time explain nothing.
_LEAST_SHARE = 0.03


@dataclass(frozen=True)
class Span:
    """The time of one component, in seconds since the run began.

    Attributes:
        id: of the component.
        state: as the page shows it.
        began: when it began.
        seconds: how long it has worked.
        waited: for how long it could have worked and did not, since another one was at work.
        after: what it waited for: the component whose output came last, or, where it could have worked before, the one
            that was at work for most of that time; empty where it waited for none.
        reads_after: whether it reads what that one made.
        is_critical: whether it is on the critical path: the longest chain of components each of which reads the one
            before it. However many worked at once, the run took as long as these.
        phases: what it was at and for how long, where it said so.
        cpu_s: the time of processors that it took; 0 where that is not known.
    """

    id: str
    state: str
    began: float
    seconds: float
    waited: float
    after: str
    reads_after: bool
    is_critical: bool
    phases: tuple[tuple[str, float], ...]
    cpu_s: float

    @property
    def ended(self) -> float:
        """When it ended, or now."""
        return self.began + self.seconds


@dataclass(frozen=True)
class Times:
    """The times of those components of a run that began, the first to begin first."""

    spans: tuple[Span, ...]
    whole_s: float

    @property
    def critical_s(self) -> float:
        """How long the critical path is."""
        return sum(span.seconds for span in self.spans if span.is_critical)

    @property
    def longest(self) -> Span | None:
        """The component that took longest."""
        return max(self.spans, key=lambda span: span.seconds, default=None)

    def by_id(self) -> dict[str, Span]:
        """The spans by component."""
        return {span.id: span for span in self.spans}


def times_of(run: Run, events: Sequence[Event], row: RunRow, states: Mapping[str, str]) -> Times:
    """The times of a run.

    Args:
        run: its description.
        events: its own, the oldest first.
        row: what it comes to.
        states: the state of each component as the page shows it.
    """
    of_node: dict[str, list[Event]] = {node.id: [] for node in run.nodes}
    for event in events:
        if event.node in of_node and event.state in (*_ENDED, "running"):
            of_node[event.node].append(event)
    worked = {key: _worked(run, found, row) for key, found in of_node.items() if found}
    upstream = {node.id: node.upstream for node in run.nodes}
    critical = _longest_chain({key: end - began for key, (began, end) in worked.items()}, upstream)
    spans = [
        _span(key, of_node[key], worked, upstream[key], states[key], is_critical=key in critical) for key in worked
    ]
    ends = max((end for _, end in worked.values()), default=0.0)
    return Times(tuple(sorted(spans, key=lambda span: span.began)), max(row.seconds, ends, 0.001))


def _worked(run: Run, events: Sequence[Event], row: RunRow) -> tuple[float, float]:
    """From when to when; what neither ended nor goes on ended with the run."""
    start, last = runs.parse_time(run.started_at), events[-1]
    at = [(runs.parse_time(event.at) - start).total_seconds() for event in events]
    end = at[-1] if last.state in _ENDED else row.seconds
    began = at[0] if events[0].state == "running" else end - last.seconds
    began = max(0.0, began)
    return began, max(began, end)


def _span(
    key: str,
    events: Sequence[Event],
    worked: Mapping[str, tuple[float, float]],
    upstream: Sequence[str],
    state: str,
    *,
    is_critical: bool,
) -> Span:
    began, end = worked[key]
    ready = max((worked[other][1] for other in upstream if other in worked), default=0.0)
    waited = began - ready if began - ready > _MOMENT_S else 0.0
    if waited:
        after = max(worked, key=lambda other: _overlap(worked[other], (ready, began)) if other != key else -1.0)
    else:
        after = max((other for other in upstream if other in worked), key=lambda other: worked[other][1], default="")
    seconds = events[-1].seconds if events[-1].state in _ENDED and events[-1].seconds else end - began
    return Span(
        key,
        state,
        began,
        seconds,
        waited,
        after if after != key else "",
        after in upstream,
        is_critical,
        _phases(events, end - began),
        events[-1].cpu_s,
    )


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    return min(one[1], other[1]) - max(one[0], other[0])


def _phases(events: Sequence[Event], seconds: float) -> tuple[tuple[str, float], ...]:
    """What a component said that it was at, each with its time; what comes again is one."""
    took: dict[str, float] = {}
    began = runs.parse_time(events[0].at)
    for event, following in zip(events, [*events[1:], None], strict=True):
        if event.state != "running":
            continue
        at = (runs.parse_time(event.at) - began).total_seconds()
        until = (runs.parse_time(following.at) - began).total_seconds() if following else seconds
        took[_phase_of(event)] = took.get(_phase_of(event), 0.0) + max(0.0, until - at)
    told = [(name, time) for name, time in took.items() if name and time >= _LEAST_SHARE * seconds and time >= 0.1]
    return tuple(sorted(told, key=lambda pair: -pair[1]))


def _phase_of(event: Event) -> str:
    """`packing`, or `epochs` where it counts these; empty where it did not say."""
    progress = event.progress
    if progress is None:
        return ""
    if progress.phase or not progress.counts:
        return progress.phase
    unit = progress.counts[0].unit
    return unit if unit.endswith("s") else f"{unit}s"


def _longest_chain(seconds: Mapping[str, float], upstream: Mapping[str, Sequence[str]]) -> set[str]:
    """The components of the chain of readers that took longest."""
    best: dict[str, tuple[float, str]] = {}

    def length(key: str) -> float:
        return best[key][0]

    waiting = [key for key in upstream if key in seconds]
    while waiting:
        ready = [key for key in waiting if all(u in best or u not in seconds for u in upstream[key])]
        for key in ready:
            before = max((u for u in upstream[key] if u in best), key=length, default="")
            best[key] = (seconds[key] + (length(before) if before else 0.0), before)
        if not ready:  # a description that goes round in a circle
            return set()
        waiting = [key for key in waiting if key not in best]
    chain: set[str] = set()
    key = max(best, key=length, default="")
    while key:
        chain.add(key)
        key = best[key][1]
    return chain
