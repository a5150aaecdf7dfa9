"""What a run will do, told before it: the plan, which a run keeps beside its description for the pages.

    runs/<run>/plan.json
    {"schema": 1,
     "pipeline": the recipe's name, "recipe": its folder, "made_at": UTC, ISO 8601,
     "against": the last published run of the recipe, or "", "published": [what it published…],
     "changes": [{"kind": "parameter" | "code" | "schema" | "piecehub" | "lock" | "data", "name", "old", "new",
                  "diff"}…]
                what differs from that run; `old` or `new` is null where there is none; of code `new` is what changed in
                the file, and `diff` how; of data both are numbers of records
     "components": [{"id", "state": "run" | "cache" | "idle", "why": [sentence…], "filled_by": run or "",
                     "upstream": [id…], "took": {"run", "cpu_s", "memory_bytes", "disk_bytes"} or null}…]
     "cost": {"now": {"cpu_s", "memory_bytes", "disk_bytes", "runs": [id…], "unknown": [component…]}, "whole": {…}}
     "made_of": {"parameters": {"train.epochs": 20, …}, "lock": sha256,
                 "files": {path in the recipe's folder: {"sha256", "parts": {function or class: digest}}},
                 "schemas": {file: sha256}, "piecehub": {path of a file of ours: sha256},
                 "data": {part: {"known": bool, "records": {split: count}, "digests": {split: digest}}}}}

`run` is what a run would compute; `cache` what it would take of an earlier run, `filled_by` which; `idle` are those
that see the store, where neither it nor anything else changed. Parts of a Python file are its functions and classes, by
their text, and `""` for what stands outside of them, without comments. `took` is what a component took in the newest
run that computed the same; `cost` sums that up, of what would run now and of all, and names those of which nothing was
measured. Values that look like secrets are not in it.
"""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from piecehub.facts.runs import Event
from piecehub.facts.workdir import Workdir

FILE_NAME = "plan.json"
LOCK = "requirements.lock"
NOT_LOOKED_AT = "new data, not looked at"
_SCHEMA = 1
_LONGEST = 40

State = Literal["run", "cache", "idle"]
Kind = Literal["parameter", "code", "schema", "piecehub", "lock", "data"]


@dataclass(frozen=True)
class Change:
    """Something that differs from the last published run; `old` or `new` is None where there is none.

    `diff` is that of a small file of the recipe, as `diff -u` writes it, without what looks like a secret.
    """

    kind: Kind
    name: str
    old: Any = None
    new: Any = None
    diff: str = ""

    @property
    def sentence(self) -> str:
        """The same on one line, such as `train.epochs 20 → 30` or `model.py changed: build_model`."""
        return self.told(str)

    def told(self, shown: Callable[[str], str]) -> str:
        """The sentence, with each text in it that is a person's as `shown` gives it back."""
        name = shown(self.name)
        if self.kind == "parameter":
            return f"{name} {shown(_short(self.old))} → {shown(_short(self.new))}"
        if self.kind == "data":
            before = "" if self.old is None else f"{self.old:,} → "
            return NOT_LOOKED_AT if self.new is None else f"new data: {name} {before}{self.new:,} records"
        if self.kind == "lock":
            return name
        if self.old is None or self.new is None:
            return f"{name} {'is new' if self.old is None else 'is gone'}"
        return f"{name} changed{': ' + ', '.join(map(shown, self.new)) if self.new else ''}"


@dataclass(frozen=True)
class Took:
    """What a component took in the run that computed it; the figures are those of that run's events (runs.py)."""

    run: str
    cpu_s: float
    memory_bytes: int = 0
    disk_bytes: int = 0

    @classmethod
    def of(cls, event: Event, run: str) -> Self | None:
        """What the end of a component tells; None of one that was not computed, or of before this was noted."""
        if event.state != "done" or not event.cpu_s:
            return None
        return cls(run, event.cpu_s, event.memory_bytes, event.disk_bytes)


@dataclass(frozen=True)
class Cost:
    """What several components take: as they took it in earlier runs, and of which of them nothing is known."""

    cpu_s: float
    memory_bytes: int
    disk_bytes: int
    runs: tuple[str, ...]
    unknown: tuple[str, ...]

    @classmethod
    def of(cls, components: Iterable["Component"]) -> Self:
        """The sum; of memory the most, for one follows upon another."""
        all_of_them = tuple(components)
        known = [component.took for component in all_of_them if component.took]
        return cls(
            cpu_s=round(sum(took.cpu_s for took in known), 2),
            memory_bytes=max((took.memory_bytes for took in known), default=0),
            disk_bytes=sum(took.disk_bytes for took in known),
            runs=tuple(sorted({took.run for took in known})),
            unknown=tuple(component.id for component in all_of_them if not component.took),
        )


