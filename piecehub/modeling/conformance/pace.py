"""Steps that a large model need not make all of."""

import time
from collections.abc import Iterator


def paced(steps: int, longest_s: float) -> Iterator[int]:
    """The numbers of steps, from 0 on: all of them, but at least one, where they take no longer than `longest_s`."""
    started = time.monotonic()
    for step in range(steps):
        if step and time.monotonic() - started > longest_s:
            return
        yield step
