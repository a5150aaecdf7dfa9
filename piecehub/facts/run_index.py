"""An index of the runs in a working folder, so that a list of some need not open the files of all.

    runs.sqlite    in the working folder. Derived: it may be deleted at any time, and is made anew

Whoever writes a run's description, or its end, notes it here (`note`); whoever lists runs first catches up with what
the folders hold by now. So it is right after a kill, beside an older piecehub and where the file is lost, damaged or of
another schema. Which folders there are is told by the time of `runs/`; of a run that has not ended, the sizes of its
files tell whether it went on. A working folder that cannot be written is read into memory each time.
"""

import contextlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from piecehub.errors import RecipeError
from piecehub.facts import heartbeat, runs
from piecehub.facts.run_rows import OUTCOMES, RunRow, publishers_of, row_of
from piecehub.facts.workdir import Workdir

STATES = ("running", "done", "failed", "stopped")
SHOWN = 25
MOST_SHOWN = 200
_SCHEMA = 3
# How long a writer is waited for: a run must not be held up by its index, a person may be for a moment.
_NOTE_S, _LIST_S = 0.5, 5.0
# A folder that was made within the clock's step of another may have the same time: only an older time is believed.
_SETTLED_NS = 2_000_000_000
_BATCH = 100
_BESIDE = ("shown", "publishers", "handles")
_AGO = re.compile(r"(\d{1,5})([dh])")
# `runs` is narrow, so that a filter reads all of it in milliseconds; what a list shows of a run stands beside it.
_TABLES = """
CREATE TABLE runs (run TEXT PRIMARY KEY, pipeline TEXT, recipe TEXT, state TEXT, outcome TEXT, started REAL,
                   ended INTEGER, files TEXT) WITHOUT ROWID;
CREATE TABLE shown (run TEXT PRIMARY KEY, value TEXT);
CREATE TABLE publishers (run TEXT, publisher TEXT, PRIMARY KEY (run, publisher)) WITHOUT ROWID;
CREATE TABLE handles (run TEXT, handle TEXT, PRIMARY KEY (run, handle)) WITHOUT ROWID;
CREATE TABLE folders (time_ns INTEGER);
CREATE INDEX open_runs ON runs (run) WHERE NOT ended;
CREATE INDEX recipes ON runs (pipeline);
CREATE INDEX by_publisher ON publishers (publisher);
CREATE INDEX by_handle ON handles (handle);
"""


@dataclass(frozen=True)
class Wanted:
    """Which runs a list is to show; what is empty does not matter.

    Attributes:
        recipe: the recipe's name, or its folder.
        state: one of STATES.
        outcome: one of run_rows.OUTCOMES.
        since: started at that time or later: a day (`2026-11-24`), a moment in ISO 8601, or `7d`, `12h` ago.
        publisher: under whose name it publishes.
    """

    recipe: str = ""
    state: str = ""
    outcome: str = ""
    since: str = ""
    publisher: str = ""

    def __post_init__(self) -> None:
        """Raises RecipeError if there is no such state, outcome or time."""
        for what, value, known in (("state", self.state, STATES), ("outcome", self.outcome, OUTCOMES)):
            if value and value not in known:
                raise RecipeError(f"Expected as {what} one of {', '.join(known)}. Received: '{value}'.")
        if self.since:
            _time_of(self.since)

    @property
    def given(self) -> dict[str, str]:
        """What matters, by name."""
        return {key: value for key, value in vars(self).items() if value}


@dataclass(frozen=True)
class Listed:
    """Some runs, the newest first.

    Attributes:
        rows: the runs.
        total: how many match in all.
        newer: the run after which the page with newer ones begins, or None.
        older: the run before which the page with older ones begins, or None.
        unread: how many folders are not in the index yet.
        recipes: the names of all recipes that were run.
        publishers: all under whose names runs publish.
    """

    rows: tuple[RunRow, ...]
    total: int
    newer: str | None
    older: str | None
    unread: int
    recipes: tuple[str, ...]
    publishers: tuple[str, ...]


