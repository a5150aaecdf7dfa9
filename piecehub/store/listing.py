"""Lists of what a store holds, by its index (index.py): searched, filtered and paged, without opening a manifest.

A reader keeps what it read of the index in a database of its own and asks, for each list, by one listing which objects
came since. Where the store has no index, or a damaged one, the log is read instead, and the list says why.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from piecehub.errors import PiecehubError, RecipeError
from piecehub.facts.handle import Handle
from piecehub.store import index
from piecehub.store.catalog import Store
from piecehub.store.events import Status
from piecehub.store.index import Model, NoIndex

# What a list may be of: the newest version of each model, every version, those of a status, or those of an alias.
# Of the newest of each model, those that nobody signed, and those with evidence from long ago.
SHOWN = ("newest", "all", "published", "yanked", "quarantined", "champion", "candidate", "unsigned", "outdated")
OUTDATED_DAYS = 180
PAGE = 25
MOST = 1000
_SCHEMA = 1
_TRIES = 5
_WAIT_S = 10.0
_PUBLISHED = str(Status.PUBLISHED)
_STATUSES = frozenset(map(str, Status))
_DERIVED = ("models", "versions", "tasks", "aliases")
_TABLES = """
CREATE TABLE seen (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE models (model TEXT PRIMARY KEY, publisher TEXT, line TEXT) WITHOUT ROWID;
CREATE TABLE versions (model TEXT, version INTEGER, publisher TEXT, status TEXT, is_newest INTEGER, published_at TEXT,
                       signed INTEGER, measured INTEGER, words TEXT, value TEXT,
                       PRIMARY KEY (model, version)) WITHOUT ROWID;
CREATE TABLE tasks (task TEXT, model TEXT, version INTEGER, PRIMARY KEY (task, model, version)) WITHOUT ROWID;
CREATE TABLE aliases (alias TEXT, model TEXT, version INTEGER, PRIMARY KEY (alias, model)) WITHOUT ROWID;
CREATE INDEX by_time ON versions (published_at, model, version, status, words);
CREATE INDEX newest ON versions (published_at, model, version, signed, measured, words) WHERE is_newest;
CREATE INDEX withdrawn ON versions (status, published_at, model, version) WHERE status != 'published';
"""


@dataclass(frozen=True)
class Sought:
    """Which versions a list is to show; what is empty does not matter.

    Attributes:
        q: words that the model's name or a task's holds, each of them, in any case.
        publisher: whose.
        task: with evidence of that task.
        show: one of SHOWN.
    """

    q: str = ""
    publisher: str = ""
    task: str = ""
    show: str = "newest"

    def __post_init__(self) -> None:
        """Raises RecipeError if there is no such list."""
        if self.show not in SHOWN:
            raise RecipeError(f"Expected as show one of {', '.join(SHOWN)}. Received: '{self.show}'.")

    @property
    def given(self) -> dict[str, str]:
        """What matters, by name."""
        return {key: value for key, value in vars(self).items() if value and (key, value) != ("show", "newest")}


@dataclass(frozen=True)
class Row:
    """A version in a list; `numbers` counts all versions of its model, and `gain` is what the gate saw of it."""

    model: str
    version: int
    status: Status
    is_newest: bool
    aliases: tuple[str, ...]
    published_at: str
    digest: str
    tasks: tuple[str, ...]
    signed: bool
    fine_tunable: bool
    gain: dict[str, Any] | None
    numbers: int
    withdrawn: dict[str, int]

    @property
    def handle(self) -> Handle:
        """The version."""
        return Handle.parse(f"{self.model}/{self.version}")


@dataclass(frozen=True)
class Listed:
    """Some versions, the newest published first.

    Attributes:
        rows: the versions.
        total: how many match in all.
        newer: the version after which the page with newer ones begins, or None.
        older: the version before which the page with older ones begins, or None.
        from_log: why the log was read instead of the index; else empty.
        publishers: all publishers.
        tasks: all tasks with evidence.
    """

    rows: tuple[Row, ...]
    total: int
    newer: str | None
    older: str | None
    from_log: str
    publishers: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass
class Listing:
    """Lists of one store, for a server or a command.

    Attributes:
        folder: where the database of what was read may be kept for the next time; None: for this process only.
    """

    folder: Path | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _own: tempfile.TemporaryDirectory[str] | None = None

    def sought(
        self,
        store: Store,
        sought: Sought | None = None,
        *,
        before: str = "",
        after: str = "",
        limit: int = PAGE,
        hidden: Collection[str] = (),
    ) -> Listed:
        """The versions that are sought, the newest published first.

        Args:
            store: whose.
            sought: which; None: the newest of each model.
            before: only versions published before that one; `older` of the page before.
            after: only versions published after that one, those next to it; `newer` of the page before.
            limit: how many at most.
            hidden: publishers that are left out.

        Raises:
            RecipeError: if `before` or `after` is no version of the store.
            StoreError: if there is no index, and the log is damaged.
        """
        asked = (sought or Sought(), before, after, limit, hidden)
        why = ""
        try:
            with self._lock, contextlib.closing(self._connected(store)) as known:
                _caught_up(known, store)
                return _listed(known, *asked, "")
        except NoIndex as error:
            why = error.sentence
        except (sqlite3.Error, OSError) as error:
            why = f"Expected room for what is read of the index. Received: {error}."
            self._path(store).unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(":memory:")) as read:
            read.executescript(_TABLES)
            _put_all(read, _log_of(store))
            return _listed(read, *asked, why)

    def _path(self, store: Store) -> Path:
        if self.folder is not None and self.folder.is_dir() and os.access(self.folder, os.W_OK):
            return self.folder / f"catalog-{hashlib.sha256(store.uri.encode()).hexdigest()[:12]}.sqlite"
        if self._own is None:
            self._own = tempfile.TemporaryDirectory(prefix="piecehub-")
        return Path(self._own.name) / "catalog.sqlite"

    def _connected(self, store: Store) -> sqlite3.Connection:
        """The database, empty if there was none, or one of another schema."""
        path = self._path(store)
        for _ in range(2):
            known = sqlite3.connect(path, timeout=_WAIT_S)
            try:
                known.execute("PRAGMA synchronous=OFF")
                known.execute("PRAGMA trusted_schema=OFF")
                [schema] = known.execute("PRAGMA user_version").fetchone()
                if schema == 0 and not known.execute("SELECT 1 FROM sqlite_master").fetchone():
                    known.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={_SCHEMA}; COMMIT;")
                    schema = _SCHEMA
                if schema == _SCHEMA:
                    return known
            except sqlite3.OperationalError:
                known.close()
                raise
            except sqlite3.DatabaseError:
                pass  # no database, or half of one
            known.close()
            path.unlink(missing_ok=True)
        raise sqlite3.DatabaseError("a database that is ours")


def _caught_up(known: sqlite3.Connection, store: Store) -> None:
    """Reads what came into the index since the last time.

    Raises:
        NoIndex: if there is none, or it is damaged.
    """
    for _ in range(_TRIES):
        there = index.objects(store)
        if not any(map(index.is_snapshot, there)):
            raise NoIndex(f"Expected an index of '{store.uri}'. Received: none; `piecehub store reindex` makes one.")
        seen = {key for (key,) in known.execute("SELECT key FROM seen")}
        with known:
            if _took_in(known, store, there.keys(), seen):
                known.execute("DELETE FROM seen")
                known.executemany("INSERT INTO seen VALUES (?)", [(key,) for key in there])
                return
            known.rollback()
    raise NoIndex(f"Expected the index of '{store.uri}' to hold still. Received: one that others fold; try again.")


def _took_in(known: sqlite3.Connection, store: Store, there: Collection[str], seen: Collection[str]) -> bool:
    """Takes in what is there and was not seen; False if somebody folded part of it meanwhile."""
    new = [key for key in sorted(there) if key not in seen]
    names = {key.rpartition("/")[2] for key in seen}
    gone = names - {key.rpartition("/")[2] for key in there}
    begins = False
    read: dict[str, Iterable[Model]] = {}
    for key in new:
        found = index.read(store, key)
        if found is None:
            return False
        folded, read[key] = found
        if index.is_snapshot(key):
            begins = begins or not folded or not folded <= names  # it holds what was never read here
        gone -= folded
    if not begins and not gone:  # what is gone without being folded, a reindex removed
        for key in new:
            if not index.is_snapshot(key):
                _put(known, store, read[key])
        return True
    for table in _DERIVED:
        known.execute(f"DELETE FROM {table}")
    for number, key in enumerate(sorted(there, key=lambda key: not index.is_snapshot(key))):
        if key not in read:
            found = index.read(store, key)
            if found is None:
                return False
            read[key] = found[1]
        if number:
            _put(known, store, read[key])
        else:
            _put_all(known, read[key])
    return True


def _put(known: sqlite3.Connection, store: Store, models: Iterable[Model]) -> None:
    """Joins models with what is known of them; of a number of which nobody told the manifest is read."""
    for model in models:
        line = known.execute("SELECT line FROM models WHERE model = ?", (model.model,)).fetchone()
        joined = Model.from_line(line[0]).joined(model) if line else model
        if missing := joined.numbers - joined.versions.keys():
            joined = joined.joined(_told_by_the_log(store, joined, missing))
        for table in _DERIVED:
            known.execute(f"DELETE FROM {table} WHERE model = ?", (model.model,))
        _put_all(known, [joined])


def _told_by_the_log(store: Store, model: Model, numbers: Iterable[int]) -> Model:
    found: dict[int, dict[str, Any]] = {}
    for number in numbers:
        with contextlib.suppress(PiecehubError):  # a list shows the others
            found[number] = index.about(store.manifest(Handle.parse(f"{model.model}/{number}")))
    return Model(model.model, frozenset(), versions=found)


def _log_of(store: Store) -> Iterator[Model]:
    for state in store.states():
        handles = (Handle.parse(f"{state.model}/{version}") for version in state.versions)
        yield index.model_of(state, map(store.manifest, handles))


def _put_all(known: sqlite3.Connection, models: Iterable[Model]) -> None:
    """Puts models in of which nothing is known yet."""
    for model in models:
        publisher = model.model.partition("/")[0]
        known.execute("REPLACE INTO models VALUES (?, ?, ?)", (model.model, publisher, model.to_line()))
        newest = max((n for n in model.versions if n not in model.withdrawn), default=0)
        rows: list[tuple[Any, ...]] = []
        for number, about in model.versions.items():
            tasks = [str(task) for task in about["tasks"]]
            words = " ".join([model.model, *tasks]).casefold()
            status = model.withdrawn.get(number, _PUBLISHED)
            place = (model.model, number, publisher, status, number == newest)
            rows.append((*place, about["published_at"], about["signed"], bool(tasks), words, json.dumps(about)))
            if tasks:
                known.executemany("REPLACE INTO tasks VALUES (?, ?, ?)", [(t, model.model, number) for t in tasks])
        known.executemany("REPLACE INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        meant = [(alias, model.model, version) for alias, version in model.aliases.items() if version]
        known.executemany("REPLACE INTO aliases VALUES (?, ?, ?)", meant)


def _listed(
    known: sqlite3.Connection,
    sought: Sought,
    before: str,
    after: str,
    limit: int,
    hidden: Collection[str],
    from_log: str,
) -> Listed:
    where, values = _conditions(sought, hidden)
    [total] = known.execute(f"SELECT count(*) FROM versions v WHERE {where}", values).fetchone()

    def place_of(handle: str) -> tuple[str, str, int]:
        model, _, version = handle.rpartition("/")
        number = int(version[:18]) if version.isascii() and version.isdigit() else 0
        asked = "SELECT published_at FROM versions WHERE model = ? AND version = ?"
        found = known.execute(asked, (model, number)).fetchone()
        if found is None:
            raise RecipeError(f"Expected a version of the store as the edge of a page. Received: '{handle}'.")
        return found[0], model, number

    beyond, edge, order = ("", [], "DESC")
    if after or before:
        beyond, edge = (
            f"AND (published_at, model, version) {'>' if after else '<'} (?, ?, ?)",
            [*place_of(after or before)],
        )
        order = "ASC" if after else "DESC"
    ordered = ", ".join(f"{column} {order}" for column in ("published_at", "model", "version"))
    asked = f"SELECT model, version FROM versions v WHERE {where} {beyond} ORDER BY {ordered} LIMIT ?"
    found = known.execute(asked, [*values, *edge, limit + 1]).fetchall()
    has_more, found = len(found) > limit, found[:limit]
    found = found[::-1] if after else found
    has_newer, has_older = (has_more, bool(found)) if after else (bool(before and found), has_more)
    publishers = known.execute("SELECT DISTINCT publisher FROM models ORDER BY 1")
    return Listed(
        tuple(_row(known, *place) for place in found),
        total,
        "{}/{}".format(*found[0]) if has_newer else None,
        "{}/{}".format(*found[-1]) if has_older else None,
        from_log,
        tuple(publisher for (publisher,) in publishers if publisher not in hidden),
        tuple(task for (task,) in known.execute("SELECT DISTINCT task FROM tasks ORDER BY 1")),
    )


def _conditions(sought: Sought, hidden: Collection[str]) -> tuple[str, list[Any]]:
    """The versions that are sought, as SQL."""
    conditions, values = ["1"], list[Any]()
    if sought.show == "newest":
        conditions.append("is_newest")
    elif sought.show in _STATUSES:
        conditions.append("status = ?")
        values.append(sought.show)
    elif sought.show == "unsigned":
        conditions.append("is_newest AND NOT signed")
    elif sought.show == "outdated":
        conditions.append("is_newest AND measured AND published_at < ?")
        values.append((datetime.now(UTC) - timedelta(days=OUTDATED_DAYS)).isoformat())
    elif sought.show != "all":
        conditions.append("(model, version) IN (SELECT model, version FROM aliases WHERE alias = ?)")
        values.append(sought.show)
    for word in sought.q.casefold().split():
        conditions.append("instr(words, ?)")
        values.append(word)
    if sought.publisher:
        conditions.append("publisher = ?")
        values.append(sought.publisher)
    if sought.task:
        conditions.append("EXISTS (SELECT 1 FROM tasks t WHERE (t.task, t.model, t.version) = (?, v.model, v.version))")
        values.append(sought.task)
    if hidden:
        conditions.append(f"publisher NOT IN ({', '.join('?' * len(hidden))})")
        values += hidden
    return " AND ".join(conditions), values


def _row(known: sqlite3.Connection, model: str, version: int) -> Row:
    asked = "SELECT status, is_newest, value FROM versions WHERE model = ? AND version = ?"
    status, is_newest, text = known.execute(asked, (model, version)).fetchone()
    counted = "SELECT status, count(*) FROM versions WHERE model = ? GROUP BY status ORDER BY status"
    numbers: dict[str, int] = dict(known.execute(counted, (model,)).fetchall())
    aliases = known.execute("SELECT alias FROM aliases WHERE model = ? AND version = ? ORDER BY 1", (model, version))
    about = json.loads(text)
    return Row(
        model,
        version,
        Status(status),
        bool(is_newest),
        tuple(alias for (alias,) in aliases),
        str(about["published_at"]),
        str(about["digest"]),
        tuple(map(str, about["tasks"])),
        bool(about["signed"]),
        bool(about["fine_tunable"]),
        about["gain"],
        sum(numbers.values()),
        {status: count for status, count in numbers.items() if status != _PUBLISHED},
    )
