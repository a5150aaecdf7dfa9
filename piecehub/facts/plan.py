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
                     "upstream": [id…]}…]
     "made_of": {"parameters": {"train.epochs": 20, …}, "lock": sha256,
                 "files": {path in the recipe's folder: {"sha256", "parts": {function or class: digest}}},
                 "schemas": {file: sha256}, "piecehub": {path of a file of ours: sha256},
                 "data": {part: {"known": bool, "records": {split: count}, "digests": {split: digest}}}}}

`run` is what a run would compute; `cache` what it would take of an earlier run, `filled_by` which; `idle` are those
that see the store, where neither it nor anything else changed. Parts of a Python file are its functions and classes, by
their text, and `""` for what stands outside of them, without comments. Values that look like secrets are not in it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

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
        if self.kind == "parameter":
            return f"{self.name} {_shown(self.old)} → {_shown(self.new)}"
        if self.kind == "data":
            before = "" if self.old is None else f"{self.old:,} → "
            return NOT_LOOKED_AT if self.new is None else f"new data: {self.name} {before}{self.new:,} records"
        if self.kind == "lock":
            return self.name
        if self.old is None or self.new is None:
            return f"{self.name} {'is new' if self.old is None else 'is gone'}"
        return f"{self.name} changed{': ' + ', '.join(self.new) if self.new else ''}"


@dataclass(frozen=True)
class Component:
    """What becomes of one component, why, and of one from the cache which run made its outputs."""

    id: str
    state: State
    why: tuple[str, ...] = ()
    filled_by: str = ""
    upstream: tuple[str, ...] = ()


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

    def to_json(self) -> str:
        """The document drawn above."""
        return json.dumps({"schema": _SCHEMA, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote; raises ValueError, KeyError or TypeError if it is something else."""
        value: dict[str, Any] = json.loads(text)
        if value.pop("schema") != _SCHEMA:
            raise ValueError("another schema")
        changes = tuple(Change(**each) for each in value.pop("changes"))
        components = tuple(_component(each) for each in value.pop("components"))
        published, made_of = tuple(value.pop("published")), _made_of(value.pop("made_of"))
        return cls(published=published, changes=changes, components=components, made_of=made_of, **value)


def _component(value: dict[str, Any]) -> Component:
    lists: dict[str, Any] = {key: tuple(value[key]) for key in ("why", "upstream")}
    return Component(**value | lists)


def _made_of(value: dict[str, Any]) -> MadeOf:
    files = {path: File(**told) for path, told in value.pop("files").items()}
    data = {part: Part(**told) for part, told in value.pop("data").items()}
    return MadeOf(files=files, data=data, **value)


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


def _shown(value: Any) -> str:
    """A value short enough for a line."""
    if value is None:
        return "(none)"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"


def plain(value: Any) -> Any:
    """A value as JSON gives it back, by which old and new are compared."""
    return json.loads(json.dumps(value))
