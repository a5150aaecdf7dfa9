"""The logs of a run as pages show them: their end, the traceback in it, and the lines that somebody looks for."""

import re
from dataclasses import dataclass
from pathlib import Path

from piecehub.facts.secrets import redacted_text
from piecehub.facts.workdir import Workdir

LOG_BYTES = 262_144
# The id under which the log of the runner itself is asked for (facts/runs.py, RUNNER_LOG).
RUNNER = "runner"
_TAIL_BYTES, _TAIL_LINES = 6_000, 40
_LONGEST_TRACEBACK = 60
_BEGINS = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Found:
    """A line of a log, cut where what was looked for begins and ends: every other part is it."""

    number: int
    parts: tuple[str, ...]


@dataclass(frozen=True)
class LogPage:
    """The end of a log, for a person.

    Attributes:
        traceback: the last one in it; empty if there is none.
        lines: those that are shown, with their numbers.
        total: how many lines there are of that part of the log.
        is_whole: whether the log begins with the first of these.
    """

    traceback: str
    lines: tuple[Found, ...]
    total: int
    is_whole: bool


def log_path(workdir: Workdir, run_id: str, node_id: str) -> Path:
    """Where a component's log is; of one whose name is a path, where none is."""
    name = f"{node_id}.log"
    return workdir.logs / run_id / (name if Path(name).name == name else "unnamed")


def end_of(path: Path, at_most_bytes: int = LOG_BYTES) -> str | None:
    """The end of a log, without what looks like a secret; None if there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - at_most_bytes))
        return "\n".join(map(redacted_text, file.read().decode(errors="replace").split("\n")))


def tail(path: Path) -> str:
    """The last lines of a log."""
    return "\n".join((end_of(path, _TAIL_BYTES) or "").splitlines()[-_TAIL_LINES:])


def traceback_in(text: str) -> str:
    """The last traceback of a log, with the error that it ends in; empty if there is none."""
    at = text.rfind(_BEGINS)
    if at < 0:
        return ""
    lines = text[at:].split("\n")
    last = next((n for n, line in enumerate(lines[1:], 1) if line and not line.startswith((" ", "\t"))), len(lines))
    found = lines[: last + 1]
    if len(found) > _LONGEST_TRACEBACK:
        half = _LONGEST_TRACEBACK // 2
        found = [*found[:half], f"  … {len(found) - 2 * half} lines …", *found[-half:]]
    return "\n".join(found)


def log_page(path: Path, sought: str) -> LogPage | None:
    """The end of a log, or only its lines with a text, whatever their case; None if there is no log."""
    text = end_of(path)
    if text is None:
        return None
    lines = text.rstrip("\n").split("\n") if text else []
    pattern = re.compile(f"({re.escape(sought)})", re.IGNORECASE) if sought else None
    numbered = (
        Found(number, tuple(pattern.split(line)) if pattern else (line,)) for number, line in enumerate(lines, 1)
    )
    shown = tuple(found for found in numbered if pattern is None or len(found.parts) > 1)
    return LogPage(traceback_in(text), shown, len(lines), path.stat().st_size <= LOG_BYTES)


def logs_of(workdir: Workdir, run_id: str) -> dict[str, int]:
    """The logs of a run with their sizes: what changes while it is at work."""
    try:
        return {path.name: path.stat().st_size for path in sorted((workdir.logs / run_id).iterdir())}
    except OSError:
        return {}
