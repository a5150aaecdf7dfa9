"""Steps that a large model need not make all of."""

import time
from collections.abc import Iterator

_LONGEST_S = 20.0


def affordable(steps: int, step_bytes: int, all_bytes: int, *, at_least: int) -> int:
    """How many of `steps` steps (or examples) handle at most `all_bytes` of activations, so that they take seconds.

    By what a step handles, and not by the clock, so that equal models make equal steps on any machine.
    """
    return max(at_least, min(steps, all_bytes // max(1, step_bytes)))


def paced(steps: int) -> Iterator[int]:
    """The numbers of steps, from 0 on; where the processor is far too slow for them no further one.

    Of the processor, not of the clock, so that a busy machine makes no fewer.
    """
    started = time.process_time()
    for step in range(steps):
        if step and time.process_time() - started > _LONGEST_S:
            return
        yield step
