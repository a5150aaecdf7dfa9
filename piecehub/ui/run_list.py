"""The list of runs, at `/runs` and as JSON: what an address asks for, and what is answered."""

import threading
from collections.abc import Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import urlencode

from piecehub.facts.run_index import MOST_SHOWN, SHOWN, Listed, Wanted, list_runs
from piecehub.facts.workdir import Workdir

# How long a page may read folders that the index does not know yet.
_AT_MOST_S = 1.0
FILTERS = tuple(field.name for field in fields(Wanted))


class RunList:
    """The runs of one working folder, for a server.

    Where the index is behind by more than a page has time for, the rest is read beside it, once.
    """

    def __init__(self, workdir: Workdir) -> None:
        self._workdir = workdir
        self._reader: threading.Thread | None = None

    def asked(self, query: Mapping[str, str]) -> tuple[Wanted, Listed]:
        """What the query of an address asks for; raises RecipeError if it asks for what cannot be."""
        wanted = Wanted(**{key: query.get(key, "").strip() for key in FILTERS})
        limit = query.get("limit", "")
        found = list_runs(
            self._workdir,
            wanted,
            before=query.get("before", ""),
            after=query.get("after", ""),
            limit=min(max(int(limit[:9]), 1), MOST_SHOWN) if limit.isascii() and limit.isdigit() else SHOWN,
            at_most_s=_AT_MOST_S,
        )
        if found.unread and not (self._reader and self._reader.is_alive()):
            self._reader = threading.Thread(target=list_runs, args=(self._workdir,), daemon=True)
            self._reader.start()
        return wanted, found


def listed_json(found: Listed) -> dict[str, Any]:
    """The list as plain JSON: `next` is the `before` of the page with older runs."""
    rows = [row.to_value() for row in found.rows]
    return {"schema": 1, "runs": rows, "next": found.older, "total": found.total, "unread": found.unread}


def address(path: str, wanted: Mapping[str, str], **more: str | None) -> str:
    """The address of a list with those filters."""
    query = urlencode({key: value for key, value in {**wanted, **more}.items() if value})
    return f"{path}?{query}" if query else path
