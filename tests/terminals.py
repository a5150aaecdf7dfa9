"""A command on a terminal of its own (pty), as a person sees it: what it wrote, the screen, how long it was silent."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

from tests.command_line import ROOT

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ROWS = 50
# The screen is drawn wider than the terminal said that it is: what would not have fitted is seen.
_MORE = 100
# Variables that say how to draw, whatever the terminal is; pytest-xdist sets the second.
_ASKED_FOR = ("NO_COLOR", "COLUMNS", "LINES")


@dataclass(frozen=True)
class Seen:
    """What came of a command.

    Attributes:
        code: its exit code.
        drawn: all that it wrote to the terminal.
        stdout: what it wrote to standard output, if that was a pipe.
        seconds: that it took.
        silence_s: the longest time that nothing came on the terminal.
        columns: of the terminal.
    """

    code: int
    drawn: bytes
    stdout: str
    seconds: float
    silence_s: float
    columns: int

    @property
    def turns(self) -> int:
        """How often a spinner was drawn."""
        text = self.drawn.decode("utf-8", "replace")
        return sum(text.count(sign) for sign in SPINNER)

    @property
    def screen(self) -> list[str]:
        """The lines that stand on the screen at the end."""
        return self.screens(1)[-1]

    def screens(self, count: int) -> list[list[str]]:
        """The screen at so many moments, the last of which is the end."""
        screen = pyte.Screen(self.columns + _MORE, _ROWS)
        stream, found = pyte.ByteStream(screen), list[list[str]]()
        step = -(-len(self.drawn) // count) or 1
        for start in range(0, len(self.drawn), step):
            stream.feed(self.drawn[start : start + step])
            found.append([line.rstrip() for line in screen.display if line.strip()])
        return found or [[]]


def on_terminal(
    command: Sequence[str], columns: int = 80, *, cwd: Path | None = None, piped: bool = True, **variables: str
) -> Seen:
    """Runs a command whose standard error is a terminal, and standard output a pipe, or the terminal too."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in _ASKED_FOR}
    environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **variables}
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=subprocess.PIPE if piped else theirs,
        stderr=theirs,
        cwd=cwd,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    said: list[bytes] = []
    listener = threading.Thread(target=lambda: said.append(process.stdout.read() if process.stdout else b""))
    listener.start()
    drawn, silence_s = _read(ours)
    code = process.wait()
    listener.join()
    os.close(ours)
    return Seen(code, drawn, said[0].decode(), time.monotonic() - began, silence_s, columns)


def piecehub_on_terminal(
    *words: str, columns: int = 80, cwd: Path | None = None, piped: bool = True, **variables: str
) -> Seen:
    """`piecehub` of this checkout with these words."""
    command = [sys.executable, "-P", "-m", "piecehub.cli", *words]
    return on_terminal(command, columns, cwd=cwd, piped=piped, **variables)


def _read(fd: int) -> tuple[bytes, float]:
    """All that is written to a terminal, and the longest time without any."""
    drawn, last, silence_s = bytearray(), time.monotonic(), 0.0
    while True:
        try:
            block = os.read(fd, 1 << 16)
        except OSError:  # how Linux tells that nobody has the terminal open any more
            block = b""
        silence_s, last = max(silence_s, time.monotonic() - last), time.monotonic()
        if not block:
            return bytes(drawn), silence_s
        drawn += block
