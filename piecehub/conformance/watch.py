"""Runs a process and all that it starts, and ends them when they take too long or too much memory.

Resident memory is read from /proc and summed over the whole tree: a limit on addresses (RLIMIT_AS) does not suit
TensorFlow, which reserves far more of them than it uses.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from piecehub.tensors.fresh import Ended

ENDLESS = "look for a loop that never ends, or use a faster machine"
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_INTERVAL_S = 0.1
_LINES = 50
_LINE_CHARACTERS = 2000


def run_watched(
    command: list[str],
    text: str,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    wall_s: float,
    resident_bytes: int,
    on_line: Callable[[str], None] | None = None,
) -> Ended:
    """Runs `command` in a session of its own; when it is over nothing of it is left.

    Args:
        command: program and arguments.
        text: what it reads from standard input.
        cwd: its current folder.
        environment: all of its variables.
        wall_s: how long it may take.
        resident_bytes: how much memory it and all that it starts may hold together.
        on_line: is told each line that it writes to standard error as it comes, in a thread of its own.

    Returns:
        how it ended.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=cwd,
        env=environment,
        start_new_session=True,
    )
    with process:
        assert process.stdin is not None and process.stderr is not None
        lines: deque[str] = deque(maxlen=_LINES)
        threads = [
            threading.Thread(target=_collect, args=(process.stderr, lines, on_line), daemon=True),
            threading.Thread(target=_feed, args=(process.stdin, text), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            reason, peak_bytes = _wait(process, wall_s, resident_bytes)
        finally:
            _end(process)
        for thread in threads:
            thread.join(timeout=1)
    return Ended(process.returncode, "\n".join(lines), reason, peak_bytes)


def _wait(process: subprocess.Popen[str], wall_s: float, resident_bytes: int) -> tuple[str, int]:
    """Waits for the end; the limit that was broken, or nothing, and the most memory that was seen."""
    latest, peak_bytes = time.monotonic() + wall_s, 0
    while process.poll() is None:
        if time.monotonic() > latest:
            return f"it took more than {wall_s:g} s; {ENDLESS}", peak_bytes
        peak_bytes = max(peak_bytes, sum(rss for _, rss in _tree(process.pid)))
        if peak_bytes > resident_bytes:
            limit = f"it held more than {resident_bytes / 2**30:.3g} GiB of memory; use a machine that has more"
            return limit, peak_bytes
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_INTERVAL_S)
    return "", peak_bytes


def _end(process: subprocess.Popen[str]) -> None:
    """Ends whatever is left of the process's group and of its tree."""
    for pid, _ in list(_tree(process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tree(root: int) -> Iterator[tuple[int, int]]:
    """The processes below `root` and itself, each with its resident bytes."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # proc(5): after the name in parentheses stand state, parent, …; the 22nd of them is the resident pages.
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                pid = int(folder.name)
                parents[pid], resident[pid] = int(fields[1]), int(fields[21]) * _PAGE_BYTES
    for pid in resident:
        if _is_below(pid, root, parents):
            yield pid, resident[pid]


def _is_below(pid: int, root: int, parents: Mapping[int, int]) -> bool:
    while pid != root and pid in parents:
        pid = parents[pid]
    return pid == root


def _collect(source: IO[str], lines: "deque[str]", on_line: Callable[[str], None] | None) -> None:
    """Keeps the last lines, however much is written."""
    with contextlib.suppress(OSError, ValueError):  # closed under its hands when the process is over
        while line := source.readline(_LINE_CHARACTERS):
            lines.append(line.rstrip("\n"))
            if on_line:
                on_line(lines[-1])


def _feed(sink: IO[str], text: str) -> None:
    with contextlib.suppress(BrokenPipeError, ValueError):
        sink.write(text)
        sink.close()
