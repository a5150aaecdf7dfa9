"""Memory that was freed goes back to the system, where the C library keeps it: glibc does, for what may come."""

import ctypes
import gc


def give_back() -> None:
    """Returns what this process does not use, at the end of a piece of work whose next one is of another kind.

    A run is one process, component after component, and so is a check, rule after rule: without this each would lie
    beside what those before it freed. Loaded models are circles, which Python's own collector finds late.
    """
    gc.collect()
    # macOS and musl have no such function, and need none.
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