def list_runs(
    workdir: Workdir,
    wanted: Wanted | None = None,
    *,
    before: str = "",
    after: str = "",
    limit: int = SHOWN,
    at_most_s: float = float("inf"),
) -> Listed:
    """The newest runs that are wanted; before and after a run of that id, where one is given.

    Args:
        workdir: whose.
        wanted: which; None: all.
        before: only runs older than that one; `older` of the page before.
        after: only runs newer than that one, those next to it; `newer` of the page before.
        limit: how many at most.
        at_most_s: how long may be spent on folders that the index does not know yet; the newest come first.
    """
    asked = (wanted or Wanted(), before, after, limit)
    with contextlib.suppress(sqlite3.Error, OSError):
        if workdir.root.is_dir():  # to look at a folder that is not there makes none
            return _by_file(workdir, at_most_s, asked)
    with contextlib.closing(sqlite3.connect(":memory:")) as index:
        index.executescript(_TABLES)
        return _listed(index, *asked, _caught_up(index, workdir, at_most_s))


def makers_of(workdir: Workdir, handle: str, *, at_most_s: float = float("inf")) -> list[str]:
    """The runs that say that they published a version, the first one first; in other stores others have its name.

    Args:
        workdir: whose runs.
        handle: `publisher/name/version`.
        at_most_s: as `list_runs` has it.
    """
    with contextlib.suppress(sqlite3.Error, OSError):
        if workdir.runs.is_dir():
            with contextlib.closing(_connected(workdir, _LIST_S)) as index:
                _caught_up(index, workdir, at_most_s)
                asked = "SELECT run FROM handles WHERE handle = ? ORDER BY run"
                return [run for (run,) in index.execute(asked, (handle,))]
    return []


def note(workdir: Workdir, run_id: str) -> None:
    """Brings the index up to a run that was just written; what goes wrong is left to whoever lists runs next."""
    with contextlib.suppress(sqlite3.Error, OSError):
        if workdir.root.is_dir():
            with contextlib.closing(_connected(workdir, _NOTE_S)) as index, index:
                _read_in(index, workdir, [run_id])


def clear(workdir: Workdir) -> None:
    """Removes the index; the next list makes it anew."""
    for ending in ("", "-wal", "-shm"):
        Path(f"{workdir.run_index}{ending}").unlink(missing_ok=True)


