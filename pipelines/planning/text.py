"""A plan for a person, as `terraform plan` tells one: what would run and why; what stays as it is, on one line."""

from collections import Counter

from piecehub.facts.plan import Component, Cost, Plan
from piecehub.facts.quantities import cpu_hours, size
from piecehub.ui.words import plain

_SIGNS = {"run": "●", "cache": "↺", "idle": "·"}
_WORDS = {"run": "will run", "cache": "from cache", "idle": "nothing to do"}
_MOST_FILES = 5


def text(plan: Plan) -> str:
    """What differs from the last published run, what would run, and the sum."""
    return "\n".join(map(plain, [_heading(plan), *_changes(plan), "", *_components(plan), "", _sum(plan)]))


def cost(plan: Plan) -> str:
    """What would run takes, as far as earlier runs tell, and how the rest is found out."""
    told = plan.cost_now
    if not plan.something_runs:
        took = plan.cost
        return plain(f"Cost: none; all of it took {_taken(took)}." if took.runs else "Cost: none.")
    how = f"`{plan.cost_command}` tells it before a run"
    if not told.runs:
        return plain(f"Cost: no run has measured it yet; {how}.")
    rest = f"; of {_counted(len(told.unknown))} nothing is known: {how}" if told.unknown else ""
    return plain(f"Cost: {_taken(told)}{rest}.")


def _taken(cost: Cost) -> str:
    figures = [cpu_hours(cost.cpu_s)]
    figures += [f"{size(cost.memory_bytes)} of memory"] if cost.memory_bytes else []
    figures += [f"{size(cost.disk_bytes)} of disk"] if cost.disk_bytes else []
    return f"{', '.join(figures)} (measured in run {', '.join(cost.runs)})"


def _heading(plan: Plan) -> str:
    if not plan.against:
        return f"{plan.pipeline}: no run of this recipe has published yet, so all of it is new"
    return f"{plan.pipeline}: against run {plan.against}, which published {', '.join(plan.published)}"


def _changes(plan: Plan) -> list[str]:
    named = [change.sentence for change in plan.changes if change.kind != "piecehub"]
    ours = [change.sentence for change in plan.changes if change.kind == "piecehub"]
    more = [f"{len(ours) - _MOST_FILES} more files of piecehub"] if len(ours) > _MOST_FILES else []
    return [f"  {line}" for line in (*named, *ours[:_MOST_FILES], *more)]


def _components(plan: Plan) -> list[str]:
    width = max((len(component.id) for component in plan.components), default=0)
    lines = [_line(component, width) for component in plan.components if component.state == "run"]
    cached = [component for component in plan.components if component.state == "cache"]
    idle = [component for component in plan.components if component.state == "idle"]
    if cached:
        runs = ", ".join(sorted({component.filled_by for component in cached} - {""}))
        lines.append(f"  {_SIGNS['cache']}  {_counted(len(cached))} from cache{f', of run {runs}' if runs else ''}")
    if idle:
        told = ", ".join(component.id for component in idle)
        lines.append(f"  {_SIGNS['idle']}  nothing to do for {told}: the store is as the last run left it")
    return lines


def _line(component: Component, width: int) -> str:
    why = [*component.why[:_MOST_FILES], *(["…"] if len(component.why) > _MOST_FILES else [])]
    return f"  {_SIGNS['run']}  {component.id:<{width}}  {_WORDS['run']}  {'; '.join(why)}".rstrip()


def _sum(plan: Plan) -> str:
    counts = Counter(component.state for component in plan.components)
    if not plan.something_runs:
        return "Nothing to do: a run would repeat the outcome of the last one."
    cached = f", {counts['cache']} from cache" if counts["cache"] else ""
    return f"Plan: {counts['run']} of {_counted(len(plan.components))} to run{cached}."


def _counted(number: int) -> str:
    return f"{number} component{'' if number == 1 else 's'}"
