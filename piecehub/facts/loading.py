"""How a command loads heavy libraries."""

import contextlib
from collections.abc import Generator

from piecehub import logs
from piecehub.facts import heap
from piecehub.facts.progress import phase


@contextlib.contextmanager
def loading(what: str) -> Generator[None]:
    """Libraries are loaded meanwhile: it is told, what they print goes away, and Python's collector waits.

    Args:
        what: their names, as a person is told them.
    """
    with phase(f"loading {what}"), logs.away(), heap.loading():
        yield
