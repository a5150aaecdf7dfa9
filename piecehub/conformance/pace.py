"""Steps that a large model need not make all of."""

import time
from collections.abc import Iterator


def paced(steps: int, longest_s: float) -> Iterator[int]:
    """The numbers of steps, from 0 on; no further one once they have taken `longest_s` of the processor.

    Of the processor, not of the clock, so that a busy machine makes no fewer.
    """
    started = time.process_time()
    for step in range(steps):
        if step and time.process_time() - started > longest_s:
            return
        yield step
