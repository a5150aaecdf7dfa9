"""What stands on a server: schedules, each with its last run and its next firing, and the newest runs."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.operating.connection import Server
from pipelines.operating.schedules import Standing, standing_schedules, twins

# Runs that are looked through for the last one of each schedule.
_LOOKED_AT = 500


@dataclass(frozen=True)
class RunRow:
    """A run: when it was to start (of a schedule) and did, in UTC, and its state; `schedule_id` may be empty."""

    id: str
    name: str
    state: str
    created_at: str
    scheduled_at: str
    schedule_id: str


@dataclass(frozen=True)
class ScheduleRow:
    """A schedule; `older_than` is the id of the one that shall stand in its place, if one does."""

    id: str
    name: str
    cron: str
    time_zone: str
    state: str
    version_id: str
    next_firing: str
    last_run: RunRow | None
    older_than: str

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def list_runs(server: Server, at_most: int = _LOOKED_AT) -> list[RunRow]:
    """Runs, the newest first."""
    found: list[RunRow] = []
    for run in server.each("list_runs", "runs", namespace=server.namespace, sort_by="created_at desc"):
        found.append(_run_row(run))
        if len(found) == at_most:
            break
    return found


def list_schedules(server: Server, runs: list[RunRow]) -> list[ScheduleRow]:
    """Schedules, the oldest first, with the newest of `runs` that each made."""
    now, standing = datetime.now(UTC), standing_schedules(server)
    pairs = twins(standing)
    last = {run.schedule_id: run for run in reversed(runs) if run.schedule_id}
    return [_schedule_row(one, now, last.get(one.id), pairs.get(one.id, [one])) for one in standing]


def _schedule_row(one: Standing, now: datetime, last: RunRow | None, group: list[Standing]) -> ScheduleRow:
    return ScheduleRow(
        id=one.id,
        name=one.name,
        cron=one.cron,
        time_zone=one.time_zone,
        state="enabled" if one.is_enabled else "paused",
        version_id=one.version_id,
        next_firing=_text(one.next_firing(now)),
        last_run=last,
        older_than="" if group[-1] is one else group[-1].id,
    )


def _run_row(run: Any) -> RunRow:
    scheduled = run.scheduled_at if run.recurring_run_id else None
    created = _text(run.created_at)
    state = run.state or "PENDING"
    return RunRow(str(run.run_id), run.display_name or "", state, created, _text(scheduled), run.recurring_run_id or "")


def _text(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else ""
