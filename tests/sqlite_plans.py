"""What SQLite does for a statement: whether it searches what it is asked for, or reads a whole table for it."""

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def statements() -> Generator[list[str]]:
    """All statements that connections carry out which are made meanwhile, with their values."""
    found: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(found.append)
        return connection

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite3, "connect", traced)
        yield found


def that_scan(database: Path, asked: list[str]) -> list[str]:
    """Those statements with conditions for which all of a table, or of an index, is read."""
    with closing(sqlite3.connect(database)) as known:
        planned = {one: known.execute(f"EXPLAIN QUERY PLAN {one}").fetchall() for one in asked if " WHERE " in one}
    return [one for one, steps in planned.items() if any(step[-1].startswith("SCAN") for step in steps)]
