"""What ML Metadata records of folders: which execution read and made them, and which of them led to what.

This module needs `ml_metadata`, as `metadata` does, whose notes say what is read here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from piecehub.lineage import metadata as records


@dataclass(frozen=True)
class Execution:
    """One execution, with the ids of the artifacts that it read and has as outputs.

    Attributes:
        began_at: seconds since 1970.
        told: all texts that it was told, folders among them.
        store: that it was told to read or to publish to; empty of most.
    """

    id: int
    began_at: float
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    told: str
    store: str = ""


@dataclass(frozen=True)
class Recorded:
    """All executions by id, all artifacts' folders by id, and the artifact of each push by digest and handle."""

    executions: Mapping[int, Execution]
    places: Mapping[int, str]
    pushes: Mapping[tuple[str, str], int]

    @cached_property
    def _makers(self) -> dict[int, int]:
        """By artifact, the execution that made it: the first that has it as output, before those from the cache."""
        newest_first = sorted(self.executions.values(), key=lambda execution: -execution.id)
        return {artifact: execution.id for execution in newest_first for artifact in execution.makes}

    def maker(self, artifact: int) -> Execution | None:
        """The execution that made an artifact."""
        return self.executions.get(self._makers.get(artifact, 0))

    def behind(self, artifact: int) -> set[int]:
        """The executions that led to an artifact, its maker included."""
        seen: set[int] = set()
        waiting = [artifact]
        while waiting:
            maker = self.maker(waiting.pop())
            if maker is not None and maker.id not in seen:
                seen.add(maker.id)
                waiting += maker.reads
        return seen

    def folders(self, executions: Iterable[int]) -> set[str]:
        """Where all that these executions read and made lies."""
        found = [self.executions[execution] for execution in executions]
        return {self.places[a] for execution in found for a in (*execution.reads, *execution.makes) if a in self.places}


def read(metadata: Path) -> Recorded:
    """What ML Metadata records; nothing where there is none yet.

    Raises:
        EnvironmentProblem: without `ml_metadata`; it says what to install.
    """
    records.need_library(metadata)
    from ml_metadata import errors

    try:
        store = records.open_to_read(metadata)
        executions = store.get_executions()
        artifacts = store.get_artifacts()
    except errors.NotFoundError:  # a file in which no pipeline has written
        return Recorded({}, {}, {})
    ids = [execution.id for execution in executions]
    events: list[Any] = store.get_events_by_execution_ids(ids) if ids else []
    output = records.event_type("OUTPUT")
    reads: dict[int, list[int]] = {}
    makes: dict[int, list[int]] = {}
    for event in events:
        (makes if event.type == output else reads).setdefault(event.execution_id, []).append(event.artifact_id)
    found = {
        e.id: Execution(
            e.id,
            e.create_time_since_epoch / 1000,
            tuple(reads.get(e.id, ())),
            tuple(makes.get(e.id, ())),
            "\n".join(value for value in records.properties(e).values() if isinstance(value, str)),
            str(records.properties(e).get("store_folder", "")),
        )
        for e in executions
    }
    return Recorded(found, {a.id: a.uri for a in artifacts}, _pushes(artifacts))


def _pushes(artifacts: Iterable[Any]) -> dict[tuple[str, str], int]:
    """As `metadata.find_push` finds them: of several, the last one that made a version."""
    best: dict[tuple[str, str], tuple[bool, int]] = {}
    for artifact in artifacts:
        told = records.properties(artifact)
        if told.get("pushed") == 1:
            key = str(told.get("saved_model_digest")), str(told.get("handle"))
            best[key] = max(best.get(key, (False, 0)), (not told.get("why"), int(artifact.id)))
    return {key: number for key, (_, number) in best.items()}