@dataclass(frozen=True)
class Component:
    """What becomes of one component, why, of one from the cache which run made its outputs, and what it took."""

    id: str
    state: State
    why: tuple[str, ...] = ()
    filled_by: str = ""
    upstream: tuple[str, ...] = ()
    took: Took | None = None


@dataclass(frozen=True)
class File:
    """A file of a recipe; `parts` are the functions and classes of a Python file, each with a digest."""

    sha256: str
    parts: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Part:
    """Examples of a part: how many records there are in each split, and which; nothing of what nobody looked at."""

    known: bool = True
    records: Mapping[str, int] = field(default_factory=dict[str, int])
    digests: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def count(self) -> int:
        """The records of all splits."""
        return sum(self.records.values())


@dataclass(frozen=True)
class MadeOf:
    """What a run is made of, by which the next plan tells what changed."""

    parameters: Mapping[str, Any]
    lock: str
    files: Mapping[str, File]
    schemas: Mapping[str, str]
    piecehub: Mapping[str, str]
    data: Mapping[str, Part]


@dataclass(frozen=True)
class Plan:
    """What a run of a recipe would do now, component by component."""

    pipeline: str
    recipe: str
    made_at: str
    against: str
    published: tuple[str, ...]
    changes: tuple[Change, ...]
    components: tuple[Component, ...]
    made_of: MadeOf

    @property
    def something_runs(self) -> bool:
        """Whether a run would do anything."""
        return any(component.state == "run" for component in self.components)

    @property
    def cost_command(self) -> str:
        """What tells the cost of a run before it, whether or not one has measured it."""
        return shlex.join(["piecehub", "run", self.recipe, "--dry-run"])

    @property
    def cost(self) -> Cost:
        """What all components take."""
        return Cost.of(self.components)

    @property
    def cost_now(self) -> Cost:
        """What those take that would run now."""
        return Cost.of(component for component in self.components if component.state == "run")

    def to_json(self) -> str:
        """The document drawn above."""
        cost = {"now": asdict(self.cost_now), "whole": asdict(self.cost)}
        return json.dumps({"schema": _SCHEMA, **asdict(self), "cost": cost}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote; raises ValueError, KeyError or TypeError if it is something else."""
        value: dict[str, Any] = json.loads(text)
        if value.pop("schema") != _SCHEMA:
            raise ValueError("another schema")
        value.pop("cost", None)  # it follows from the components
        changes = tuple(Change(**each) for each in value.pop("changes"))
        components = tuple(_component(each) for each in value.pop("components"))
        published, made_of = tuple(value.pop("published")), _made_of(value.pop("made_of"))
        return cls(published=published, changes=changes, components=components, made_of=made_of, **value)


def _component(value: dict[str, Any]) -> Component:
    told: dict[str, Any] = {key: tuple(value[key]) for key in ("why", "upstream")}
    told["took"] = Took(**value["took"]) if value.get("took") else None
    return Component(**value | told)


def _made_of(value: dict[str, Any]) -> MadeOf:
    files = {path: File(**told) for path, told in value.pop("files").items()}
    data = {part: Part(**told) for part, told in value.pop("data").items()}
    return MadeOf(files=files, data=data, **value)


def with_took(plan: Plan, run: str, ended: Mapping[str, Event]) -> Plan:
    """The plan of a run, with what its components took that it computed; of the others as earlier runs took it."""

    def told(component: Component) -> Component:
        event = ended.get(component.id)
        return replace(component, took=(Took.of(event, run) if event else None) or component.took)

    return replace(plan, components=tuple(map(told, plan.components)))


def write_plan(workdir: Workdir, run: str, plan: Plan) -> None:
    """Writes `runs/<run>/plan.json`."""
    folder = workdir.runs / run
    beside = folder / f".{FILE_NAME}"
    try:
        beside.write_text(plan.to_json(), encoding="utf-8")
        beside.replace(folder / FILE_NAME)
    finally:
        beside.unlink(missing_ok=True)


def read_plan(workdir: Workdir, run: str) -> Plan | None:
    """The plan that a run was started with; None of one that has none, or one of another release."""
    path = workdir.runs / run / FILE_NAME
    if Path(run).name != run or not path.is_file():
        return None
    try:
        return Plan.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _short(value: Any) -> str:
    """A value short enough for a line."""
    if value is None:
        return "(none)"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"


def plain(value: Any) -> Any:
    """A value as JSON gives it back, by which old and new are compared."""
    return json.loads(json.dumps(value))
