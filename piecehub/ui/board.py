"""What a person sees of work that goes on, as lines of text: of a run its components, of another command its phases.

    digits  14 components                                         run 20261121-084114
      ↺  ExampleIngester      from cache    0.3 s
      ⠙  FullModelTrainer     running      31.0 s  epoch 3/20  step 120/285  loss 0.412
         2,310 examples/s  1 min 20 s left
      ·  PieceExtractor       waiting

A board is told events, as `piecehub run --json` prints them (docs/terminal.md), and says which lines stand for good and
which may change. It knows no terminal: terminal.py draws it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any, cast

from piecehub.facts.progress import Count, Progress
from piecehub.ui.words import duration, state_icon, state_word

_ENDED = ("done", "cached", "failed", "stopped")
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_LEAST_NAME, _PHASE_NAME, _WORD, _TIME = 20, 27, 10, 11
_BAR, _WIDE = 20, 120
# A phase that takes less is not worth a line that stays.
_BRIEF_S = 1.0
_STYLES = {"done": "green", "cached": "cyan", "failed": "bold red", "stopped": "yellow", "running": "bold"}


@dataclass(frozen=True)
class Line:
    """A line and the style of its first characters, which says nothing that the text does not: colours may be missing.

    Attributes:
        text: without an end of line.
        style: as rich names it.
        styled: of how many characters; 0 means all.
    """

    text: str
    style: str = ""
    styled: int = 0


@dataclass
class _Row:
    """One component or phase; `is_told` once it is known that it began."""

    name: str
    is_phase: bool = False
    is_told: bool = False
    state: str = "waiting"
    seconds: float = 0.0
    since: float = 0.0
    progress: Progress | None = None


@dataclass(frozen=True)
class Words:
    """What only who started the work knows.

    Attributes:
        server: where `piecehub serve` has its pages by default.
        serve: the command that shows the pages of this working folder.
        again: the command that goes on after an end that was not good.
        logs: the folder with a folder of logs for each run.
    """

    server: str = ""
    serve: str = ""
    again: str = ""
    logs: str = ""


@dataclass
class Board:
    """The state of all that was told so far.

    Attributes:
        words: what only who started the work knows.
        is_served: tells whether the pages of a run are served at an address.
    """

    words: Words = field(default_factory=Words)
    is_served: Callable[[str], bool] = lambda _: False
    _rows: dict[str, _Row] = field(default_factory=dict[str, _Row])
    _run: str = ""

    def take(self, event: Mapping[str, Any]) -> tuple["Started | Ended | Line", ...]:
        """What happened by an event that a person is told of for good, in lines or as a row that began or ended."""
        if event["event"] == "run":
            return tuple(self._of_run(event))
        row = self._rows.setdefault(event["component"], _Row(event["component"], event["event"] == "phase"))
        before, row.state = row.state, event["state"]
        row.progress = Progress.from_json(event["progress"]) if event["progress"] else None
        if row.state == "running" and before != "running":
            row.since, row.is_told = time.monotonic(), not row.is_phase
            return () if row.is_phase else (Started(row.name),)
        if row.state in _ENDED and before not in _ENDED:
            row.seconds = event["seconds"]
            return (Ended(row.name),) if row.is_told or row.seconds >= _BRIEF_S else ()
        return ()

    def overdue(self) -> tuple["Started", ...]:
        """Phases that began a while ago, which nobody was told yet since most are brief."""
        now = time.monotonic()
        late = [r for r in self._rows.values() if r.state == "running" and not r.is_told and now - r.since >= _BRIEF_S]
        for row in late:
            row.is_told = True
        return tuple(Started(row.name) for row in late)

    def running(self) -> list[str]:
        """The names of what is at work."""
        return [row.name for row in self._rows.values() if row.state == "running"]

    def row(self, name: str, width: int, tick: int | None = None) -> list[Line]:
        """One or two lines of a component or phase.

        Args:
            name: of it.
            width: of the terminal; 0 if nothing needs to fit, as in a file.
            tick: how often the spinner turned; None where nothing turns.
        """
        row, name_width = self._rows[name], self._name_width(width)
        sign = state_icon(row.state)
        seconds = duration(row.seconds)
        if row.state == "running":
            sign = "…" if tick is None else _SPINNER[tick % len(_SPINNER)]
            seconds = duration(time.monotonic() - row.since)
        has_begun = row.state == "running" and not width and time.monotonic() - row.since < 2 * _BRIEF_S
        time_text = "" if row.state == "waiting" or has_begun else seconds
        name, word = _cut(row.name, name_width), state_word(row.state)
        begin = f"  {sign}  {name:<{name_width}} {word:<{_WORD}} {time_text:>{_TIME}}"
        parts = _parts(row.progress, width) if row.progress and row.state == "running" else []
        style = _STYLES.get(row.state, "dim")
        styled = {"waiting": 0, "failed": 0, "stopped": 0, "running": 5 + name_width}.get(row.state, 4)
        first, *more = _flowed(begin, parts, width)
        return [Line(first, style, styled), *map(Line, more)]

    def live(self, width: int, height: int, tick: int) -> list[Line]:
        """What may change still: rows that are at work, then those that wait, as many as fit."""
        lines = [line for name in self.running() for line in self.row(name, width, tick)]
        waiting = [row.name for row in self._rows.values() if row.state == "waiting"]
        room = max(0, height - len(lines) - 2)
        shown = waiting if len(waiting) <= room else waiting[: max(0, room - 1)]
        lines += [self.row(name, width)[0] for name in shown]
        if rest := len(waiting) - len(shown):
            lines.append(Line(f"  ·  and {rest} more {'waits' if rest == 1 else 'wait'}", "dim"))
        return lines[:height]

    def _of_run(self, event: Mapping[str, Any]) -> Iterator[Line]:
        if event["state"] == "running":
            components = cast("Sequence[Mapping[str, Any]]", event["components"])
            self._run = event["run"]
            self._rows = {component["id"]: _Row(component["id"]) for component in components}
            yield Line(f"{event['pipeline']}  {len(self._rows)} components  run {self._run}", "bold")
            yield from self._page("  page  ", "dim")
        elif self._run and event["state"] in ("failed", "stopped"):
            unrun = [row.name for row in self._rows.values() if row.state in ("waiting", "not run")]
            yield from map(Line, wrap(", ".join(unrun), 79, initial_indent="  not run  ", subsequent_indent=" " * 11))
            yield Line(f"  log      {self.words.logs}/{self._run}")
            yield from self._page("  page     ")
            yield Line(f"  again    {self.words.again}")

    def _page(self, title: str, style: str = "") -> Iterator[Line]:
        address = f"{self.words.server}/runs/{self._run}"
        yield Line(title + address, style)
        if not self.is_served(address):
            yield Line(f"{' ' * len(title)}once `{self.words.serve}` runs", style)

    def _name_width(self, width: int) -> int:
        longest = max(map(len, self._rows), default=0) if self._run else max(_PHASE_NAME, *map(len, self._rows))
        return min(longest, max(_LEAST_NAME, width // 3)) if width else longest


@dataclass(frozen=True)
class Started:
    """A row began: worth a line where lines stay as they are."""

    name: str


@dataclass(frozen=True)
class Ended:
    """A row has come to its end and does not change any more."""

    name: str


def _parts(progress: Progress, width: int) -> list[str]:
    """What is told of a row's progress, short on a terminal, the most important first."""
    if not width:
        return [progress.text]
    counts = [_short(count) for count in progress.counts]
    bar = [_bar(progress.share)] if progress.share is not None and width >= _WIDE else []
    told = [progress.phase, *counts, *bar, *progress.measured, progress.left, progress.speed, progress.detail]
    return [part for part in told if part]


def _short(count: Count) -> str:
    """`epoch  3/20`, as wide for the third as for the last."""
    if count.is_amount or not count.of:
        return count.text
    return f"{count.unit} {count.at:>{len(str(count.of))}}/{count.of}"


def _bar(share: float) -> str:
    done = round(share * _BAR)
    return "━" * done + "─" * (_BAR - done)


def _flowed(begin: str, parts: Sequence[str], width: int) -> list[str]:
    """The parts behind the beginning, and below it what does not fit there; what fits on neither line is left out."""
    if not width:
        return ["  ".join([begin, *parts]).rstrip()]
    lines, indent = [begin], " " * 5
    for part in parts:
        glue = "" if lines[-1] == indent else "  "
        if len(lines[-1]) + len(glue) + len(part) < width:
            lines[-1] += glue + part
        elif len(lines) == 1:
            lines.append(indent + part[: width - len(indent) - 1])
    return [line.rstrip()[:width] for line in lines]


def _cut(name: str, width: int) -> str:
    """A name that fits, cut in the middle."""
    if len(name) <= width:
        return name
    half = (width - 1) // 2
    return f"{name[: width - 1 - half]}…{name[-half:]}"
