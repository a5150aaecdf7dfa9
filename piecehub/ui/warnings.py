"""What the first page warns of: what failed, and what nobody has looked after for long."""

from dataclasses import dataclass
from datetime import UTC, datetime

from piecehub.facts.run_index import Listed as ListedRuns
from piecehub.facts.run_index import Wanted, list_runs
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from piecehub.store.listing import OUTDATED_DAYS, Listing, Sought
from piecehub.ui import words

QUIET_DAYS = 30


@dataclass(frozen=True)
class Warning:
    """A sentence, and where more of it stands."""

    sentence: str
    address: str


def warnings(workdir: Workdir, store: Store, listing: Listing) -> list[Warning]:
    """What a person should know of a working folder and its store before anything else."""
    found: list[Warning] = []
    failed = _failed(workdir)
    if failed.total:
        told = f"{words.count(failed.total, 'run')} failed in the last 24 hours"
        last = words.isolated(failed.rows[0].pipeline)
        found.append(Warning(f"{told}, the last one of {last}.", "/runs?state=failed&since=24h"))
    newest = listing.sought(store, Sought(show="all"), limit=1).rows
    if newest and (days := _days_since(newest[0].published_at)) >= QUIET_DAYS:
        found.append(Warning(f"Nothing was published for {days} days.", "/models?show=all"))
    for show, told in (
        ("unsigned", "without a signature"),
        ("outdated", f"with evidence that is older than {OUTDATED_DAYS} days"),
    ):
        if total := listing.sought(store, Sought(show=show), limit=1).total:
            sentence = f"{words.count(total, 'model')} {'has' if total == 1 else 'have'} a newest version {told}."
            found.append(Warning(sentence, f"/models?show={show}"))
    return found


def _failed(workdir: Workdir) -> ListedRuns:
    return list_runs(workdir, Wanted(state="failed", since="24h"), limit=1, at_most_s=0)


def _days_since(at: str) -> int:
    return (datetime.now(UTC) - words.parse_time(at)).days
