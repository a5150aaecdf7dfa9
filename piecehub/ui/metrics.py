"""`/metrics`: what an alert needs to see that a nightly run did not publish, in the text format of Prometheus.

piecehub_days_since_published{model}           of the newest version of each model that everybody may read
piecehub_kubeflow_up                           1 if the Kubeflow server answered; these only where one is given
piecehub_schedule_paused{schedule}             1 if it fires no more
piecehub_scheduled_run_age_seconds{schedule}   since its last run was to start
piecehub_scheduled_run_state{schedule,state}   1 for the state of that run
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from piecehub.errors import PiecehubError
from piecehub.facts.scheduled import ScheduledRun
from piecehub.store.catalog import Store
from piecehub.store.listing import Listing
from piecehub.ui import words

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Asks a Kubeflow server; raises PiecehubError if it does not answer.
Scheduled = Callable[[], Sequence[ScheduledRun]]
Labels = Mapping[str, str]
_PAGE = 1000
_DAY_S = 86400


def metrics_text(store: Store, listing: Listing, hidden: Iterable[str] = (), scheduled: Scheduled | None = None) -> str:
    """All of it.

    Args:
        store: whose models.
        listing: what was read of its index.
        hidden: publishers that not everybody may read.
        scheduled: asks a Kubeflow server; None if there is none.
    """
    days = [({"model": model}, age) for model, age in _days(store, listing, set(hidden))]
    lines = [*_gauge("piecehub_days_since_published", "Days since the newest version of a model was published.", days)]
    if scheduled is not None:
        lines += _of_kubeflow(scheduled)
    return "".join(f"{line}\n" for line in lines)


def _days(store: Store, listing: Listing, hidden: set[str]) -> Iterator[tuple[str, float]]:
    now, before = datetime.now(UTC), ""
    while True:
        found = listing.sought(store, before=before, limit=_PAGE, hidden=hidden)
        for row in found.rows:
            yield row.model, (now - words.parse_time(row.published_at)).total_seconds() / _DAY_S
        if not found.older:
            return
        before = found.older


def _of_kubeflow(scheduled: Scheduled) -> Iterator[str]:
    try:
        runs = list(scheduled())
    except PiecehubError:
        runs = None
    yield from _gauge("piecehub_kubeflow_up", "Whether the Kubeflow server answered.", [({}, float(runs is not None))])
    paused = [({"schedule": run.schedule}, float(run.is_paused)) for run in runs or ()]
    yield from _gauge("piecehub_schedule_paused", "Whether a schedule fires no more.", paused)
    ages = [({"schedule": run.schedule}, run.age_s) for run in runs or () if run.age_s is not None]
    yield from _gauge("piecehub_scheduled_run_age_seconds", "Since the last run of a schedule was to start.", ages)
    states = [({"schedule": run.schedule, "state": run.state}, 1.0) for run in runs or () if run.state]
    yield from _gauge("piecehub_scheduled_run_state", "The state of the last run of a schedule.", states)


def _gauge(name: str, meaning: str, samples: Iterable[tuple[Labels, float]]) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} gauge"
    for labels, value in samples:
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{name}{{{told}}} {value:.6g}" if told else f"{name} {value:.6g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
