"""Which check a process was at when it ended. Imports no TensorFlow.

The process writes the number of each check to its standard error before it makes it, and first how many there are; what
started it takes these lines out again, tells of them, and remembers the last.
"""

import os
import re
import sys
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import replace

from piecehub.facts import progress
from piecehub.facts.progress import Count
from piecehub.tensors.fresh import Ended, Job

MARK, _COUNT = "piecehub-check ", "piecehub-checks "
# Of the same lines what may be shown: it is a stranger's model that could write anything.
_BEGINS, _SAYS_COUNT = re.compile(rf"{MARK}([SDX]\d{{1,2}})"), re.compile(rf"{_COUNT}(\d{{1,3}})")


class Progress:
    """Runs jobs, and tells how the last one was.

    Attributes:
        check: at which it was last; empty before the first.
        limit: which one it broke; empty if it broke none.
        peak_bytes: the most memory that any of the jobs held.
    """

    def __init__(self, run: Callable[[Job], Ended]) -> None:
        self._run = run
        self.check = ""
        self.limit = ""
        self.peak_bytes = 0
        self._begun, self._count = set[str](), 0

    def __call__(self, job: Job) -> Ended:
        """Runs a job; whoever listens hears of each check as it begins."""
        context = copy_context()  # lines are read in a thread, which would listen to nobody
        ended = self._run(replace(job, on_line=lambda line: context.run(self._tell, line)))
        lines = ended.errors.splitlines(keepends=True)
        said = [line.removeprefix(MARK).strip() for line in lines if line.startswith(MARK)]
        self.check, self.limit = said[-1] if said else "", ended.limit
        self.peak_bytes = max(self.peak_bytes, ended.peak_bytes)
        return replace(ended, errors="".join(line for line in lines if not line.startswith((MARK, _COUNT))))

    def _tell(self, line: str) -> None:
        if found := _SAYS_COUNT.fullmatch(line):
            self._count = int(found[1])
        if found := _BEGINS.fullmatch(line):
            self._begun.add(found[1])
            count = Count("check", len(self._begun), max(self._count, len(self._begun)) if self._count else 0)
            progress.tell(progress.Progress("", found[1], (count,)))


class Clock:
    """Says each check as it begins, and tells how long each took.

    Args:
        count: how many there will be, if none ends the process; 0 if that is not known.
    """

    def __init__(self, count: int = 0) -> None:
        if count:
            print(f"{_COUNT}{count}", file=sys.stderr, flush=True)
        self._check = ""
        self._since = _processor_s()
        self._seconds: dict[str, float] = {}

    def __call__(self, check: str) -> None:
        """`check` begins, and what came before it has ended."""
        print(f"{MARK}{check}", file=sys.stderr, flush=True)  # in case that it ends this process
        self._turn(check)

    def seconds(self) -> dict[str, float]:
        """The seconds of the processor by check, up to now."""
        self._turn(self._check)
        return {check: round(seconds, 2) for check, seconds in self._seconds.items()}

    def _turn(self, check: str) -> None:
        now = _processor_s()
        if self._check:
            self._seconds[self._check] = self._seconds.get(self._check, 0.0) + now - self._since
        self._check, self._since = check, now


def _processor_s() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])
