"""How many bytes went through, of work that takes long where there are many."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import IO

from piecehub.facts.progress import Meter, phase


@contextmanager
def progress(what: str, total_bytes: int) -> Generator[Callable[[int], None], None, None]:
    """Yields what is to be called with the number of bytes done; whoever listens hears of it (facts/progress.py)."""
    with phase(what):
        yield Meter("bytes", total_bytes).add


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
