"""An index of a store, so that a list of its versions need not open every manifest. Derived: the log is what holds.

    index/1/snapshot-<sha256>.jsonl.gz   {"folded": [names of what went into it]}, then every model, one line each
    index/1/entry-<sha256>.jsonl         one model, as somebody found it who had just published, yanked, …

    a line   {"model": "<publisher>/<name>", "numbers": [1, 2, …],           every version that there was
              "events": 3, "withdrawn": {"2": "yanked"}, "aliases": {"champion": 1},   by the log up to that event
              "versions": {"1": {"digest", "published_at", "tasks": […], "signed", "fine_tunable", "gain"}}}

Objects are named by their own bytes, and lines are joined in any order to the same: of numbers and versions all count,
of what was said the longest log. So nobody waits for anybody, and two who write at once lose nothing. When there are
many entries whoever comes by folds them into the next snapshot, and only then removes them.

Nothing that publishes, serves or judges reads it, and nobody fails because of it. A publisher that was killed between
its manifest and its entry leaves the index without that version: the next who publishes or says something of that model
names the number, and a reader looks it up in the log; `reindex` reads all of the log.
"""

import gzip
import itertools
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self, cast

from piecehub.errors import PiecehubError, StoreError
from piecehub.facts.content import sha256_bytes
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import Manifest
from piecehub.store import layout
from piecehub.store.catalog import Store
from piecehub.store.events import ModelState, Status

# So many entries are folded; a reader that comes new reads no more than about so many.
FOLD_AT = 32
# A store of no more objects than this is read anew by a publisher who finds no index of it.
_SMALL = 2_000
_SMALL_BYTES = 1 << 20
_NAME = re.compile(r"(snapshot|entry)-([0-9a-f]{64})\.jsonl(?:\.gz)?")
_EVIDENCE = re.compile(r"evidence/([^/]+)/evidence\.json")
_SIGNATURE = "model.sig"
_GAIN = ("fine_tuning", "from_scratch")
_log = logging.getLogger(__name__)


class NoIndex(StoreError):
    """The index is not there, or damaged."""


