"""A package that a server runs again and again, and a schedule that stands whatever fails.

A recurring run cannot be updated, and two may have one name. So a changed one is made first and the older removed
after: between the calls both stand, never none. If the second call fails, both stay, which is told; the next
`schedule` finds the right one standing and removes the other.

What was asked for is recognized by a mark in the description, since a server answers some of it otherwise (a root that
it filled in, whole numbers as doubles):

    By `piecehub kubeflow schedule`, 0a1b2c3d4e5f; time zone Europe/Berlin.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from piecehub.errors import EnvironmentProblem, NotOnServer, PiecehubError
from piecehub.facts.content import canonical_json, sha256_bytes
from pipelines.operating.connection import Server
from pipelines.operating.cron import as_the_server_reads, zone_of
from pipelines.operating.package import Package
from pipelines.operating.runs import experiment_id
from pipelines.operating.uploads import pipeline_id_of, upload

_MARK = re.compile(r"By `piecehub kubeflow schedule`, (?P<digest>[0-9a-f]{12}); time zone (?P<zone>\S*[^.\s])\.")
# What the server's zone is called where nobody says another: it may be set to one, which no call tells.
UTC_UNLESS_SET = "UTC"


@dataclass(frozen=True)
class Wanted:
    """A schedule that shall stand.

    Attributes:
        name: the schedule's.
        cron: six fields.
        time_zone: that of the server's clock, on the user's word.
        parameters: given at each submission.
        root: the pipeline root; empty for the server's own.
        catches_up: whether firings that were missed are made up for.
        at_once: how many runs of it there may be at a time.
        experiment: that its runs belong to; empty for one of the pipeline's name.
    """

    name: str
    cron: str
    time_zone: str = UTC_UNLESS_SET
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    root: str = ""
    catches_up: bool = False
    at_once: int = 1
    experiment: str = ""

    def mark(self, package: Package) -> str:
        """The description of a schedule of this package that is as wanted."""
        digest = sha256_bytes(canonical_json({**asdict(self), "package": package.digest}))[:12]
        return f"By `piecehub kubeflow schedule`, {digest}; time zone {self.time_zone}."


@dataclass(frozen=True)
class Standing:
    """A schedule on a server.

    Attributes:
        id: its id.
        name: its name, which several may have.
        pipeline_id: what it runs, with `version_id`.
        cron: six fields; empty if it fires at intervals.
        is_enabled: whether it fires.
        created_at: when it was made.
        description: as it stands there.
        root: the pipeline root that it gives; may be empty.
    """

    id: str
    name: str
    pipeline_id: str
    version_id: str
    cron: str
    is_enabled: bool
    created_at: datetime
    description: str
    root: str

    @property
    def time_zone(self) -> str:
        """That of the server, as whoever made it said."""
        found = _MARK.match(self.description)
        return found["zone"] if found else UTC_UNLESS_SET

    def next_firing(self, now: datetime) -> datetime | None:
        """When it fires next, in UTC; None if it does not, or not by cron."""
        cron = as_the_server_reads(self.cron)
        return cron.next_after(now, zone_of(self.time_zone)) if cron and self.is_enabled else None


@dataclass(frozen=True)
class Scheduled:
    """What `schedule` did.

    Attributes:
        standing: the one that stands now.
        is_new: whether it was made.
        removed: the ids of those that gave way to it.
    """

    standing: Standing
    is_new: bool
    removed: tuple[str, ...]


def schedule(server: Server, package: Package, wanted: Wanted) -> Scheduled:
    """Makes the schedule that is wanted, if it does not stand, and removes older ones of its name and pipeline.

    Raises:
        EnvironmentProblem: if an older one could not be removed: both stand.
        PiecehubError: as `refusals` has them; what stood before stands then.
    """
    older = [one for one in of_pipeline(server, package.name) if one.name == wanted.name]
    mark = wanted.mark(package)
    same = [one for one in older if one.description == mark]
    standing = same[-1] if same else _make(server, package, wanted, mark, is_enabled=_any_enabled(older))
    others = [one for one in older if one.id != standing.id]
    for place, one in enumerate(others):
        try:
            delete(server, one.id)
        except PiecehubError as error:
            raise _both_stand(standing, others[place:], error) from error
    return Scheduled(standing, not same, tuple(one.id for one in others))


def standing_schedules(server: Server) -> list[Standing]:
    """All of the namespace, the oldest first."""
    found = server.each("list_recurring_runs", "recurring_runs", namespace=server.namespace)
    return sorted(map(_standing, found), key=lambda one: (one.created_at, one.id))


def of_pipeline(server: Server, name: str) -> list[Standing]:
    """Those of a pipeline, the oldest first."""
    pipeline_id = pipeline_id_of(server, name)
    return [one for one in standing_schedules(server) if pipeline_id and one.pipeline_id == pipeline_id]


def named(server: Server, word: str) -> list[Standing]:
    """Those with that name, or the one with that id.

    Raises:
        NotOnServer: if there is none.
    """
    found = [one for one in standing_schedules(server) if word in (one.id, one.name)]
    if not found:
        raise NotOnServer(
            f"Expected the name or id of a schedule. Received: '{word}'; `piecehub kubeflow list` names what there is."
        )
    return found


def twins(standing: Sequence[Standing]) -> dict[str, list[Standing]]:
    """Schedules of one name and one pipeline, by the id of each: the older ones were to be removed."""
    groups: dict[tuple[str, str], list[Standing]] = {}
    for one in standing:
        groups.setdefault((one.name, one.pipeline_id), []).append(one)
    return {one.id: group for group in groups.values() if len(group) > 1 for one in group}


def pause(server: Server, one: Standing) -> None:
    """Lets a schedule fire no more, until it is resumed."""
    server.ask("disable_recurring_run", recurring_run_id=one.id)


def resume(server: Server, one: Standing) -> None:
    """Lets a paused schedule fire again."""
    server.ask("enable_recurring_run", recurring_run_id=one.id)


def delete(server: Server, schedule_id: str) -> None:
    """Removes a schedule; one that is gone already is no fault."""
    try:
        server.ask("delete_recurring_run", recurring_run_id=schedule_id)
    except NotOnServer:
        return


def _make(server: Server, package: Package, wanted: Wanted, mark: str, *, is_enabled: bool) -> Standing:
    version = upload(server, package)
    made = server.ask(
        "create_recurring_run",
        experiment_id=experiment_id(server, wanted.experiment or package.name),
        job_name=wanted.name,
        description=mark,
        cron_expression=wanted.cron,
        max_concurrency=wanted.at_once,
        no_catchup=not wanted.catches_up,
        params=dict(wanted.parameters),
        pipeline_id=version.pipeline_id,
        version_id=version.version_id,
        enabled=is_enabled,
        pipeline_root=wanted.root or None,
    )
    return _standing(made)


def _any_enabled(older: Sequence[Standing]) -> bool:
    """Whether what takes their place fires: one that is paused stays so."""
    return not older or any(one.is_enabled for one in older)


def _standing(run: Any) -> Standing:
    trigger, reference = run.trigger, run.pipeline_version_reference
    cron = trigger.cron_schedule.cron if trigger and trigger.cron_schedule else ""
    enabled = run.status != "DISABLED" if run.status else run.mode != "DISABLE"
    return Standing(
        id=str(run.recurring_run_id),
        name=run.display_name or "",
        pipeline_id=str(reference.pipeline_id) if reference else "",
        version_id=str(reference.pipeline_version_id) if reference else "",
        cron=cron or "",
        is_enabled=enabled,
        created_at=run.created_at or datetime.fromtimestamp(0, UTC),
        description=run.description or "",
        root=(run.runtime_config.pipeline_root if run.runtime_config else "") or "",
    )


def _both_stand(new: Standing, older: Sequence[Standing], error: PiecehubError) -> EnvironmentProblem:
    firing = new.next_firing(datetime.now(UTC))
    when = f"{firing:%Y-%m-%d %H:%M:%S} UTC" if firing else "no time, for it is paused"
    return EnvironmentProblem(
        f"Expected one schedule '{new.name}'. Received: {1 + len(older)}, {new.id} as it is wanted now and the older "
        f"{', '.join(one.id for one in older)}, which could not be removed ({error.sentence.rstrip('.')}); both fire "
        f"next at {when}: call `schedule` again, which removes the older."
    )
