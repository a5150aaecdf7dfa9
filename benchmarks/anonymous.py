"""How much memory processes take for themselves: anonymous pages, without the pages of files that they map."""

import os
import re
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_EVERY_S = 0.1


class Watch:
    """Looks at this process and at all that it started, again and again, while a block runs.

    Attributes:
        peak_mb: the most that all of them took together, of pages that are shared each process its share.
        worst_mb: the most that one process took which was started.
    """

    def __init__(self) -> None:
        self.peak_mb, self.worst_mb = 0.0, 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(_EVERY_S):
            children = [child.pid for child in psutil.Process().children(recursive=True)]
            self.peak_mb = max(self.peak_mb, sum(_mb(pid, "Pss_Anon") for pid in (os.getpid(), *children)))
            self.worst_mb = max([self.worst_mb, *(_mb(pid, "Anonymous") for pid in children)])


def _mb(pid: int, what: str) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0  # it has ended
    found = re.search(rf"^{what}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
