"""Shows how far work is while it goes on: the one way for every command, and for `piecehub.run` in a program.

    with shown(form_of(quiet=False)) as show:
        with phase("loading TensorFlow"):
            …

What is told inside (facts/progress.py) is told as events, each phase as one that runs and ends. `show.fd` takes further
events, as those of a run, from whichever thread. On a terminal a process of its own draws them (terminal.py), elsewhere
it writes lines; as JSON they go to standard output as they are.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from piecehub.facts import runs
from piecehub.facts.progress import Progress, progress_to
from piecehub.ui.board import Words

Form = Literal["live", "plain", "json", "quiet"]
_END_S = 30.0
_ROOT = Path(__file__).resolve().parents[2]


def form_of(*, quiet: bool = False, as_events: bool = False) -> Form:
    """How to show it: as asked for, else drawn on a terminal, and in lines elsewhere."""
    if quiet or as_events:
        return "json" if as_events else "quiet"
    return "live" if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" else "plain"


@contextmanager
def shown(form: Form, words: Words | None = None) -> "Generator[Show]":
    """Inside, what is told of progress is shown; at the end everything of it stands on the screen.

    Args:
        form: from `form_of`.
        words: what only the caller knows.
    """
    show = Show(form, words or Words())
    phases = _Phases(show)
    try:
        with progress_to(phases):
            yield show
    except BaseException as error:
        phases.end("stopped" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    finally:
        phases.end("done")
        show.close()


class Show:
    """Where events go; what draws them is started when the first one comes, so what fails before shows nothing."""

    def __init__(self, form: Form, words: Words) -> None:
        self._form, self._words = form, words
        self._process: subprocess.Popen[bytes] | None = None
        self._fd = -1
        # What they are now: the words of libraries are sent elsewhere for a while.
        self._screen = -1 if form == "quiet" else os.dup(1 if form == "json" else 2)

    @property
    def fd(self) -> int:
        """A descriptor that takes events, one JSON object a line, until the end; -1 if nobody wants them."""
        if self._form in ("quiet", "json"):
            return self._screen
        if self._fd < 0:
            self._start()
        return self._fd

    def tell(self, event: dict[str, Any]) -> None:
        """Shows one event."""
        if self.fd >= 0:
            write_event(self.fd, (json.dumps(event) + "\n").encode())

    def close(self) -> None:
        """Waits until all of it is shown."""
        for fd in (self._fd, self._screen):
            if fd >= 0:
                os.close(fd)
        if self._process:
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _start(self) -> None:
        sys.stderr.flush()
        reader, self._fd = os.pipe()
        command = [sys.executable, "-P", "-m", "piecehub.ui.terminal", self._form, json.dumps(asdict(self._words))]
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        # It never takes Ctrl-C for itself: what is blocked here stays so in what is started.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(
                command,
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=self._screen,
                env={**os.environ, "PYTHONPATH": path},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(reader)


def write_event(fd: int, line: bytes) -> None:
    """Writes a line with an event where it is shown; who looks no longer ends no work."""
    if fd >= 0:
        with suppress(BrokenPipeError):
            os.write(fd, line)


class _Phases:
    """Turns what is told of progress into events of phases."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._phase, self._since = "", 0.0

    def __call__(self, value: Progress) -> None:
        if value.phase != self._phase:
            self.end("done")
            self._phase, self._since = value.phase, time.monotonic()
            if value.phase:
                self._tell("running")
        if value.phase and value.counts:
            self._tell("running", replace(value, phase=""))

    def end(self, state: runs.State) -> None:
        """What goes on has come to its end."""
        if self._phase:
            self._tell(state)
            self._phase = ""

    def _tell(self, state: runs.State, progress: Progress | None = None) -> None:
        seconds = 0.0 if state == "running" else round(time.monotonic() - self._since, 2)
        self._show.tell(
            {
                "event": "phase",
                "run": "",
                "component": self._phase,
                "at": runs.now(),
                "state": state,
                "seconds": seconds,
                "message": progress.text if progress else "",
                "progress": progress.to_json() if progress else {},
            }
        )
