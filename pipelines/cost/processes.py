"""Memory of a process and all that it started, looked at while they run, and how they end together.

Written memory is `Pss_Dirty`: anonymous memory and written pages of maps, what processes share counted once. What they
hold, as a container's memory is counted, is that and the pages of libraries and files that the one maps who maps the
most: the others map the same ones. `Pss` would share these with processes that have nothing to do with them.
"""

import contextlib
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

_EVERY_S = 0.25


@dataclass(frozen=True)
class Look:
    """What was seen at one moment.

    Attributes:
        at: a reading of the monotonic clock.
        dirty_bytes: of all processes together, what they have written.
        held_bytes: of all together, what they hold.
        own_bytes: the most that a child of a child has for itself alone; such a one is a worker of trials.
    """

    at: float
    dirty_bytes: int
    own_bytes: int
    held_bytes: int = 0


class Looks(list[Look]):
    """All looks, in their order."""

    def within(self, began: float, ended: float) -> Sequence[Look]:
        """Those of a stretch of time; if it was too short for any, the first one after it."""
        inside = [look for look in self if began <= look.at <= ended]
        return inside or [look for look in self if look.at > ended][:1] or self[-1:]

    @property
    def peak_bytes(self) -> int:
        """The most that they were seen to hold; 0 if nobody has looked."""
        return max((look.held_bytes for look in self), default=0)


@contextlib.contextmanager
def looked_at(pid: int, every_s: float = _EVERY_S) -> Generator[Looks]:
    """Looks at a process and all that it started, after each stretch of that length and at the end, from a thread."""
    looks, over = Looks(), threading.Event()

    def watch() -> None:
        is_last = False
        while not is_last:
            is_last = over.wait(every_s)
            if (look := _look(pid)) is not None:
                looks.append(look)

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
        first = {child.pid for child in children if _parent(child) == pid}
    except psutil.NoSuchProcess:
        return None
    memory = {process.pid: _memory(process.pid) for process in (root, *children)}
    own = max((memory[process.pid].own for process in children if process.pid not in first), default=0)
    dirty = sum(each.dirty for each in memory.values())
    return Look(time.monotonic(), dirty, own, dirty + max(each.mapped for each in memory.values()))


def _parent(process: psutil.Process) -> int:
    """0 once it has ended."""
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return 0


class _Memory(NamedTuple):
    """Of one process: its share of written memory, what of that is its own alone, and the files that it maps."""

    dirty: int
    own: int
    mapped: int


def _memory(pid: int) -> _Memory:
    """Nothing once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return _Memory(0, 0, 0)
    words = [line.split() for line in lines]
    found = {each[0]: int(each[1]) * 1024 for each in words if each[-1] == "kB"}
    mapped = found.get("Rss:", 0) - found.get("Anonymous:", 0)
    return _Memory(found.get("Pss_Dirty:", 0), found.get("Private_Dirty:", 0), mapped)


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
