"""A reader's own database of what it read of a store's index (index.py), which lists (listing.py) are asked of.

By one listing it asks which objects came since, and reads those alone. Where the store has no index, or a damaged one,
the log is read instead, into a database in memory.
"""

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from piecehub.errors import PiecehubError
from piecehub.facts.handle import Handle
from piecehub.store import index
from piecehub.store.catalog import Store
from piecehub.store.events import Status
from piecehub.store.index import Model, NoIndex

_SCHEMA = 2
_TRIES = 5
_WAIT_S = 10.0
_DERIVED = ("models", "versions", "tasks", "aliases")
_TABLES = """
CREATE TABLE seen (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE models (model TEXT PRIMARY KEY, publisher TEXT, line TEXT) WITHOUT ROWID;
CREATE TABLE versions (model TEXT, version INTEGER, publisher TEXT, status TEXT, is_newest INTEGER, published_at TEXT,
                       signed INTEGER, measured INTEGER, words TEXT, value TEXT,
                       PRIMARY KEY (model, version)) WITHOUT ROWID;
CREATE TABLE tasks (model TEXT, version INTEGER, task TEXT, PRIMARY KEY (model, version, task)) WITHOUT ROWID;
CREATE TABLE aliases (model TEXT, alias TEXT, version INTEGER, PRIMARY KEY (model, alias)) WITHOUT ROWID;
CREATE INDEX by_time ON versions (published_at, model, version, status, words);
CREATE INDEX newest ON versions (published_at, model, version, signed, measured, words) WHERE is_newest;
CREATE INDEX withdrawn ON versions (status, published_at, model, version) WHERE status != 'published';
CREATE INDEX by_task ON tasks (task);
CREATE INDEX by_alias ON aliases (alias);
"""


def connected(path: Path) -> sqlite3.Connection:
    """The database of a file, empty if there was none, or one of another schema."""
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


def read_from_log(store: Store) -> sqlite3.Connection:
    """A database in memory of what the log of a store says, which takes as long as all its manifests.

    Raises:
        StoreError: if the log is damaged.
    """
    read = sqlite3.connect(":memory:")
    read.executescript(_TABLES)
    _put_all(read, _log_of(store))
    return read


def caught_up(known: sqlite3.Connection, store: Store) -> None:
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
            status = model.withdrawn.get(number, str(Status.PUBLISHED))
            place = (model.model, number, publisher, status, number == newest)
            rows.append((*place, about["published_at"], about["signed"], bool(tasks), words, json.dumps(about)))
            if tasks:
                known.executemany("REPLACE INTO tasks VALUES (?, ?, ?)", [(model.model, number, t) for t in tasks])
        known.executemany("REPLACE INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        meant = [(model.model, alias, version) for alias, version in model.aliases.items() if version]
        known.executemany("REPLACE INTO aliases VALUES (?, ?, ?)", meant)
