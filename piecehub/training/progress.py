"""How far a training is, for a person.

epoch 3 of 20, step 120 of 285, loss 0.412, 2,310 examples/s, 1 min 20 s left
"""

import time
from collections.abc import Mapping
from typing import Any

from piecehub.facts.progress import Count, tell
from piecehub.facts.progress import Progress as Told

_SECONDS_BETWEEN = 2.0


class Progress:
    """Says now and then how far it is; only then it waits for the loss.

    Args:
        epochs: how many there are at most.
        steps: in each.
        batch_size: how many examples a step takes.
    """

    def __init__(self, epochs: int, steps: int, batch_size: int) -> None:
        self._epochs, self._steps, self._batch_size = epochs, steps, batch_size
        self._told_at = self._last = time.monotonic()
        self._told: int | None = None

    def after_step(self, epoch: int, step: int, logs: Mapping[str, Any]) -> None:
        """Says it, if it is time to."""
        now, done = time.monotonic(), epoch * self._steps + step
        if self._told is None:
            self._told_at, self._told = now, done  # before it lies what TensorFlow traces
        elif step == 1 and self._steps > 1:
            self._told_at, self._told = self._told_at + now - self._last, self._told + 1  # before it, an evaluation
        elif now - self._told_at >= _SECONDS_BETWEEN:
            rate = (done - self._told) / (now - self._told_at)
            self._told_at, self._told = now, done
            counts = Count("epoch", epoch + 1, self._epochs), Count("step", step, self._steps)
            loss = {"loss": float(logs["loss"])} if "loss" in logs else {}
            left_s = (self._epochs * self._steps - done) / rate
            tell(Told("", "", counts, loss, rate * self._batch_size, "examples", left_s))
        self._last = now
