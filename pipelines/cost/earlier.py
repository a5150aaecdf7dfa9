"""What an earlier run of the same recipe took, component by component, where it was told the same."""

from collections.abc import Mapping
from typing import Any

from piecehub.facts import runs
from piecehub.facts.plan import Took
from piecehub.facts.workdir import Workdir

_LOOKED_AT = 50


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
