"""The processes that the simulation runs in: one thread each, as in the product's pool."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.gate_plan import Sizes

Item = TypeVar("Item")
Found = TypeVar("Found")

# As in piecehub/transfer/pool.py; that the numbers are those of the pool is checked in every simulation.
_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
_TOLD_EVERY_S = 30.0
_lab: Any = None


class Crew:
    """Processes with a lab each."""

    def __init__(self, processes: ProcessPoolExecutor) -> None:
        self._processes = processes

    def each(self, what: str, work: Callable[..., Found], items: Sequence[Item]) -> list[Found]:
        """`work(lab, item)` of every item, in their order; says how far it is."""
        started, told, found = time.monotonic(), time.monotonic(), list[Found]()
        for value in self._processes.map(_work, [work] * len(items), items):
            found.append(value)
            if time.monotonic() - told > _TOLD_EVERY_S or len(found) == len(items):
                told = time.monotonic()
                print(f"{what}: {len(found)} of {len(items)}, {told - started:.0f} s", flush=True)
        return found


@contextmanager
def crew(workers: int, cache: Path, sizes: Sizes) -> Iterator[Crew]:
    """Fresh processes, which import TensorFlow with the product's settings."""
    os.environ.update(_ENVIRONMENT)
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_open_lab, initargs=(cache, sizes)) as processes:
        try:
            yield Crew(processes)
        except BaseException:
            processes.shutdown(cancel_futures=True)
            raise


def _open_lab(cache: Path, sizes: Sizes) -> None:
    global _lab
    from benchmarks.gate_lab import Lab
    from piecehub.transfer.engine import use_one_thread

    threading.Thread(target=_end_with_parent, daemon=True).start()
    use_one_thread()
    _lab = Lab(cache, sizes)


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, for whatever reason; what is finished is kept."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _work(work: Callable[..., Found], item: Any) -> Found:
    return work(_lab, item)
