"""Tells in a second that there is nothing to do, where nothing that a run reads has changed since the last one.

It is never said where there may be something: where anything differs, or is not known, ML Metadata is asked as ever.
Light: neither TFX nor TensorFlow is imported.
"""

from dataclasses import replace

from piecehub.errors import PiecehubError
from piecehub.facts import runs
from piecehub.facts.plan import Component, Plan, read_plan
from piecehub.facts.run_rows import RunRow
from piecehub.facts.workdir import Workdir
from piecehub.lineage.metadata import are_live
from pipelines.planning import read, reasons
from pipelines.planning.stamp import Stamp, last_run, read_stamp
from pipelines.planning.store_state import store_state
from pipelines.recipe.node_ids import never_cached, pipeline_name
from pipelines.recipe.tables import LoadedRecipe

_OF_A_RUN = (reasons.STORE, reasons.STORE_NEW, reasons.GONE, reasons.NOT_DONE)


def nothing_to_do(loaded: LoadedRecipe, workdir: Workdir, devices: str, signed_by: str) -> Plan | None:
    """The plan, where it is certain at a glance that there is nothing to do; else None.

    Args:
        loaded: the recipe.
        workdir: is only read.
        devices: what the run is told to train on.
        signed_by: the digest of the public key of what the run would sign with, if it would.
    """
    last = last_run(workdir, pipeline_name(loaded.config))
    stamp = read_stamp(workdir, last.run) if last and last.state == "done" else None
    plan = read_plan(workdir, last.run) if last else None
    if not (last and stamp and plan) or stamp.signed_by != signed_by:
        return None
    if not _is_as_it_was(stamp, loaded, workdir, devices) or not _is_there(last, workdir):
        return None
    return _of_nothing(plan, last, loaded)


def _is_as_it_was(stamp: Stamp, loaded: LoadedRecipe, workdir: Workdir, devices: str) -> bool:
    if not stamp.read or stamp.store is None:
        return False
    try:
        now = {**read.sources(loaded, devices), **read.data(loaded, workdir)}
        return stamp.read == now and stamp.store == store_state(loaded, workdir.store_place)
    except (OSError, PiecehubError):
        return False  # whoever looks closely says what is wrong


def _is_there(last: RunRow, workdir: Workdir) -> bool:
    """Whether all that the run made is still there, and ML Metadata says so."""
    record = runs.read_run(workdir, last.run)
    if record is None:
        return False
    states = runs.node_states(record, runs.read_events(workdir, last.run)).values()
    return all(event.outputs for event in states) and are_live(
        workdir.metadata, {place for event in states for place in event.outputs.values()}
    )


def _of_nothing(plan: Plan, last: RunRow, loaded: LoadedRecipe) -> Plan:
    """The plan of the last run, after it."""
    sees_store = never_cached(loaded.config)
    is_published = last.outcome == "published"

    def after(component: Component) -> Component:
        why = () if is_published else tuple(each for each in component.why if each not in _OF_A_RUN)
        filled_by = component.filled_by or last.run
        return replace(component, state="idle" if component.id in sees_store else "cache", why=why, filled_by=filled_by)

    found = replace(plan, made_at=runs.now(), components=tuple(map(after, plan.components)))
    if not is_published:
        return found
    return replace(found, against=last.run, published=tuple(result.handle for result in last.results), changes=())
