"""Memory of a process and all that it started, looked at while they run, and how they end together.

Memory is `Pss_Dirty`: anonymous memory and written pages of maps, what processes share counted once.
"""

import contextlib
import re
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_EVERY_S = 0.25


@dataclass(frozen=True)
class Look:
    """What was seen at one moment.

    Attributes:
        at: a reading of the monotonic clock.
        dirty_bytes: of all processes together.
        own_bytes: the most that a child of a child has for itself alone; such a one is a worker of trials.
    """

    at: float
    dirty_bytes: int
    own_bytes: int


class Looks(list[Look]):
    """All looks, in their order."""

    def within(self, began: float, ended: float) -> Sequence[Look]:
        """Those of a stretch of time; if it was too short for any, the first one after it."""
        inside = [look for look in self if began <= look.at <= ended]
        return inside or [look for look in self if look.at > ended][:1] or self[-1:]


@contextlib.contextmanager
def looked_at(pid: int, every_s: float = _EVERY_S) -> Generator[Looks]:
    """Looks at a process and all that it started, again and again, and once at the end, from a thread."""
    looks, over = Looks(), threading.Event()

    def watch() -> None:
        is_last = False
        while not is_last:
            is_last = over.is_set()
            if (look := _look(pid)) is not None:
                looks.append(look)
            over.wait(every_s)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()


def _look(pid: int) -> Look | None:
    try:
        root = psutil.Process(pid)
        children = root.children(recursive=True)
        first = {child.pid for child in root.children()}
    except psutil.NoSuchProcess:
        return None
    memory = {process.pid: _dirty(process.pid) for process in (root, *children)}
    own = max((memory[process.pid][1] for process in children if process.pid not in first), default=0)
    return Look(time.monotonic(), sum(dirty for dirty, _ in memory.values()), own)


def _dirty(pid: int) -> tuple[int, int]:
    """Its share of written memory, and what of that is its own alone; nothing once it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0, 0
    found = [re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE) for name in ("Pss_Dirty", "Private_Dirty")]
    dirty, own = (int(match[1]) * 1024 if match else 0 for match in found)
    return dirty, own


def processor_s(process: psutil.Process) -> float:
    """Processor time of all threads that a process has now, finely: the kernel's own figures have steps of 10 ms."""
    found = 0
    for file in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            found += int(file.read_text().split()[0])
    return found / 1e9


def end_all(pid: int) -> None:
    """Ends a process and all that it started, and waits for that."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        family = [*root.children(recursive=True), root]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)
