"""A process that shows how far another one is: it reads events from its standard input, and draws on standard error.

    python -m piecehub.ui.terminal live '{"server": …, "serve": …, "again": …, "logs": …}'

`live` draws on a terminal, and turns a spinner eight times a second; `plain` writes a line when something begins and
ends, and every 30 s between. It is a process of its own, since the other one's interpreter stands still for seconds
while it loads TensorFlow. It ends with its input, and leaves Ctrl-C to the other one.
"""

import http.client
import io
import json
import os
import select
import signal
import sys
import time
import urllib.parse
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from piecehub.ui.board import Board, Ended, Line, Started, Words

_TURNS_PER_S = 8
_STILL_S, _LOOK_S = 30.0, 0.5
_ANSWER_S = 0.5
_BLOCK_BYTES = 1 << 16


class _Events:
    """The events on a descriptor, as they come."""

    def __init__(self, fd: int) -> None:
        self._fd, self._rest, self.has_ended = fd, b"", False

    def within(self, seconds: float) -> list[dict[str, Any]]:
        """Those that come within that time, as soon as there is one."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return []
        block = os.read(self._fd, _BLOCK_BYTES)
        self.has_ended = not block
        *lines, self._rest = (self._rest + block).split(b"\n")
        return [json.loads(line) for line in lines]


def show_plainly(board: Board, events: _Events) -> None:
    """Writes a line when something begins and ends, and every 30 s between."""
    said_at = time.monotonic()
    while not events.has_ended:
        texts: list[str] = []
        for event in events.within(min(_LOOK_S, _STILL_S)):
            texts += _texts(board, board.take(event))
        texts += _texts(board, board.overdue())
        if not texts and time.monotonic() - said_at >= _STILL_S:
            texts = [_printable(line.text) for name in board.running() for line in board.row(name, 0)]
            said_at = time.monotonic()
        if texts:
            said_at = time.monotonic()
            os.write(2, "".join(f"{text}\n" for text in texts).encode("utf-8", "replace"))


def _texts(board: Board, told: Sequence[Started | Ended | Line]) -> list[str]:
    """Lines as they stand in a file; each event's at once, for the next one may change the row."""
    lines = [line for each in told for line in ([each] if isinstance(each, Line) else board.row(each.name, 0))]
    return [_printable(line.text) for line in lines]


def show_live(board: Board, events: _Events) -> None:
    """Draws on the terminal: what has ended stands, what goes on changes below it."""
    console, tick, due = _console(), 0, 0.0

    def drawn() -> Group:
        return Group(*(_text(line) for line in board.live(console.width, console.height - 1, tick)))

    live = Live(
        console=console,
        get_renderable=drawn,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with live, _cursor_back_while_stopped(console):
        while not events.has_ended:
            if time.monotonic() >= due:
                live.refresh()
                tick, due = tick + 1, time.monotonic() + 1 / _TURNS_PER_S
            for event in events.within(max(0.0, due - time.monotonic())):
                for told in board.take(event):
                    if isinstance(told, Ended):
                        console.print(_text(board.row(told.name, console.width)[0]))
                    elif not isinstance(told, Started):
                        console.print(_text(told), soft_wrap=True)


def _console() -> Console:
    """Of standard error; in UTF-8, whatever the locale says, and without any style where NO_COLOR asks for none."""
    file = io.TextIOWrapper(os.fdopen(os.dup(2), "wb"), encoding="utf-8", errors="replace", write_through=True)
    colours = None if os.environ.get("NO_COLOR") else "auto"
    return Console(file=file, color_system=colours, highlight=False, emoji=False, force_terminal=True)


def _printable(text: str) -> str:
    """A text that moves no cursor, whatever somebody called his model."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _text(line: Line) -> Text:
    text = Text(_printable(line.text), no_wrap=True, overflow="ellipsis")
    text.stylize(line.style, 0, line.styled or None)
    return text


@contextmanager
def _cursor_back_while_stopped(console: Console) -> Generator[None]:
    """The cursor is hidden while it is drawn; Ctrl-Z gives the terminal to the shell, which needs it."""

    def stop(*_: object) -> None:
        console.show_cursor(True)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)

    def go_on(*_: object) -> None:
        signal.signal(signal.SIGTSTP, stop)
        console.show_cursor(False)

    signal.signal(signal.SIGTSTP, stop)
    signal.signal(signal.SIGCONT, go_on)
    yield


def is_served(address: str) -> bool:
    """Whether a server on this machine has that page: one that serves another working folder has not."""
    parts = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER_S)
    try:
        connection.request("HEAD", parts.path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _main() -> None:
    form, words = sys.argv[1:]
    board = Board(Words(**json.loads(words)), is_served)
    {"live": show_live, "plain": show_plainly}[form](board, _Events(0))


if __name__ == "__main__":
    _main()
