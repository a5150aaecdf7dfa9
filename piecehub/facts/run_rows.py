"""A run in a list: what its description and its events come to, short."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self, cast

from piecehub.facts import heartbeat, runs
from piecehub.facts.runs import Event, Result, Run
from piecehub.facts.secrets import redacted_text

OUTCOMES = ("published", "not published")
Outcome = Literal["published", "not published", ""]


@dataclass(frozen=True)
class RunRow:
    """A run in a list; `counts` is the number of components by state, `results` say what became of each piece."""

    run: str
    pipeline: str
    recipe: str
    state: str
    started_at: str
    seconds: float
    counts: dict[str, int]
    message: str
    results: tuple[Result, ...]
    outcome: Outcome

    @property
    def shown_state(self) -> str:
        """The state for a person, to whom a run that published nothing is not simply done."""
        return self.outcome if self.outcome == "not published" else self.state

    def to_value(self) -> dict[str, Any]:
        """The row as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_value(cls, value: dict[str, Any]) -> Self:
        """Reads what `to_value` made."""
        results = cast("list[dict[str, Any]]", value["results"])
        whole: dict[str, Any] = value | {"results": tuple(Result(**result) for result in results)}
        return cls(**whole)


def row_of(run: Run, events: Sequence[Event], last_sign: float) -> RunRow:
    """The row of a run; what looks like a secret in its messages is not in it.

    Args:
        run: its description.
        events: its own.
        last_sign: when it was last heard of (heartbeat.py), by which a run that says nothing of its end is told from
            one that was killed.
    """
    ends = [event for event in events if event.node == ""]
    state = ends[-1].state if ends else ("running" if heartbeat.is_fresh(last_sign) else "stopped")
    last = ends[-1].at if ends else _moment(time.time() if state == "running" else last_sign)
    counts: dict[str, int] = {}
    for node, event in runs.node_states(run, list(events)).items():
        shown = shown_state(event.state, state)
        counts[shown] = counts.get(shown, 0) + bool(node)
    seconds = (runs.parse_time(last) - runs.parse_time(run.started_at)).total_seconds()
    message = redacted_text(ends[-1].message) if ends else ""
    results = tuple(replace(result, why=redacted_text(result.why)) for result in (ends[-1].results if ends else ()))
    return RunRow(
        run.run,
        run.pipeline,
        run.recipe,
        state,
        run.started_at,
        max(seconds, 0.0),
        counts,
        message,
        results,
        _outcome(results),
    )


def publishers_of(run: Run, row: RunRow) -> set[str]:
    """Under whose names the run publishes, or did: what its components were told, and what its handles say."""
    told = {node.parameters.get("publisher") for node in run.nodes}
    did = {result.handle.partition("/")[0] for result in row.results}
    return {name for name in told | did if isinstance(name, str) and name}


def shown_state(state: str, run_state: str) -> str:
    """A component of a run that has ended, or was killed, does not run any more, whatever its last event says."""
    if run_state == "running":
        return state
    return {"running": "stopped", "waiting": "not run"}.get(state, state)


def _outcome(results: Sequence[Result]) -> Outcome:
    """What became of all pieces together; nothing is known of a run that did not end, or is from before."""
    if not results:
        return ""
    return "published" if all(result.published for result in results) else "not published"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
