"""What an earlier run of the same recipe took, component by component, where it was told the same."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piecehub.facts import runs
from piecehub.facts.provenance import is_place
from piecehub.facts.workdir import Workdir
from pipelines.recipe.tables import LoadedRecipe

if TYPE_CHECKING:
    from pipelines.piece_journey import Places


# More of them tell nothing new, and take their time to read.
_NEWEST = 50


@dataclass(frozen=True)
class Took:
    """What a component took in a run.

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


def arguments_of(loaded: LoadedRecipe, places: "Places", devices: str) -> dict[str, dict[str, Any]]:
    """What each component of the recipe's pipeline would be told."""
    from tfx.dsl.compiler import compiler

    from pipelines.pipeline import create_pipeline
    from pipelines.planning.parameters import plain_parameters

    pipeline = create_pipeline(loaded, places, None, (), devices)
    nodes = [node.pipeline_node for node in compiler.Compiler().compile(pipeline).nodes]
    return {node.node_info.id: plain_parameters(node) for node in nodes}


def processor_seconds(workdir: Path, arguments: dict[str, dict[str, Any]]) -> tuple[dict[str, float], str]:
    """What components took of processors in the newest run that computed the same, and which it was.

    Args:
        workdir: the working folder.
        arguments: what each component would be told now.

    Returns:
        by component, of those that such a run tells of; the id of the newest of these runs, or nothing.
    """
    places, found, newest = Workdir(workdir), dict[str, float](), ""
    for name in runs.run_ids(places):
        record = runs.read_run(places, name)
        if record is None:
            continue
        same = _told_the_same(record, arguments)
        for event in runs.read_events(places, name):
            if event.state == "done" and event.node in same and event.cpu_s and event.node not in found:
                found[event.node] = event.cpu_s
                newest = newest or name
    return found, newest


def _told_the_same(record: runs.Run, arguments: dict[str, dict[str, Any]]) -> set[str]:
    """The components of a run that were told the same as now, and so was all that they got their inputs from."""
    other = {node.id for node in record.nodes if arguments.get(node.id) != node.parameters}
    while more := {node.id for node in record.nodes if node.id not in other and other & set(node.upstream)}:
        other |= more
    return {node.id for node in record.nodes} - other


def took_most(workdir: Workdir, pipeline: str, told: Mapping[str, Mapping[str, Any]]) -> dict[str, Took]:
    """What components took in that of the newest runs of a pipeline in which they held the most memory.

    A run in which a component was told the same goes before all others. One that found its trials done holds little, so
    the newest would not do.

    Args:
        workdir: the working folder.
        pipeline: its name.
        told: by component, what of its parameters is known now.
    """
    found: dict[str, Took] = {}
    for node, took in _measured(workdir, pipeline, told):
        rank = took.told_the_same, took.peak_bytes
        if node not in found or rank > (found[node].told_the_same, found[node].peak_bytes):
            found[node] = took
    return found


def _measured(workdir: Workdir, pipeline: str, told: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Took]]:
    records = [runs.read_run(workdir, name) for name in runs.run_ids(workdir)[:_NEWEST]]
    for record in records:
        if record is None or record.pipeline != pipeline:
            continue
        parameters = {node.id: node.parameters for node in record.nodes}
        for event in runs.read_events(workdir, record.run):
            if event.state == "done" and event.peak_bytes and event.node in told and event.node in parameters:
                same = _agree(told[event.node], parameters[event.node])
                busy = event.cpu_s / event.seconds if event.seconds else 0.0
                yield event.node, Took(record.run, same, event.peak_bytes, busy)


def _agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two agree in what both tell, but for places."""
    return all(one[key] == other[key] for key in one.keys() & other.keys() if not is_place(key))
