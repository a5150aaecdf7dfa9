"""Lists of what a store holds, by its index (index.py): searched, filtered and paged, without opening a manifest.

A reader keeps what it read of the index in a database of its own (index_copy.py). Where the store has no index, or a
damaged one, the log is read instead, and the list says why.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from piecehub.errors import RecipeError
from piecehub.facts.handle import Handle
from piecehub.store import index_copy
from piecehub.store.catalog import Store
from piecehub.store.events import Status
from piecehub.store.index import NoIndex

# What a list may be of: the newest version of each model, every version, those of a status, or those of an alias.
# Of the newest of each model, those that nobody signed, and those with evidence from long ago.
SHOWN = ("newest", "all", "published", "yanked", "quarantined", "champion", "candidate", "unsigned", "outdated")
OUTDATED_DAYS = 180
PAGE = 25
MOST = 1000
_PUBLISHED = str(Status.PUBLISHED)
_STATUSES = frozenset(map(str, Status))


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
            with self._lock, contextlib.closing(index_copy.connected(self._path(store))) as known:
                index_copy.caught_up(known, store)
                return _listed(known, *asked, "")
        except NoIndex as error:
            why = error.sentence
        except (sqlite3.Error, OSError) as error:
            why = f"Expected room for what is read of the index. Received: {error}."
            self._path(store).unlink(missing_ok=True)
        with contextlib.closing(index_copy.read_from_log(store)) as read:
            return _listed(read, *asked, why)

    def _path(self, store: Store) -> Path:
        if self.folder is not None and self.folder.is_dir() and os.access(self.folder, os.W_OK):
            return self.folder / f"catalog-{hashlib.sha256(store.uri.encode()).hexdigest()[:12]}.sqlite"
        if self._own is None:
            self._own = tempfile.TemporaryDirectory(prefix="piecehub-")
        return Path(self._own.name) / "catalog.sqlite"


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
        conditions.append("(model, version) IN (SELECT model, version FROM tasks WHERE task = ?)")
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
