"""How far a piece of work is: a value, which who works says, and whoever waits for it listens to.

    with progress_to(print), phase("packing"):
        meter = Meter("bytes", 3 << 20)
        for _ in range(3):
            meter.add(1 << 20)

As text, for logs and pages, it is

    epoch 3 of 20, step 120 of 285, loss 0.412, 2,310 examples/s, 1 min 20 s left
    trial 34 of 80, 2.1 trials/s, 22 s left: fine-tuning, 5 examples
    packing: 410 MB of 1.2 GB, 85 MB/s, 9 s left

and as JSON, in the events of a run (runs.py) and in what `piecehub run --json` prints,

    {"phase", "detail", "counts": [{"unit", "at", "of"}…], "numbers": {name: value}, "rate", "rate_unit", "left_s"}

where what is empty is left out. `at` of a unit in the singular is the one that is at work or was done last, the
epoch 3; of one in the plural it is an amount. `of` is missing where nobody knows how many there are.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from piecehub.facts.quantities import duration, size

_SECONDS_BETWEEN = 1.0
# How long a meter looks back to tell how fast it goes.
_WINDOW_S = 30.0


@dataclass(frozen=True)
class Count:
    """How many of a unit: `epoch` 3 of 20, or 410 of 1200 `bytes`; `of` is 0 where nobody knows."""

    unit: str
    at: int
    of: int = 0

    @property
    def is_amount(self) -> bool:
        """Whether it counts up to what is done, not to what is at work."""
        return self.unit.endswith("s")

    @property
    def text(self) -> str:
        """`epoch 3 of 20`, `1,200 of 5,000 examples`, `410 MB of 1.2 GB`."""
        if self.unit == "bytes":
            return size(self.at) + (f" of {size(self.of)}" if self.of else "")
        number = f"{self.at:,}" + (f" of {self.of:,}" if self.of else "")
        return f"{number} {self.unit}" if self.is_amount else f"{self.unit} {number}"


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is.

    Attributes:
        phase: which part of it goes on, in words; `phase` fills it in.
        detail: what it is at, such as the kind of a trial.
        counts: from the outermost on: the epoch, then its step.
        numbers: what was measured last, such as the loss.
        rate: how many of `rate_unit` a second; 0 where that is not known yet.
        rate_unit: in the plural.
        left_s: how many seconds are left; None where nobody knows.
    """

    phase: str = ""
    detail: str = ""
    counts: tuple[Count, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])
    rate: float = 0.0
    rate_unit: str = ""
    left_s: float | None = None

    @property
    def text(self) -> str:
        """The same on one line."""
        told = [count.text for count in self.counts]
        told += [text for text in (*self.measured, self.speed, self.left) if text]
        return ": ".join(filter(None, (self.phase, ", ".join(told), self.detail)))

    @property
    def measured(self) -> tuple[str, ...]:
        """`loss 0.412` and the like."""
        return tuple(f"{name} {value:.3g}" for name, value in self.numbers.items())

    @property
    def speed(self) -> str:
        """`2,310 examples/s`, `85 MB/s`, `12 trials/min`; empty if it is not known."""
        if not self.rate:
            return ""
        if self.rate_unit == "bytes":
            return f"{size(self.rate)}/s"
        if self.rate < 1:
            return f"{60 * self.rate:.2g} {self.rate_unit}/min"
        return f"{self.rate:,.0f} {self.rate_unit}/s" if self.rate >= 10 else f"{self.rate:.1f} {self.rate_unit}/s"

    @property
    def left(self) -> str:
        """`1 min 20 s left`; empty if it is not known."""
        return "" if self.left_s is None else f"{duration(self.left_s)} left"

    @property
    def share(self) -> float | None:
        """The share that is done, from 0 to 1; None where nobody knows."""
        share, width = 0.0, 1.0
        for place, count in enumerate(self.counts):
            if not count.of:
                return share if place else None
            width /= count.of
            is_last = place == len(self.counts) - 1
            share += width * (count.at if is_last else count.at - 1)
        return min(1.0, max(0.0, share)) if self.counts else None

    def to_json(self) -> dict[str, Any]:
        """The form drawn above."""
        value = {key: found for key, found in asdict(self).items() if found or (found == 0 and key == "left_s")}
        if not self.rate:
            value.pop("rate_unit", None)
        if self.counts:
            value["counts"] = [{k: v for k, v in asdict(c).items() if v or k != "of"} for c in self.counts]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What `to_json` made; raises TypeError for anything else."""
        fields: dict[str, Any] = {**value, "counts": tuple(Count(**count) for count in value.get("counts", ()))}
        return cls(**fields)


class Meter:
    """Says how much of something is done, how fast that goes, and how long the rest takes.

    Args:
        unit: of what is counted, as `Count` has it.
        of: how many there are; 0 if nobody knows.
    """

    def __init__(self, unit: str, of: int = 0) -> None:
        self._unit, self._of, self._done = unit, of, 0
        self._seen: deque[tuple[float, int]] = deque()
        self._said = -_SECONDS_BETWEEN

    def add(self, count: int, detail: str = "") -> None:
        """So many more are done."""
        self.at(self._done + count, detail)

    def at(self, done: int, detail: str = "") -> None:
        """So many are done."""
        now, self._done = time.monotonic(), done
        if now - self._said < _SECONDS_BETWEEN / 4 and done != self._of:
            return
        self._said = now
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] > _WINDOW_S:
            self._seen.popleft()
        began, before = self._seen[0]
        rate = (done - before) / (now - began) if now > began else 0.0
        left_s = (self._of - done) / rate if rate and self._of else None
        plural = self._unit if self._unit.endswith("s") else f"{self._unit}s"
        tell(Progress("", detail, (Count(self._unit, done, self._of),), {}, rate, plural, left_s))


@contextmanager
def phase(name: str) -> Generator[None]:
    """What is told inside is told of a part of the work that is called so; that it began is told at once.

    So is its end, unless that is an error: then who listens knows better what became of it. A phase within a phase
    takes its place, until it ends.
    """
    token = _phase.set(name)
    tell(Progress())
    try:
        yield
    finally:
        _phase.reset(token)
    tell(Progress())


@contextmanager
def progress_to(listener: Callable[[Progress], None]) -> Generator[None]:
    """Inside, what is told goes to `listener`, once a second at most.

    What comes sooner is left out, but not that a phase begins or ends, nor what is complete. Threads that are started
    inside hear nothing of it, unless they run in a copy of this context.
    """
    last, before = -_SECONDS_BETWEEN, _phase.get()

    def seldom(value: Progress) -> None:
        nonlocal last, before
        if time.monotonic() - last >= _SECONDS_BETWEEN or value.phase != before or value.share == 1:
            last, before = time.monotonic(), value.phase
            listener(value)

    token = _listener.set(seldom)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(value: Progress) -> None:
    """Says how far the work is that is done here; nothing where nobody listens."""
    _listener.get()(replace(value, phase=value.phase or _phase.get()))


def _nobody(value: Progress) -> None:
    del value


_listener: ContextVar[Callable[[Progress], None]] = ContextVar("_listener", default=_nobody)
_phase: ContextVar[str] = ContextVar("_phase", default="")
