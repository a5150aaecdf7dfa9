"""Which stretch of the rehearsal belongs to which part of a run, and what it took of the processor."""

import resource
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """A stretch of one part.

    Attributes:
        began, ended: readings of the machine's monotonic clock, which all its processes share.
        own_s: what this process took of processors meanwhile.
        children_s: what processes did that it started, as far as the kernel tells.
    """

    part: str
    began: float
    ended: float
    own_s: float
    children_s: float

    @property
    def cpu_s(self) -> float:
        """Of all of them."""
        return self.own_s + self.children_s

    @property
    def wall_s(self) -> float:
        """How long it was."""
        return self.ended - self.began


class Stopwatch:
    """The stretches that have ended, in their order."""

    def __init__(self) -> None:
        self.windows: list[Window] = []

    @contextmanager
    def during(self, part: str) -> Generator[None]:
        """What is done inside is a stretch of that part."""
        began, own, children = time.monotonic(), time.process_time(), children_s()
        yield
        took = time.process_time() - own, children_s() - children
        self.windows.append(Window(part, began, time.monotonic(), *took))

    @property
    def last(self) -> Window:
        """The stretch that has ended just now."""
        return self.windows[-1]

    def since_the_start(self, part: str, began: float) -> None:
        """All that this process has done so far is a stretch of that part."""
        self.windows.append(Window(part, began, time.monotonic(), time.process_time(), children_s()))

    def of(self, part: str) -> list[Window]:
        """The stretches of a part."""
        return [window for window in self.windows if window.part == part]


def children_s() -> float:
    """Processor time of ended processes that this one started and waited for."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime
