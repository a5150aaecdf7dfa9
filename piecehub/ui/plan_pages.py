"""A recipe's page: what its newest run was to do, and why, by the plan that it keeps, and how long that took."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from piecehub.facts import runs
from piecehub.facts.plan import Change, Component, Plan, read_plan, with_took
from piecehub.facts.run_index import Wanted, list_runs
from piecehub.facts.run_rows import RunRow, shown_state
from piecehub.facts.workdir import Workdir
from piecehub.ui import words

# How many runs are looked at for one that keeps a plan; those of before there were plans keep none.
_LOOKED_AT = 25


@dataclass(frozen=True)
class Row:
    """A component of the plan: how it ended in the run, and how long that took."""

    component: Component
    state: str
    seconds: float


@dataclass(frozen=True)
class PlanPage:
    """What a page shows of a recipe."""

    run: RunRow
    plan: Plan
    rows: tuple[Row, ...]

    @property
    def told(self) -> str:
        """How many components were to run."""
        running = sum(row.component.state == "run" for row in self.rows)
        return f"{running} of {words.count(len(self.rows), 'component')} to run"

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The recipe's entries."""
        return [(key, json.dumps(value, ensure_ascii=False)) for key, value in self.plan.made_of.parameters.items()]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """The examples of each part: how many records in each split."""
        return [(part, _records(told.records)) for part, told in self.plan.made_of.data.items()]

    @property
    def edited(self) -> list[Change]:
        """The changes of which it is known how they were made."""
        return [change for change in self.plan.changes if change.diff]


def plan_page(workdir: Workdir, pipeline: str) -> PlanPage | None:
    """The page of a recipe by its name; None if no run of it keeps a plan."""
    for row in list_runs(workdir, Wanted(recipe=pipeline), limit=_LOOKED_AT).rows:
        if row.pipeline == pipeline and (page := planned(workdir, row)):
            return page
    return None


def planned(workdir: Workdir, row: RunRow) -> PlanPage | None:
    """What one run was to do; None if it keeps no plan."""
    plan, record = read_plan(workdir, row.run), runs.read_run(workdir, row.run)
    if not (plan and record):
        return None
    states = runs.node_states(record, runs.read_events(workdir, row.run))
    plan = with_took(plan, row.run, states)
    return PlanPage(row, plan, tuple(_row(component, states, row.state) for component in plan.components))


def _row(component: Component, states: Mapping[str, runs.Event], of_run: str) -> Row:
    event = states.get(component.id)
    return Row(component, shown_state(event.state, of_run) if event else "not run", event.seconds if event else 0.0)


def _records(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {words.count(count, 'record')}" for split, count in counts.items()) or "not looked at"


def plan_json(page: PlanPage) -> dict[str, Any]:
    """The document that the run keeps, and which run it was."""
    return {**json.loads(page.plan.to_json()), "run": page.run.run}
