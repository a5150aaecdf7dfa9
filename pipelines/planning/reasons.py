"""Why a component runs: what differs from the last published run, by the names that a person gave it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from piecehub.facts import provenance
from piecehub.facts.plan import LOCK, Change, File, MadeOf, Part
from piecehub.facts.secrets import redacted
from piecehub.facts.tables import unfolded

INPUT = "its input changes"
STORE = "always runs: it sees the store"
STORE_NEW = "what it finds there is new"
NEW = "new"
GONE = "what an earlier run made is gone"
NOT_DONE = "no run has done it yet"
# Parameters of components that have another name in the recipe.
_IN_THE_RECIPE = {
    "layers": "layer",
    "control_seeds": "seeds",
    "checkpoint_digest": "checkpoint",
    "handle": "parent",
    "digest": "parent",
    "upstream_label": "label",
}
_CODE, _LOCK, _FINGERPRINT, _SCHEMA = "code_digest", "lock_digest", "input_fingerprint", "schema_file"


@dataclass(frozen=True)
class Told:
    """What a component would be told now.

    Attributes:
        arguments: its parameters.
        code: the files of ours that it runs.
        part: the part whose examples it reads; empty for others.
    """

    arguments: Mapping[str, Any]
    code: frozenset[str]
    part: str = ""


def changes(old: MadeOf, new: MadeOf) -> tuple[Change, ...]:
    """All that differs between two runs."""
    files = ((name, _parts(was, now)) for name, was, now in _differing(old.files, new.files))
    return (
        *(Change("parameter", *each) for each in _differing(old.parameters, new.parameters)),
        *(Change("code", name, *parts) for name, parts in files),
        *(Change("schema", name, *_there(was, now)) for name, was, now in _differing(old.schemas, new.schemas)),
        *(Change("piecehub", name, *_there(was, now)) for name, was, now in _differing(old.piecehub, new.piecehub)),
        *([Change("lock", LOCK)] if old.lock != new.lock else []),
        *(Change("data", part, *_counts(was, now)) for part, was, now in _differing(old.data, new.data)),
    )


def of_component(new: Told, was: Mapping[str, Any] | None, found: Iterable[Change]) -> list[str]:
    """Why a component would be told something else than in the run before.

    Args:
        new: what it would be told.
        was: what it was told; None if it was not there.
        found: all that differs.
    """
    if was is None:
        return [NEW]
    return list(dict.fromkeys(_reasons(new, was, list(found))))


def _reasons(new: Told, was: Mapping[str, Any], known: list[Change]) -> Iterator[str]:
    named = [change for change in known if change.kind == "parameter"]
    now, then = _by_value(new.arguments), _by_value(was)
    for key in [key for key in {**then, **now} if then.get(key) != now.get(key)]:
        matching = [change for change in named if _means(key, change.name, then.get(key), now.get(key))]
        yield from (change.sentence for change in matching)
        if not matching:
            yield Change("parameter", key, redacted(then.get(key), key), redacted(now.get(key), key)).sentence
    own, _, recipe = str(new.arguments.get(_CODE, "")).partition("+")
    old_own, _, old_recipe = str(was.get(_CODE, "")).partition("+")
    if recipe != old_recipe:
        yield from (change.sentence for change in known if change.kind == "code")
    if own != old_own:
        ours = [change for change in known if change.kind == "piecehub"]
        yield from (change.sentence for change in ours if change.name in new.code or change.new is None)
    if _SCHEMA in new.arguments:
        schemas = [change for change in known if change.kind == "schema"]
        yield from (c.sentence for c in schemas if str(new.arguments[_SCHEMA]).endswith(PurePosixPath(c.name).name))
    if new.arguments.get(_LOCK) != was.get(_LOCK):
        yield Change("lock", LOCK).sentence
    if new.arguments.get(_FINGERPRINT) != was.get(_FINGERPRINT):
        about = [change for change in known if change.kind == "data" and change.name == new.part]
        yield from (change.sentence for change in about)
        if not about:
            yield f"the files of {new.part} were written anew, with the same records"


def _by_value(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What tells it what to do: no places, and nothing that is told apart by name."""
    apart = (_CODE, _LOCK, _FINGERPRINT, _SCHEMA)
    return unfolded({k: v for k, v in arguments.items() if not provenance.is_place(k) and k not in apart})


def _means(key: str, name: str, old: Any, new: Any) -> bool:
    """Whether a component's parameter is that entry of the recipe, by its last word; of a table, by what is in it."""
    entry = name.rpartition(".")[2]
    word = key.rpartition(".")[2]
    inside = {*_keys(old), *_keys(new)}
    return entry == _IN_THE_RECIPE.get(word, word) or entry in inside


def _keys(value: Any) -> set[str]:
    return {str(key) for key in value} if isinstance(value, dict) else set()  # pyright: ignore[reportUnknownVariableType]


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [(key, old.get(key), new.get(key)) for key in keys]


def _there(old: str | None, new: str | None) -> tuple[list[str] | None, list[str] | None]:
    return (None if old is None else []), (None if new is None else [])


def _parts(old: File | None, new: File | None) -> tuple[list[str] | None, list[str] | None]:
    """Of a file that is there in both runs the parts that differ; None where it is not there."""
    if old is None or new is None:
        return (None if old is None else []), (None if new is None else [])
    if not new.parts or not old.parts:
        return [], []
    names = [name or "outside of functions" for name, _, _ in _differing(old.parts, new.parts)]
    return [], names or ["comments only"]


def _counts(old: Part | None, new: Part | None) -> tuple[int | None, int | None]:
    return (old.count if old else None), (new.count if new and new.known else None)
