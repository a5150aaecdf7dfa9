"""Who keeps what a process that is killed leaves for the next one: finished trials, and checkpoints of a training.

On a machine that stays, the files themselves are enough, and nobody is asked. A pod goes with its disk: whoever starts
the work there lays a keeper around it (piecehub/store/keeping.py). It changes no result, so it is no parameter of a
component, whose cache key and records would hold it.

A thing is a file or a folder. It is kept as a whole: what was cut short is never brought.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol


class Keeper(Protocol):
    """Keeps things elsewhere, too; of one that is not below his folder he knows nothing."""

    def bring(self, things: Sequence[Path]) -> None:
        """Puts those in place that are kept and not here; of what is kept nowhere nothing comes."""
        ...

    def keep(self, thing: Path) -> None:
        """Keeps a thing as it is now, in place of what was kept of it; it lasts when this returns."""
        ...

    def drop(self, thing: Path) -> None:
        """Keeps it no longer."""
        ...


class _Nobody:
    """Of a machine that stays."""

    def bring(self, things: Sequence[Path]) -> None:
        pass

    def keep(self, thing: Path) -> None:
        pass

    def drop(self, thing: Path) -> None:
        pass


_NOBODY = _Nobody()
_KEEPER: ContextVar[Keeper] = ContextVar("piecehub-keeper")


@contextmanager
def kept_by(keeper: Keeper) -> Generator[None]:
    """What runs inside, in this thread, has its trials and checkpoints kept."""
    token = _KEEPER.set(keeper)
    try:
        yield
    finally:
        _KEEPER.reset(token)


def keeper() -> Keeper:
    """The one who keeps here, in this thread; to be asked for before another thread needs him."""
    return _KEEPER.get(_NOBODY)
