"""What Python's collector looks through, and what of freed memory goes back to the system.

TensorFlow and TFX make two million objects while they are loaded, which all stay: to look through them takes half a
second, each time.
"""

import contextlib
import ctypes
import gc
from collections.abc import Generator

# Whether what the collector leaves aside is so because of `set_aside`.
_is_ours = False


@contextlib.contextmanager
def loading() -> Generator[None]:
    """Libraries are loaded meanwhile, of which nothing is garbage: the collector waits."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def set_aside() -> Generator[None]:
    """What is there now is not looked through meanwhile; what of it becomes garbage is found afterwards.

    One may stand within another: as the inner one ends, everything is looked through again. What somebody else set
    aside stays so.
    """
    global _is_ours
    if gc.get_freeze_count() > 0 and not _is_ours:
        yield
        return
    gc.freeze()
    _is_ours = True
    try:
        yield
    finally:
        gc.unfreeze()
        _is_ours = False


def about_to_end() -> None:
    """Said last in a process of our own: else Python looks for garbage for seconds before it ends."""
    gc.freeze()


def give_back() -> None:
    """Returns what this process does not use, at the end of a piece of work whose next one is of another kind.

    glibc keeps what was freed for what may come. A run is one process, component after component, and so is a check,
    rule after rule: without this each would lie beside what those before it freed. Loaded models are circles, which
    Python's own collector finds late.
    """
    gc.collect()
    # macOS and musl have no such function, and need none.
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
