"""A sign of life of a run that goes on: the time of `logs/<run>/heartbeat` is new every two seconds.

Who looks at a run may be in another container, where the process's id is nobody's or somebody else's, and the process
may be gone for days; so that tells nothing, and this does. Of a run that was killed it also tells how long it ran.
"""

import contextlib
import threading
import time
from collections.abc import Generator
from pathlib import Path

from piecehub.facts.workdir import Workdir

# A process that swaps, or holds the interpreter in one long call, is late; one that is so late is taken for gone.
STALE_S = 30.0
_BEAT_S = 2.0


@contextlib.contextmanager
def beating(workdir: Workdir, run: str) -> Generator[None]:
    """While this lasts the run gives signs of life; where none can be written, as on a full disk, it goes on."""
    ended = threading.Event()
    path = _path(workdir, run)

    def beat() -> None:
        while True:
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            if ended.wait(_BEAT_S):
                return

    thread = threading.Thread(target=beat, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def last_sign(workdir: Workdir, run: str) -> float:
    """When a run was last heard of, in seconds since 1970; what it writes is a sign, too. 0 if there is none."""
    places = (_path(workdir, run), workdir.logs / run / "events.jsonl", workdir.runs / run / "run.json")
    return max(map(_time_of, places))


def is_fresh(sign: float) -> bool:
    """Whether who was last heard of then is alive."""
    return age_s(sign) < STALE_S


def age_s(sign: float) -> float:
    """For how long nothing was heard of it."""
    return max(0.0, time.time() - sign)


def _path(workdir: Workdir, run: str) -> Path:
    return workdir.logs / run / "heartbeat"


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
