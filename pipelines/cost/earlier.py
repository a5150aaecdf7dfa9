"""What an earlier run of the same recipe took, component by component, where it was told the same."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from piecehub.facts import runs
from piecehub.facts.plan import Took
from piecehub.facts.provenance import is_place
from piecehub.facts.workdir import Workdir

# More runs tell nothing new, and take their time to read.
_LOOKED_AT = 50


@dataclass(frozen=True)
class Held:
    """What a component held in a run.

    Attributes:
        run: which one.
        told_the_same: whether it was told there what it is told now, places aside.
        peak_bytes: the most memory that the run held meanwhile.
        processors: how many it kept busy, in the mean.
    """

    run: str
    told_the_same: bool
    peak_bytes: int
    processors: float


def taken(workdir: Workdir, arguments: Mapping[str, Mapping[str, Any]]) -> dict[str, Took]:
    """By component, what it took in the newest run that computed the same; nothing of those that no run told of.

    Args:
        workdir: the working folder, of whose runs the newest are looked at.
        arguments: what each component would be told now.
    """
    found = dict[str, Took]()
    for name in runs.run_ids(workdir)[:_LOOKED_AT]:
        record = runs.read_run(workdir, name)
        if record is None:
            continue
        same = _told_the_same(record, arguments)
        for event in runs.read_events(workdir, name):
            if event.node in same and event.node not in found and (took := Took.of(event, name)):
                found[event.node] = took
        if len(found) == len(arguments):
            break
    return found


def _told_the_same(record: runs.Run, arguments: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The components of a run that were told the same as now, and so was all that they got their inputs from."""
    other = {node.id for node in record.nodes if arguments.get(node.id) != node.parameters}
    while more := {node.id for node in record.nodes if node.id not in other and other & set(node.upstream)}:
        other |= more
    return {node.id for node in record.nodes} - other


def held_most(workdir: Workdir, pipeline: str, told: Mapping[str, Mapping[str, Any]]) -> dict[str, Held]:
    """What components held in that of the newest runs of a pipeline in which they held the most memory.

    A run in which a component was told the same goes before all others. One that found its trials done holds little, so
    the newest would not do.

    Args:
        workdir: the working folder.
        pipeline: its name.
        told: by component, what of its parameters is known now.
    """
    found: dict[str, Held] = {}
    for node, took in _measured(workdir, pipeline, told):
        rank = took.told_the_same, took.peak_bytes
        if node not in found or rank > (found[node].told_the_same, found[node].peak_bytes):
            found[node] = took
    return found


def _measured(workdir: Workdir, pipeline: str, told: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Held]]:
    records = [runs.read_run(workdir, name) for name in runs.run_ids(workdir)[:_LOOKED_AT]]
    for record in records:
        if record is None or record.pipeline != pipeline:
            continue
        parameters = {node.id: node.parameters for node in record.nodes}
        for event in runs.read_events(workdir, record.run):
            if event.state == "done" and event.peak_bytes and event.node in told and event.node in parameters:
                same = _agree(told[event.node], parameters[event.node])
                busy = event.cpu_s / event.seconds if event.seconds else 0.0
                yield event.node, Held(record.run, same, event.peak_bytes, busy)


def _agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two agree in what both tell, but for places."""
    return all(one[key] == other[key] for key in one.keys() & other.keys() if not is_place(key))
