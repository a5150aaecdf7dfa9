"""Which check a process was at when it ended. Imports no TensorFlow.

The process writes the number of each check to its standard error before it makes it; what started it takes these lines
out again, and remembers the last.
"""

from collections.abc import Callable
from dataclasses import replace

from piecehub.tensors.fresh import Ended, Job

MARK = "piecehub-check "


class Progress:
    """Runs jobs, and tells at which check the last one was; `check` is empty before the first."""

    def __init__(self, run: Callable[[Job], Ended]) -> None:
        self._run = run
        self.check = ""

    def __call__(self, job: Job) -> Ended:
        """Runs a job."""
        ended = self._run(job)
        lines = ended.errors.splitlines(keepends=True)
        said = [line.removeprefix(MARK).strip() for line in lines if line.startswith(MARK)]
        self.check = said[-1] if said else ""
        return replace(ended, errors="".join(line for line in lines if not line.startswith(MARK)))