def _time_of(since: str) -> float:
    if ago := _AGO.fullmatch(since.strip()):
        hours = int(ago[1]) * (24 if ago[2] == "d" else 1)
        return (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
    try:
        return runs.parse_time(since.strip()).timestamp()
    except (ValueError, OverflowError) as error:
        raise RecipeError(
            f"Expected since when as a day such as 2026-11-24, a time in ISO 8601, 7d or 12h. Received: '{since}'."
        ) from error


def _by_file(workdir: Workdir, at_most_s: float, asked: tuple[Wanted, str, str, int]) -> Listed:
    """By the index in the working folder, which is made anew once where reading it shows damage."""
    try:
        with contextlib.closing(_connected(workdir, _LIST_S)) as index:
            return _listed(index, *asked, _caught_up(index, workdir, at_most_s))
    except sqlite3.DatabaseError as error:
        if _is_in_the_way(error):
            raise
    clear(workdir)
    with contextlib.closing(_connected(workdir, _LIST_S)) as index:
        return _listed(index, *asked, _caught_up(index, workdir, at_most_s))


def _connected(workdir: Workdir, wait_s: float) -> sqlite3.Connection:
    """The index as it stands in the working folder; what is damaged or of another schema is made anew.

    Raises:
        sqlite3.Error: if it can be neither read nor written.
    """
    try:
        return _connected_to_ours(workdir, wait_s)
    except sqlite3.DatabaseError as error:
        if _is_in_the_way(error):
            raise
    clear(workdir)
    return _connected_to_ours(workdir, wait_s)


def _connected_to_ours(workdir: Workdir, wait_s: float) -> sqlite3.Connection:
    index = sqlite3.connect(workdir.run_index, timeout=wait_s)
    try:
        index.execute("PRAGMA journal_mode=WAL")
        index.execute("PRAGMA synchronous=OFF")  # what a power cut takes is read again
        index.execute("PRAGMA trusted_schema=OFF")
        if _schema_of(index) == 0:
            with index:
                index.execute("BEGIN IMMEDIATE")
                if _schema_of(index) == 0:  # nobody was faster
                    for statement in filter(str.strip, _TABLES.split(";")):
                        index.execute(statement)
                    index.execute(f"PRAGMA user_version={_SCHEMA}")
        if _schema_of(index) != _SCHEMA:
            raise sqlite3.DatabaseError("another schema")
    except BaseException:
        index.close()
        raise
    return index


def _schema_of(index: sqlite3.Connection) -> int:
    return index.execute("PRAGMA user_version").fetchone()[0]


def _is_in_the_way(error: sqlite3.DatabaseError) -> bool:
    """Whether it is nothing about the file: a lock, rights, room. What tells of tables is of another schema."""
    return isinstance(error, sqlite3.OperationalError) and not re.search("no such|already exists|has no", str(error))


def _caught_up(index: sqlite3.Connection, workdir: Workdir, at_most_s: float) -> int:
    """Brings the index up to the folders, the newest runs first; the number of those that it did not come to.

    Another process that holds the index for long is at just that.
    """
    until = time.monotonic() + at_most_s
    try:
        new, time_ns = _unknown(index, workdir)
        while new and time.monotonic() < until:
            with index:
                _read_in(index, workdir, new[:_BATCH])
            new = new[_BATCH:]
        with index:
            _look_at_open_ones(index, workdir)
            if not new and time_ns is not None:
                index.execute("DELETE FROM folders")
                if time_ns < time.time_ns() - _SETTLED_NS:
                    index.execute("INSERT INTO folders VALUES (?)", (time_ns,))
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return 0
    return len(new)


def _unknown(index: sqlite3.Connection, workdir: Workdir) -> tuple[list[str], int | None]:
    """The runs that the index does not know, the newest first, and the time of the folder that was looked at.

    What is gone from the folder is taken out of the index. None: the folder is as it was.
    """
    try:
        time_ns = workdir.runs.stat().st_mtime_ns
        if index.execute("SELECT 1 FROM folders WHERE time_ns = ?", (time_ns,)).fetchone():
            return [], None
        names = {entry.name for entry in os.scandir(workdir.runs) if entry.is_dir(follow_symlinks=False)}
        there = {name for name in names if name == _text(name)}
    except (FileNotFoundError, NotADirectoryError):
        time_ns, there = 0, set[str]()
    known = {run for (run,) in index.execute("SELECT run FROM runs")}
    if gone := known - there:
        with index:
            for table in ("runs", *_BESIDE):
                index.executemany(f"DELETE FROM {table} WHERE run = ?", [(run,) for run in gone])
    return sorted(there - known, reverse=True), time_ns


def _look_at_open_ones(index: sqlite3.Connection, workdir: Workdir) -> None:
    """Reads again the runs that had not ended, if they went on, or go on now: then their time runs."""
    found = index.execute("SELECT run, state, files FROM runs WHERE NOT ended").fetchall()
    changed = [run for run, state, files in found if state == "running" or files != _files(workdir, run)]
    _read_in(index, workdir, changed)


def _read_in(index: sqlite3.Connection, workdir: Workdir, run_ids: Sequence[str]) -> None:
    """Puts runs into the index as they are now; one of which nothing can be read stays known, and is not shown."""
    for run_id in run_ids:
        files = _files(workdir, run_id)
        for table in _BESIDE:
            index.execute(f"DELETE FROM {table} WHERE run = ?", (run_id,))
        index.execute("REPLACE INTO runs VALUES (?, '', '', '', '', 0, 0, ?)", (run_id, files))
        try:
            run = runs.read_run(workdir, run_id)
            if run is None:
                continue
            events = runs.read_events(workdir, run_id)
            row = replace(row_of(run, events, heartbeat.last_sign(workdir, run_id)), run=run_id)
            value = _text(json.dumps(row.to_value(), ensure_ascii=False))
            started = runs.parse_time(run.started_at).timestamp()
            publishers = {_text(publisher) for publisher in publishers_of(run, row)}
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            continue
        ended = any(event.node == "" for event in events)
        told = map(_text, (run_id, run.pipeline, run.recipe, row.state, row.outcome))
        index.execute("REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*told, started, ended, files))
        index.execute("INSERT INTO shown VALUES (?, ?)", (run_id, value))
        index.executemany("INSERT INTO publishers VALUES (?, ?)", [(run_id, publisher) for publisher in publishers])
        handles = {_text(result.handle) for result in row.results if result.published}
        index.executemany("INSERT INTO handles VALUES (?, ?)", [(run_id, handle) for handle in handles])


def _text(value: object) -> str:
    """A text that can be stored and shown; what JSON escaped need not be one."""
    return str(value).encode(errors="replace").decode()


def _files(workdir: Workdir, run_id: str) -> str:
    """What tells whether a run's files changed: when the description was written, and how long the events are.

    So does a sign of life: a run that was taken for dead goes on if it gives one.
    """
    logs = workdir.logs / run_id
    said: list[str] = []
    for path in (workdir.runs / run_id / "run.json", logs / "events.jsonl", logs / "heartbeat"):
        try:
            found = path.stat()
            said.append(f"{found.st_size} {found.st_mtime_ns}")
        except OSError:
            said.append("")
    return ", ".join(said)


def _listed(index: sqlite3.Connection, wanted: Wanted, before: str, after: str, limit: int, unread: int) -> Listed:
    where, values = _conditions(wanted)
    [total] = index.execute(f"SELECT count(*) FROM runs WHERE {where}", values).fetchone()
    asked = f"SELECT run FROM runs WHERE {where} AND run > ? AND (? = '' OR run < ?) ORDER BY run"
    order = " ASC LIMIT ?" if after else " DESC LIMIT ?"
    found = [run for (run,) in index.execute(asked + order, [*values, after, before, before, limit])]
    found = found[::-1] if after else found
    rows = [index.execute("SELECT value FROM shown WHERE run = ?", (run,)).fetchone() for run in found]

    def more(side: str, run: str) -> bool:
        others = f"SELECT 1 FROM runs WHERE {where} AND run {side} ? LIMIT 1"
        return index.execute(others, [*values, run]).fetchone() is not None

    return Listed(
        tuple(RunRow.from_value(cast("dict[str, Any]", json.loads(text))) for (text,) in rows),
        total,
        found[0] if found and more(">", found[0]) else None,
        found[-1] if found and more("<", found[-1]) else None,
        unread,
        tuple(name for (name,) in index.execute("SELECT DISTINCT pipeline FROM runs WHERE state != '' ORDER BY 1")),
        tuple(name for (name,) in index.execute("SELECT DISTINCT publisher FROM publishers ORDER BY 1")),
    )


def _conditions(wanted: Wanted) -> tuple[str, list[Any]]:
    """The runs that are wanted, as SQL."""
    conditions, values = ["state != ''"], list[Any]()
    if wanted.recipe:
        conditions.append("? IN (pipeline, recipe)")
        values.append(wanted.recipe)
    if wanted.state:
        conditions.append("state = ?")
        values.append(wanted.state)
    if wanted.outcome:
        conditions.append("outcome = ?")
        values.append(wanted.outcome)
    if wanted.since:
        conditions.append("started >= ?")
        values.append(_time_of(wanted.since))
    if wanted.publisher:
        conditions.append("EXISTS (SELECT 1 FROM publishers p WHERE p.run = runs.run AND p.publisher = ?)")
        values.append(wanted.publisher)
    return " AND ".join(conditions), values
