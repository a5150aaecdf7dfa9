"""What a run notes of itself, for pages, the next plan, and the next run that may have nothing to do."""

# The generated protos have no types.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Mapping
from dataclasses import dataclass

from tfx.proto.orchestration import pipeline_pb2

from piecehub.facts import runs
from piecehub.facts.plan import Plan, with_took, write_plan
from piecehub.facts.workdir import Workdir
from pipelines.outcome import Outcome
from pipelines.planning.plan import plan_of, with_examples
from pipelines.planning.read import data, sources
from pipelines.planning.sources import sources_of, write_sources
from pipelines.planning.stamp import Stamp, write_stamp
from pipelines.planning.store_state import State, after_publishing, store_state
from pipelines.recipe.tables import LoadedRecipe


@dataclass(frozen=True)
class Noted:
    """What was so when a run began.

    Attributes:
        plan: what it would do.
        read: digests of what it was compiled of (read.py).
        store: what the store said of its models.
    """

    plan: Plan
    read: Mapping[str, str]
    store: State


def beginning(
    ir: pipeline_pb2.Pipeline,
    loaded: LoadedRecipe,
    workdir: Workdir,
    read: Mapping[str, str],
    signed_by: str | None,
) -> Noted:
    """What is so now that a run is about to begin; `read` and `signed_by` are those of `sources` and `plan_of`."""
    store = store_state(loaded, workdir.store_place)
    return Noted(plan_of(ir, loaded, workdir, signed_by), {**read, **data(loaded, workdir)}, store)


def note_end(
    workdir: Workdir, run: runs.Run, began: Noted, outcome: Outcome, loaded: LoadedRecipe, devices: str, signed_by: str
) -> None:
    """Leaves what the next one needs, beside a run that came to its end.

    Raises:
        PiecehubError: if recipe, examples or store cannot be read any more; then there is something to do next time.
        OSError: as it is, for one.
    """
    states = runs.node_states(run, runs.read_events(workdir, run.run))
    outputs = {node: event.outputs for node, event in states.items()}
    plan = with_took(with_examples(began.plan, loaded.config, outputs), run.run, states)
    write_plan(workdir, run.run, plan)
    now = {**sources(loaded, devices), **data(loaded, workdir)}
    store = store_state(loaded, workdir.store_place)
    own = after_publishing(began.store, (piece.handle for piece in outcome.pieces))
    stamp = Stamp(store if store == own else None, signed_by, now if now == began.read else None)
    if stamp.read and outcome.pushed:
        write_sources(workdir, run.run, sources_of(loaded))
    write_stamp(workdir, run.run, stamp)
