"""How pages write times, sizes, parameters and states for people."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any

from piecehub.facts.quantities import cpu_hours as cpu_hours
from piecehub.facts.quantities import size as size
from piecehub.facts.runs import parse_time
from piecehub.facts.secrets import redacted
from piecehub.facts.steps import Read, sorted_reads
from piecehub.facts.tables import unfolded
from piecehub.ui.run_times import Span

# Each state is an icon, a word and (in style.css) a colour, so that none of the three is needed alone.
STATES = {
    "waiting": ("·", "waiting"),
    "running": ("◌", "running"),
    "done": ("✓", "done"),
    "cached": ("↺", "from cache"),
    "failed": ("✗", "failed"),
    "not run": ("–", "not run"),
    "stopped": ("◼", "stopped"),
    # Of a run that is done: every component is, and yet not every piece stands in the store.
    "not published": ("!", "not published"),
    "published": ("✓", "published"),
    # Of a version: nobody is offered a yanked one, and nobody gets a quarantined one.
    "yanked": ("!", "yanked"),
    "quarantined": ("✗", "quarantined"),
}
# Likewise each outcome of a check (facts/conformance_report.py): the colour's class, and the icon; the word is itself.
OUTCOMES = {
    "held": ("done", "✓"),
    "fell short": ("failed", "✗"),
    "advice": ("stopped", "!"),
    "not made": ("waiting", "·"),
    "note": ("waiting", "·"),
}
# What a list of versions may be of (store/listing.py), in a person's words.
SHOWN = (
    ("newest", "newest of each model"),
    ("all", "every version"),
    ("champion", "champions"),
    ("candidate", "candidates"),
    ("yanked", "yanked"),
    ("quarantined", "quarantined"),
    ("published", "published"),
    ("unsigned", "newest that are unsigned"),
    ("outdated", "newest with old evidence"),
)
_DIGESTS = ("code_digest", "lock_digest")
# Of shorter times nobody asks how many processors they took.
_WORTH_S = 1.0
_LONGEST_VALUE = 600
_LONGEST_NAME = 20
# What embeds, overrides or isolates a direction, up to an end that may be missing.
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def state_icon(state: str) -> str:
    """The sign of a state."""
    return STATES[state][0]


def state_word(state: str) -> str:
    """The word for a state."""
    return STATES[state][1]


def duration(seconds: float) -> str:
    """`0.3 s`, `2 min 05 s`, `1 h 03 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def span_reason(span: Span) -> str:
    """Why a component took its time: `after PieceExtractor · epochs 12.0 s · 1.8 processors`."""
    told: list[str] = []
    if span.waited:
        told.append(f"waited {duration(span.waited)}" + (f", mostly for {isolated(span.after)}" if span.after else ""))
    elif span.after:
        told.append(f"after {isolated(span.after)}")
    if span.state == "cached":
        told.append("from cache")
    told += [f"{isolated(name)} {duration(seconds)}" for name, seconds in span.phases[:3]]
    if span.cpu_s and span.seconds >= _WORTH_S:
        told.append(f"{span.cpu_s / span.seconds:.1f} processors")
    return " · ".join(told)


def moment(at: str) -> str:
    """An ISO 8601 time as `24 Nov 2026, 01:44 UTC`."""
    time = parse_time(at).astimezone(UTC)
    return f"{time.day} {time:%b %Y, %H:%M} UTC"


def percent(value: float) -> str:
    """A share as `97.1 %`."""
    return f"{100 * value:z.1f} %"


def points(value: float) -> str:
    """A difference of shares as `+2.4`."""
    return f"{100 * value:+.1f}".replace("-", "−")


def short_digest(digest: str) -> str:
    """The first 12 hex digits; of joined digests, each."""
    return " + ".join(part.partition(":")[2][:12] or part[:12] for part in digest.split("+"))


def cut(name: str) -> str:
    """A name that fits a box, cut in the middle."""
    if len(name) <= _LONGEST_NAME:
        return name
    half = (_LONGEST_NAME - 1) // 2
    return f"{name[: _LONGEST_NAME - 1 - half]}…{name[-half:]}"


def humps(name: str) -> list[str]:
    """The parts of a name between which a line may break: `FineTuneEvaluator` -> `Fine`, `Tune`, `Evaluator`."""
    return re.findall(r"[A-Z]?[^A-Z]+|[A-Z]+", name)


def gain(found: Mapping[str, Any]) -> str:
    """What the gate saw of a piece: `+2.2 points`."""
    return f"{points(found['estimate'])} points"


def plain(text: str) -> str:
    """A text for a terminal's line: what would move the cursor or turn the writing round stands as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def isolated(text: str) -> str:
    """A person's text within a line of ours where no `<bdi>` can stand: it turns nothing round but itself."""
    if text.isascii():
        return text
    return f"\u2068{''.join(c for c in text if c not in _TURNING)}\u2069"


def count(number: int, thing: str) -> str:
    """`1 run`, `12,304 runs`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def pairs_of(names: Iterable[str]) -> list[tuple[str, str]]:
    """Choices that are called what they are."""
    return [(name, name) for name in names]


def parameter(key: str, value: Any) -> str:
    """A parameter's value for the page; what may be a secret is not shown."""
    shown = redacted(value, key)
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}… ({len(text):,} characters)"


def reads(values: Iterable[Read]) -> list[tuple[str, str]]:
    """What a component read, by digest; what stock TFX made has none in some records."""
    return [(read.key, read.digest) for read in sorted_reads(values) if read.digest]


def parameters(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All parameters of a component for the page, tables by their keys; what a person set comes before the digests."""
    ordered = sorted(unfolded(values).items(), key=lambda item: (item[0] in _DIGESTS, item[0]))
    return [(key, parameter(key, value)) for key, value in ordered]