@dataclass(frozen=True)
class Model:
    """A line of the index; `versions` has what is known of some of the numbers."""

    model: str
    numbers: frozenset[int]
    events: int = 0
    withdrawn: Mapping[int, str] = field(default_factory=dict[int, str])
    aliases: Mapping[str, int] = field(default_factory=dict[str, int])
    versions: Mapping[int, Mapping[str, Any]] = field(default_factory=dict[int, Mapping[str, Any]])

    def joined(self, other: Self) -> Self:
        """What both know together."""
        later = max(self, other, key=lambda model: model.events)
        return replace(
            later,
            numbers=self.numbers | other.numbers,
            versions={**self.versions, **other.versions},
        )

    def to_line(self) -> str:
        """One line of JSON; equal models give equal lines."""
        value = {
            "model": self.model,
            "numbers": sorted(self.numbers),
            "events": self.events,
            "withdrawn": {str(version): str(status) for version, status in self.withdrawn.items()},
            "aliases": dict(self.aliases),
            "versions": {str(version): dict(about) for version, about in self.versions.items()},
        }
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"

    @classmethod
    def from_line(cls, line: str | bytes) -> Self:
        """Reads what `to_line` wrote; raises StoreError if it is none."""
        try:
            value = json.loads(line)
            return cls(
                str(value["model"]),
                frozenset(map(int, value["numbers"])),
                int(value["events"]),
                {int(version): str(Status(status)) for version, status in value["withdrawn"].items()},
                {str(alias): int(version) for alias, version in value["aliases"].items()},
                {int(version): _checked(about) for version, about in value["versions"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoIndex(
                f"Expected a line of the index. Received: {type(error).__name__}; run `store reindex`."
            ) from error


def model_of(state: ModelState, manifests: Iterable[Manifest]) -> Model:
    """What the log holds of a model, with what is to be shown of those versions."""
    statuses = {version: state.status(version) for version in state.versions}
    return Model(
        state.model,
        frozenset(state.versions),
        max((event.number for event in state.events), default=0),
        {version: str(status) for version, status in statuses.items() if status is not Status.PUBLISHED},
        state.aliases,
        {manifest.handle.version: about(manifest) for manifest in manifests},
    )


def about(manifest: Manifest) -> dict[str, Any]:
    """What a list shows of a version."""
    titles = [blob.title for blob in manifest.blobs]
    return {
        "digest": manifest.digest,
        "published_at": manifest.published_at,
        "tasks": sorted(found[1] for title in titles if (found := _EVIDENCE.fullmatch(title))),
        "signed": _SIGNATURE in titles,
        "fine_tunable": manifest.facts.get("fine_tunable") is True,
        "gain": _gain(manifest.facts),
    }


def _checked(about: Mapping[str, Any]) -> dict[str, Any]:
    """What `about` made; raises KeyError, TypeError or ValueError if it is another thing."""
    gain = about["gain"]
    if gain is not None:
        gain = {"task": str(gain["task"]), **{key: float(gain[key]) for key in ("estimate", "low", "high")}}
    told = {key: str(about[key]) for key in ("digest", "published_at")}
    datetime.fromisoformat(told["published_at"])
    flags = {key: bool(about[key]) for key in ("signed", "fine_tunable")}
    return {**told, **flags, "tasks": [str(task) for task in about["tasks"]], "gain": gain}


def _gain(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The contrast that says whether the piece pays, as the gate saw it; facts are anybody's, so nothing is sure."""
    verdict = facts.get("verdict")
    contrasts = cast("dict[str, Any]", verdict).get("contrasts") if isinstance(verdict, dict) else None
    for found in cast("list[Any]", contrasts) if isinstance(contrasts, list) else ():
        contrast = cast("dict[str, Any]", found if isinstance(found, dict) else {})
        if (contrast.get("candidate"), contrast.get("reference")) == _GAIN:
            numbers = {key: contrast.get(key) for key in ("estimate", "low", "high")}
            if all(isinstance(number, int | float) for number in numbers.values()):
                return {**numbers, "task": str(contrast.get("task", ""))}
    return None


def note(store: Store, publisher: str, name: str, manifest: Manifest | None = None) -> None:
    """Tells the index what holds now for a model, of which `manifest` was just published; never fails.

    A store of moderate size that has no index, or a damaged one, gets one.
    """
    try:
        there = objects(store)
        if not _is_sound(store, there):
            if sum(1 for _ in itertools.islice(store.backend.list(layout.MODELS), _SMALL)) < _SMALL:
                reindex(store)
            return
        line = model_of(store.state(publisher, name), [manifest] if manifest else []).to_line().encode()
        store.backend.create(_key("entry", line), line)
        if sum(1 for key in there if _kind(key) == "entry") >= FOLD_AT:
            _fold(store, there)
    except (PiecehubError, OSError) as error:
        _log.warning("The index of the store is behind; `piecehub store reindex` mends it. %s", error)


def reindex(store: Store) -> int:
    """Makes the index anew from the log, and says how many versions it holds; safe beside publishers.

    Raises:
        StoreError: if a manifest or an event is damaged.
        EnvironmentProblem: if the store cannot be reached or written.
    """
    # What was noted before is in the log by now; what is noted while the log is read stays beside the snapshot.
    before = list(store.backend.list(layout.INDEX))
    count = 0

    def lines() -> Iterator[str]:
        nonlocal count
        for state in store.states():
            handles = [Handle.parse(f"{state.model}/{version}") for version in state.versions]
            count += len(handles)
            yield model_of(state, map(store.manifest, handles)).to_line()

    kept = _put_snapshot(store, [], lines())
    for entry in before:
        if entry.key != kept:
            store.backend.delete(entry.key)
    return count


def objects(store: Store) -> dict[str, int]:
    """The sizes of the index' objects, by key."""
    return {e.key: e.size_bytes for e in store.backend.list(layout.INDEX_NOW) if _kind(e.key)}


def is_snapshot(key: str) -> bool:
    """Whether an object holds all models."""
    return _kind(key) == "snapshot"


def is_as_written(key: str, data: bytes) -> bool:
    """Whether an object of the index has the bytes that its name promises."""
    found = _NAME.fullmatch(key.rpartition("/")[2])
    return found is not None and found[2] == sha256_bytes(data)


def read(store: Store, key: str) -> tuple[frozenset[str], Iterator[Model]] | None:
    """What went into an object of the index, and its models; None if somebody folded it meanwhile.

    Raises:
        NoIndex: if it is damaged.
    """
    data = store.backend.read(key)
    if data is None:
        return None
    if not is_as_written(key, data):
        raise NoIndex(f"Expected '{key}' as it was written. Received: other bytes; run `piecehub store reindex`.")
    try:
        lines = iter((gzip.decompress(data) if is_snapshot(key) else data).splitlines())
        folded = frozenset(map(str, json.loads(next(lines))["folded"])) if is_snapshot(key) else frozenset[str]()
    except (ValueError, KeyError, TypeError, OSError, EOFError, StopIteration) as error:
        raise NoIndex(
            f"Expected '{key}' as an index. Received: another thing; run `piecehub store reindex`."
        ) from error
    return folded, map(Model.from_line, lines)


def _is_sound(store: Store, there: Mapping[str, int]) -> bool:
    """Whether there is a snapshot, and the small ones are as they were written; large ones readers compare."""
    snapshots = [key for key in there if is_snapshot(key)]
    small = [key for key in snapshots if there[key] <= _SMALL_BYTES]
    return bool(snapshots) and all((data := store.backend.read(k)) is None or is_as_written(k, data) for k in small)


def _fold(store: Store, there: Iterable[str]) -> None:
    """Joins what is there into one snapshot."""
    models: dict[str, Model] = {}
    for key in there:
        found = read(store, key)
        if found is None:  # somebody else is at it
            return
        for model in found[1]:
            known = models.get(model.model)
            models[model.model] = known.joined(model) if known else model
    names = sorted(key.rpartition("/")[2] for key in there)
    kept = _put_snapshot(store, names, (models[model].to_line() for model in sorted(models)))
    for key in there:
        if key != kept:
            store.backend.delete(key)


def _put_snapshot(store: Store, folded: list[str], lines: Iterable[str]) -> str:
    head = json.dumps({"folded": folded}) + "\n"
    data = gzip.compress("".join(itertools.chain([head], lines)).encode(), compresslevel=6, mtime=0)
    key = _key("snapshot", data)
    with store.backend.staging() as staging:
        (staging / "snapshot").write_bytes(data)
        store.backend.put(key, staging / "snapshot")
    return key


def _key(kind: str, data: bytes) -> str:
    ending = ".gz" if kind == "snapshot" else ""
    return f"{layout.INDEX_NOW}/{kind}-{sha256_bytes(data)}.jsonl{ending}"


def _kind(key: str) -> str:
    found = _NAME.fullmatch(key.rpartition("/")[2])
    return found[1] if found else ""
