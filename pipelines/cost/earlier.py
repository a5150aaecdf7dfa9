"""What an earlier run of the same recipe took, component by component, where it was told the same."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from piecehub.facts import runs
from piecehub.facts.workdir import Workdir
from pipelines.recipe.tables import LoadedRecipe

if TYPE_CHECKING:
    from pipelines.piece_journey import Places


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
