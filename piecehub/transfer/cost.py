"""What trials cost, measured on a few of them, which are kept as all are."""

import time
from collections.abc import Callable, Sequence
from typing import Literal

from piecehub.transfer.protocol import MODES
from piecehub.transfer.trials import Trial, TrialResult

Work = Literal["tuning", "probe"]
Seconds = dict[Work, float]
_SAMPLE = 2


def work_of(trial: Trial) -> Work:
    """Which kind of work a trial is: one that trains weights takes many times as long as one that does not."""
    return "probe" if MODES[trial.mode].training == "probe" else "tuning"


def measured(missing: Sequence[Trial], run: Callable[..., dict[Trial, TrialResult]]) -> Seconds:
    """How long a trial of each kind takes here, in seconds; 0 where none is missing.

    Of two trials in one process the second is timed: the first waits for TensorFlow, and for the graph of its training.

    Args:
        missing: trials that are not finished.
        run: `pool.run_trials`, but for the trials, the workers, of which it gets one, and `on_progress`.
    """
    seconds: Seconds = {"tuning": 0.0, "probe": 0.0}
    for work in seconds:
        sample = [trial for trial in missing if work_of(trial) == work][:_SAMPLE]
        ends: list[float] = []
        run(sample, workers=1, on_progress=lambda done, total, trial, ends=ends: ends.append(time.monotonic()))
        if ends:
            seconds[work] = ends[-1] - ends[0] if len(ends) > 1 else 1.0
    return seconds


def total(trials: Sequence[Trial], seconds: Seconds) -> float:
    """How long these trials take one after the other, in seconds."""
    return sum(seconds[work_of(trial)] for trial in trials)
