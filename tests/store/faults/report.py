"""Makes docs/faults.md of what the campaigns counted; no figure in it is typed by hand.

pytest tests/store/faults -m 'long or not long' --faults build/faults
python -m tests.store.faults.report build/faults
"""

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "faults.md"
_HEAD = """# Faults

What was done to the store on purpose, and what came of it. After each fault a reader reads every byte that it can see,
the publisher tries again, and a reader looks again. *Wrong* counts readers that saw a wrong version, or a part of one;
*not one* counts retries that did not end with exactly one intact version (of flipped bits: those that `fsck`, or
`verify`, did not name). A test fails if either is not 0; each row is of its last run.

    make engines
    pytest tests/store/faults -m 'long or not long' --faults build/faults
    python -m tests.store.faults.report build/faults

| fault | in | trials | how it ended | wrong | not one |
|---|---|---|---|---|---|
"""
_FOOT = """
A kill is SIGKILL to a publisher's own process. Injected errors are raised by the calls of the process itself
(`tests/store/faults/injection.py`), so they say nothing about a kernel or a disk that lies: that a power failure leaves
what was synced rests on fsync. moto is held to one write at a time, for its conditional PUT looks first and writes
later: of 32 racing creators two once won. Before fake-gcs-server stands a translation ([store](store.md)). No cloud's
own service was run. MinIO, Azurite and fake-gcs-server are built by `make engines`; without them there are no rows of
them.
"""


def render(rows: list[dict[str, Any]]) -> str:
    """The text of the page."""
    return _HEAD + "".join(_row(row) for row in sorted(rows, key=lambda row: (row["place"], row["name"]))) + _FOOT


def _row(row: dict[str, Any]) -> str:
    outcomes = "; ".join(f"{count} {word}" for word, count in sorted(row["outcomes"].items()))
    return f"| {row['name']} | {row['place']} | {row['trials']} | {outcomes} | {row['wrong']} | {row['not_one']} |\n"


def main(folder: Path, page: Path = PAGE) -> None:
    """Reads the counts in `folder`, writes `page`."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    assert rows, f"Expected counts in '{folder}'. Received: none; run the campaigns with --faults {folder}."
    page.write_text(render(rows), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
