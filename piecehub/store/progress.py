"""A bar for work that takes long, where a person watches: on a terminal, and for more bytes than pass in a moment."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import IO

_SHORT_BYTES = 100 << 20


@contextmanager
def progress(what: str, total_bytes: int) -> Generator[Callable[[int], None], None, None]:
    """Yields what is to be called with the number of bytes done; draws on standard error, or nowhere."""
    if total_bytes < _SHORT_BYTES or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total_bytes)
        yield lambda done: bar.advance(task, done)


class Watched:
    """A file that tells how much was read of it."""

    def __init__(self, source: IO[bytes], told: Callable[[int], None]) -> None:
        self._source = source
        self._told = told

    def read(self, size: int = -1) -> bytes:
        """Reads on."""
        data = self._source.read(size)
        self._told(len(data))
        return data
