"""What `piecehub serve` shows of a server's schedules, asked anew only now and then, however often it is shown."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from piecehub.errors import PiecehubError
from piecehub.facts.scheduled import ScheduledRun
from pipelines.operating.connection import Where, connect
from pipelines.operating.listing import ScheduleRow, list_runs, list_schedules


def watched(where: Where, every_s: float = 60.0) -> Callable[[], Sequence[ScheduledRun]]:
    """Asks a server for the last run of each schedule.

    What it returns raises PiecehubError if the server does not answer, or did not when it was asked last.
    """
    lock = threading.Lock()
    known: dict[str, tuple[float, Sequence[ScheduledRun] | PiecehubError]] = {}

    def ask() -> Sequence[ScheduledRun]:
        with lock:
            at, found = known.get("", (0.0, ()))
            if not known or time.monotonic() - at >= every_s:
                found = _asked(where)
                known[""] = (time.monotonic(), found)
        if isinstance(found, PiecehubError):
            raise found
        return found

    return ask


def _asked(where: Where) -> Sequence[ScheduledRun] | PiecehubError:
    try:
        server = connect(where)
        rows = list_schedules(server, list_runs(server))
    except PiecehubError as error:
        return error
    # Of a pair that a failure left only the newer one counts: two samples of one name are no metrics.
    return [_row(row) for row in {row.name: row for row in rows}.values()]


def _row(row: ScheduleRow) -> ScheduledRun:
    run = row.last_run
    at = datetime.fromisoformat(run.scheduled_at or run.created_at) if run else None
    age_s = (datetime.now(UTC) - at).total_seconds() if at else None
    return ScheduledRun(row.name, row.state != "enabled", run.state if run else "", age_s)
