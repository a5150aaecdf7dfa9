"""Which runs of a working folder stay, why, and what they and the published versions need: what gc goes by.

A moment belongs to the run that had begun last before it (pipelines/gc.py says why).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from piecehub.errors import PiecehubError
from piecehub.facts import runs
from piecehub.facts.runs import Event, Run
from piecehub.facts.workdir import Workdir, is_held, is_read_by_pods
from piecehub.lineage.recorded import Recorded
from piecehub.store.catalog import Store

UNTOLD = "no run is recorded here"
# A handle, and the digest of its content.
Version = tuple[str, str]


@dataclass(frozen=True)
class Runs:
    """All runs that are recorded, the newest first, and why those that stay do.

    Attributes:
        starting: whether a run holds the folder of which nothing is recorded yet, or that is another machine's.
    """

    all: tuple[Run, ...]
    events: Mapping[str, Sequence[Event]]
    why: Mapping[str, str]
    going_on: tuple[Run, ...]
    starting: bool
    for_pods: bool

    @cached_property
    def staying(self) -> list[Run]:
        """Those that stay."""
        return [run for run in self.all if run.run in self.why]

    def at(self, moment: float) -> Run | None:
        """The run that a moment belongs to."""
        return _at(self.all, moment)

    def need_of(self, moment: float, component: str = "") -> str:
        """Why what was last used at that moment stays; empty if it does not.

        Args:
            moment: seconds since 1970.
            component: that looks for such a thing, and then uses it; until it has, it may be any.
        """
        if not self.all:
            return UNTOLD
        if self.for_pods:
            return "a package for Kubeflow was compiled here, and what its pods use is not known"
        if self.starting:
            return "a run is about to begin here, or goes on elsewhere, and may use it"
        for run in self.going_on:
            if component and self._has_yet_to_look(run, component):
                return f"run {run.run} goes on, and may use it"
        run = self.at(moment)
        return f"last used in the time of run {run.run} ({self.why[run.run]})" if run and run.run in self.why else ""

    def _has_yet_to_look(self, run: Run, component: str) -> bool:
        states = runs.node_states(run, list(self.events[run.run]))
        return any(
            node.startswith(component)
            and (event.state == "waiting" or (event.state == "running" and not event.message))
            for node, event in states.items()
        )


@dataclass(frozen=True)
class Needed:
    """Why executions and folders of artifacts stay, by id and path; and texts that name folders of examples."""

    executions: dict[int, str]
    folders: dict[Path, str]
    texts: list[tuple[str, str]]

    @classmethod
    def by(cls, workdir: Workdir, told: Runs, known: Recorded, versions: Sequence[Version]) -> "Needed":
        """What published versions and runs that stay need."""
        needed = cls({}, {}, [])
        for handle, digest in versions:
            if push := known.pushes.get((digest, handle)):
                needed._add_executions(workdir, known, known.behind(push), f"{handle} was made from it")
        for run in told.staying:
            why = f"run {run.run} needs it ({told.why[run.run]})"
            of_run = {e.id for e in known.executions.values() if told.at(e.began_at) == run}
            needed._add_executions(workdir, known, of_run, why)
            for event in told.events[run.run]:
                for place in event.outputs.values():
                    needed._add_folder(workdir, place, why)
            needed.texts.extend((str(node.parameters), why) for node in run.nodes)
        return needed

    def of_examples(self, name: str) -> str:
        """Why the examples of that content digest stay; empty if nothing names them."""
        return next((why for text, why in self.texts if name in text), "")

    def _add_executions(self, workdir: Workdir, known: Recorded, ids: Iterable[int], why: str) -> None:
        for number in ids:
            self.executions.setdefault(number, why)
            self.texts.append((known.executions[number].told, why))
            for place in known.folders([number]):
                self._add_folder(workdir, place, why)

    def _add_folder(self, workdir: Workdir, place: str, why: str) -> None:
        self.folders.setdefault(folder_of(workdir, place), why)


def versions_in(workdir: Workdir) -> dict[str, str]:
    """The content digests of all versions that stand in the store, by handle."""
    if not workdir.store.is_dir():
        return {}
    return {str(manifest.handle): manifest.digest for manifest, _ in Store.open(workdir.store).listing()}


def versions_elsewhere(workdir: Workdir, known: Recorded) -> Iterator[Version]:
    """What runs published to another store than the folder's (`run --store`); that is not asked whether it stands."""
    for (digest, handle), push in known.pushes.items():
        maker = known.maker(push)
        if maker and maker.store not in ("", workdir.store_place):
            yield handle, digest


def runs_of(workdir: Workdir, versions: Sequence[Version], known: Recorded, keep_runs: int) -> Runs:
    """What is recorded of the runs of a folder, and why those that stay do."""
    found = _in_order(workdir)
    events = {run.run: runs.read_events(workdir, run.run) for run in found}
    held = is_held(workdir)
    going_on = tuple(
        run
        for number, run in enumerate(found)
        if runs.is_going_on(run, events[run.run]) or (held and number == 0 and not _end(events[run.run]))
    )
    why = {run.run: "it goes on" for run in going_on}
    published = _publishers(found, versions, known)
    for run in found:
        newest = [other for other in found if other.pipeline == run.pipeline]
        ended_well = [other for other in newest if (end := _end(events[other.run])) and end.state == "done"]
        if run in newest[:keep_runs]:
            why.setdefault(run.run, f"one of the newest {keep_runs} of {run.pipeline}")
        elif keep_runs and run in ended_well[:1]:
            why.setdefault(run.run, f"the last of {run.pipeline} that came to its end")
        elif run.run in published:
            why.setdefault(run.run, f"it published {published[run.run]}")
    starting = held and not any(runs.is_going_on(run, events[run.run]) for run in found)
    return Runs(found, events, why, going_on, starting, is_read_by_pods(workdir))


def _in_order(workdir: Workdir) -> tuple[Run, ...]:
    found = [run for name in runs.run_ids(workdir) if (run := _read(workdir, name))]
    return tuple(sorted(found, key=lambda run: (_moment(run.started_at), run.run), reverse=True))


def _at(newest_first: Sequence[Run], moment: float) -> Run | None:
    return next((run for run in newest_first if _moment(run.started_at) <= moment), None)


def _publishers(found: Sequence[Run], versions: Sequence[Version], known: Recorded) -> dict[str, str]:
    """By run, a version that was pushed in the run's time."""
    makers = [(handle, known.maker(known.pushes.get((digest, handle), 0))) for handle, digest in versions]
    times = [(handle, maker.began_at) for handle, maker in makers if maker]
    return {run.run: handle for handle, at in times if (run := _at(found, at))}


def _read(workdir: Workdir, run: str) -> Run | None:
    try:
        return runs.read_run(workdir, run)
    except (ValueError, KeyError, TypeError) as error:
        raise PiecehubError(
            f"Expected the description of the run '{run}'. Received: {type(error).__name__} {error}; remove "
            f"'{workdir.runs / run}', and call again."
        ) from error


def _end(events: Sequence[Event]) -> Event | None:
    return next((event for event in reversed(events) if event.node == ""), None)


def folder_of(workdir: Workdir, place: str) -> Path:
    """Where an artifact lies here, `<pipeline>/<component>/<output>/<execution id>`, though the folder was copied."""
    rest = place.rpartition(f"/{workdir.artifacts.name}/")[2]
    return workdir.artifacts.resolve().joinpath(*rest.split("/")[:4])


def _moment(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
