"""A cost as a table for a person."""

from piecehub.facts.plan import Plan
from piecehub.facts.quantities import cpu_hours
from pipelines.cost.arithmetic import PARTS, Cost, Part

_NOTE = "At most: trainings may stop early."
_NOTHING = "Nothing was trained to its end, published or recorded; all that was written is gone."


def text(cost: Cost, name: str, plan: Plan) -> str:
    """The totals, what of it a run takes by its plan, the parts, and what was not done."""
    rows = [("part", "CPU time", "memory", "disk", "taken from"), *map(_row, cost.parts)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3)), row[4]]) for row in rows
    ]
    total = (
        f"{name}: {cpu_hours(cost.cpu_s)}, {duration(cost.wall_s)} on {cost.processors} processors, "
        f"{size(cost.memory_bytes)} of memory, {size(cost.disk_bytes)} of disk"
    )
    return "\n".join([total, _now(cost, plan), "", *(f"  {line}" for line in lines), "", _NOTE, _NOTHING])


def _now(cost: Cost, plan: Plan) -> str:
    """What is left of a cost where a plan takes some of it from the cache, on one line."""
    if not plan.something_runs:
        return "a run now: nothing of that, for nothing has changed"
    left = [part for part in cost.parts if _runs(part, plan)]
    rest = Cost(tuple(left), cost.processors)
    cached = ", ".join(part.name for part in cost.parts if part not in left)
    told = f"; from the cache: {cached}" if cached else ""
    return f"a run now: {cpu_hours(rest.cpu_s)}, {duration(rest.wall_s)}{told}"


def _runs(part: Part, plan: Plan) -> bool:
    """Whether a component of that part would run; to start takes its time in any case."""
    running = [component.id for component in plan.components if component.state == "run"]
    return not PARTS[part.name] or any(name.startswith(PARTS[part.name]) for name in running)


def _row(part: Part) -> tuple[str, str, str, str, str]:
    return part.name, duration(part.cpu_s), size(part.memory_bytes), size(part.disk_bytes), part.source


def duration(seconds: float) -> str:
    """Such as `45 s`, `3.5 min` or `12.0 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def size(count: int) -> str:
    """Such as `12 MB` or `1.9 GB`, of powers of ten."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}" if count < 10 * factor else f"{count / factor:,.0f} {unit}"
    return f"{count} B"
