"""What a run leaves at its end, so that the next one can tell that there is nothing to do.

    runs/<run>/stamp.json  {"schema": 1, "store": {model: state} or null, "signed_by": digest of a public key or "",
                            "read": {what: digest} or null}

`store` is what the store said of the recipe's models when the run ended, if nobody but the run itself changed it
meanwhile: only then has the run seen it. `read` (read.py) is null if a file changed meanwhile. Light: neither TFX nor
TensorFlow is imported.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from piecehub.facts import heartbeat, runs
from piecehub.facts.run_rows import RunRow, row_of
from piecehub.facts.workdir import Workdir
from pipelines.planning.store_state import State

FILE_NAME = "stamp.json"
_SCHEMA = 1


@dataclass(frozen=True)
class Stamp:
    """What was so at the end of a run; None is what somebody else changed while the run went on."""

    store: State | None
    signed_by: str = ""
    read: dict[str, str] | None = None


def write_stamp(workdir: Workdir, run: str, stamp: Stamp) -> None:
    """Writes `runs/<run>/stamp.json`."""
    folder = workdir.runs / run
    beside = folder / f".{FILE_NAME}"
    try:
        beside.write_text(json.dumps({"schema": _SCHEMA, **asdict(stamp)}, indent=1) + "\n", encoding="utf-8")
        beside.replace(folder / FILE_NAME)
    finally:
        beside.unlink(missing_ok=True)


def read_stamp(workdir: Workdir, run: str) -> Stamp | None:
    """The stamp of a run; None if it left none, or one of another release."""
    path = workdir.runs / run / FILE_NAME
    if Path(run).name != run or not path.is_file():
        return None
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Stamp(**value) if value.pop("schema") == _SCHEMA else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def last_run(workdir: Workdir, pipeline: str) -> RunRow | None:
    """The newest run of a recipe by name, however it ended."""
    return next(_rows(workdir, pipeline), None)


def last_published(workdir: Workdir, pipeline: str) -> RunRow | None:
    """The newest run of a recipe by name that published what it made."""
    return next((row for row in _rows(workdir, pipeline) if row.outcome == "published"), None)


def _rows(workdir: Workdir, pipeline: str) -> Iterator[RunRow]:
    """The runs of a recipe, newest first, by their folders: the index would be written by who only looks."""
    for run_id in runs.run_ids(workdir):
        try:
            record = runs.read_run(workdir, run_id)
        except (ValueError, KeyError, TypeError):
            continue
        if record and record.pipeline == pipeline:
            yield row_of(record, runs.read_events(workdir, run_id), heartbeat.last_sign(workdir, run_id))
