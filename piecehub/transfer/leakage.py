"""Leakage: examples of a downstream task that upstream training has seen, exactly or nearly.

Overlap is the same between a task's test part and its pool, found by the same rule.

What is compared is the content of the decoded features, never the bytes of a record. Labels do not count.

    text        exact: equal after NFKC, case folding and folding of white space
                near:  at least half of all runs of five words are common (Jaccard index, without punctuation);
                       a shorter text is one run, so nearly equal is only what differs in punctuation
    numbers     exact: equal values (missing ones equal each other)
                near:  nearer to an upstream example than a twentieth of what downstream examples are apart from
                       their own nearest neighbours (median), features scaled by their deviation
    bytes       exact: equal bytes; nothing is near. Bytes are what is no text, such as a JPEG that nothing decoded
    ragged      texts are joined; numbers are exact where count and values are equal, and nothing is near

The distance of nearest neighbours follows the dimension and density of the data, so the rule has no unit. Of n
examples in d dimensions about n_upstream / n_downstream * 0.05^d are as near by chance: 0.006 % in four dimensions
where upstream is ten times larger. With fewer than four values a row only equality counts. Word by word, half of
"Return the name" would be in "Return the value". Runs of words are not hashed: short texts that collide would be equal.
"""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from piecehub.errors import DataError
from piecehub.facts.progress import Meter, phase
from piecehub.transfer.likeness import KINDS, SIDES, Kind, Pairs, form_of, kind_of, tells_apart
from piecehub.transfer.packing import Joined, Mapped, Some

Array = NDArray[Any]
Features = Mapping[str, Array]

_SAMPLES, _CHUNK_CELLS, _BATCH = 5, 4_000_000, 256
AnyRows = TypeVar("AnyRows", bound=Some)
_NOT_COMPARABLE = "not comparable: no feature of a common kind and shape that tells examples apart"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leakage:
    """How many downstream examples upstream has seen; of an overlap, how many test examples the pool has.

    Attributes:
        examples: downstream examples that were looked at, pool and test; of an overlap those of the test part.
        exact: how many of them equal an upstream example, or one of the pool.
        near: how many of the others nearly equal one.
        upstream_examples: that they were compared with.
        rule: what "near" means here, in words; or why nothing could be compared.
        samples: up to five, such as `test 12 ~ upstream 344 (0.83)`.
    """

    examples: int
    exact: int
    near: int
    upstream_examples: int
    rule: str
    samples: tuple[str, ...]

    @property
    def rate(self) -> float:
        """The share of the downstream examples that upstream has seen, exactly or nearly."""
        return (self.exact + self.near) / self.examples if self.examples else 0.0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Reads what `dataclasses.asdict` made."""
        return cls(**{**value, "samples": tuple(value["samples"])})


def find_leakage(
    upstream: Iterable[Features],
    pool: Mapping[str, Some],
    test: Mapping[str, Some],
    label_names: Collection[str] = (),
    upstream_count: int | None = None,
) -> Leakage:
    """Compares decoded features, `[examples, …]` each, without those of `label_names`.

    Features of one name and kind (text; bytes; numbers of the same shape; ragged numbers) are compared side by side, as
    one row of each kind. Where no names agree, each downstream feature is compared with each upstream feature of its
    kind. A part of an example counts by itself if it tells examples apart: no category that most share, nor fewer than
    four numbers.

    Args:
        upstream: batches of any size, of which one is held at a time, as `Stream.as_arrays` gives them.
        pool: what shots of the task are drawn from, in memory or mapped (packing.py); of mapped numbers some are in
            memory at a time.
        test: what it is scored on, alike.
        label_names: features that do not count.
        upstream_count: how many examples upstream has, for those who wait.
    """
    sides = [_without(side, label_names) for side in (pool, test)]
    below = {key: _joined_rows(sides[0][key], sides[1][key]) for key in sides[0]}
    pool_count = _count(sides[0])
    places = [f"pool {i}" for i in range(pool_count)] + [f"test {i}" for i in range(_count(below) - pool_count)]
    batches = (_without(batch, label_names) for batch in upstream)
    started = time.monotonic()
    with phase("comparing with upstream"):
        found = _compared(_told(batches, upstream_count or 0), below, places, "upstream")
    took = time.monotonic() - started
    counts = found.upstream_examples, found.examples
    _log.info("Compared %d upstream examples with %d downstream ones in %.1f s.", *counts, took)
    return found


def find_overlap(pool: Mapping[str, Some], test: Mapping[str, Some], label_names: Collection[str] = ()) -> Leakage:
    """Compares the test part with the pool, as `find_leakage` compares both with upstream."""
    above, below = _without(pool, label_names), _without(test, label_names)
    texts = {key: values if _is_numbers(values) else values[:] for key, values in below.items()}
    return _compared(_in_batches(above), texts, [f"test {i}" for i in range(_count(below))], "pool")


def _without(side: "Mapping[str, AnyRows]", label_names: Collection[str]) -> "dict[str, AnyRows]":
    return {key: values for key, values in side.items() if key not in label_names}


def _count(side: Mapping[str, Some]) -> int:
    return len(next(iter(side.values()), ()))


def _is_numbers(values: Some) -> bool:
    return values.dtype.kind in "biuf"


def _joined_rows(one: Some, other: Some) -> Some:
    """Rows of the pool and of the test part: numbers where they lie, all else in memory."""
    return Joined(one, other) if _is_numbers(one) and _is_numbers(other) else np.concatenate([one[:], other[:]])


def _in_batches(side: Mapping[str, Some]) -> Iterator[Features]:
    """What is in memory as it is; of mapped rows a batch at a time."""
    if not any(isinstance(values, Mapped) for values in side.values()):
        yield {key: values[:] for key, values in side.items()}
        return
    width = sum(prod(values.shape[1:]) for values in side.values())
    step = max(1, min(_BATCH, _CHUNK_CELLS // max(1, width)))
    for start in range(0, _count(side), step):
        yield {key: values[start : start + step] for key, values in side.items()}


def _told(batches: Iterable[Features], total: int) -> Iterable[Features]:
    """The batches; how many of their examples were compared is told meanwhile."""
    meter = Meter("examples", total)
    for batch in batches:
        yield batch
        meter.add(_count(batch))


def _compared(batches: Iterable[Features], below: Mapping[str, Some], places: Sequence[str], seen: str) -> Leakage:
    """Which rows of `below` are like a row of the batches; `places` names each of them, `seen` those above."""
    count, above_count = _count(below), 0
    searches: list[_Search] | None = None
    for batch in batches:
        if searches is None:
            searches = [_Search(way, batch, below) for way in _ways(batch, below)]
        above_count += _count(batch)
        for search in searches:
            search.look_at(batch)
    if not searches:
        return Leakage(count, 0, 0, above_count, _NOT_COMPARABLE, ())
    found = [search.end() for search in searches]
    best, row = np.argmax([alike for _, alike in found], axis=0), np.arange(count)
    nearest, alike = (np.stack(part)[best, row] for part in zip(*found, strict=True))
    exact, near = alike >= 1, (alike > 0) & (alike < 1)
    first = [*np.flatnonzero(exact), *np.flatnonzero(near)][:_SAMPLES]
    samples = tuple(f"{places[int(i)]} ~ {seen} {nearest[i]} ({alike[i]:.2f})" for i in first)
    rule = "; ".join(dict.fromkeys(rule for search in searches for rule in search.rules))
    return Leakage(count, int(exact.sum()), int(near.sum()), above_count, rule, samples)


def refuse_leakage(found: Leakage, task: str, limit: float) -> None:
    """Raises DataError if a larger share than `limit` of the task's examples was seen upstream."""
    if found.rate > limit:
        raise DataError(
            f"Expected at most {limit:.2%} of the examples of '{task}' to equal upstream examples, or nearly so. "
            f"Received: {found.exact} equal and {found.near} near of {found.examples} ({found.rate:.2%}), such as "
            f"{found.samples[0]}; take them out of one side, or raise evaluation.max_leakage."
        )


def refuse_overlap(found: Leakage, task: str, limit: float) -> None:
    """Raises DataError if a larger share than `limit` of the task's test examples is in its pool."""
    if found.rate > limit:
        raise DataError(
            f"Expected at most {limit:.2%} of the test examples of '{task}' to equal examples of its pool, or nearly "
            f"so. Received: {found.exact} equal and {found.near} near of {found.examples} ({found.rate:.2%}), such as "
            f"{found.samples[0]}; take them out of one part, or raise evaluation.max_leakage."
        )


@dataclass(frozen=True)
class _Part:
    """Features of one kind, side by side: their names upstream and downstream."""

    kind: Kind
    above: tuple[str, ...]
    below: tuple[str, ...]


def _ways(above: Features, below: Mapping[str, Some]) -> list[list[_Part]]:
    """The ways an example can have been seen: of each, all parts must be alike in one and the same upstream row."""
    forms = {key: form_of(values) for key, values in above.items()}
    kinds: dict[str, Kind] = {key: kind_of(values) for key, values in below.items()}
    named = [key for key, values in below.items() if forms.get(key) == form_of(values)]
    of_kinds: dict[Kind, tuple[str, ...]] = {kind: tuple(key for key in named if kinds[key] == kind) for kind in KINDS}
    row = [_Part(kind, keys, keys) for kind, keys in of_kinds.items() if keys]
    if telling := [[part] for part in row if tells_apart(part.kind, [below[key] for key in part.below])]:
        return telling
    if row and len(named) == len(below):
        return [row]
    alone = [key for key, values in below.items() if tells_apart(kinds[key], [values])]
    pairs = [(key, other) for key in alone for other in above if forms[other] == form_of(below[key])]
    return [[_Part(kinds[key], (other,), (key,))] for key, other in pairs]


class _Search:
    """Of each downstream row the upstream row that is most like it in one of the ways, as far as upstream was seen."""

    def __init__(self, way: Sequence[_Part], first: Features, below: Mapping[str, Some]) -> None:
        """Takes the first batch of upstream only for its shapes."""
        count = _count(below)
        self._way, self._sides = way, [SIDES[part.kind]([below[key] for key in part.below]) for part in way]
        self._nearest, self._alike = np.full(count, -1), np.zeros(count)
        width = sum(prod(first[key].shape[1:]) for part in way for key in part.above)
        self._step = max(1, _CHUNK_CELLS // max(count, width // 4, 1))
        # The last bits of a matrix of distances depend on its size: its chunks are the same whatever the batches.
        self._least = self._step if any(part.kind == "numbers" for part in way) else 1
        self._held: list[Features] = []
        self._start = 0

    @property
    def rules(self) -> list[str]:
        """What "near" means in each part, in words."""
        return [side.rule for side in self._sides]

    def look_at(self, batch: Features) -> None:
        """Compares as many rows as there are whole chunks of, and keeps the rest for the next batch."""
        self._held.append({key: batch[key] for part in self._way for key in part.above})
        if sum(map(_count, self._held)) >= self._least:
            self._compare(self._least)

    def end(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The upstream row that is most like each downstream row (-1 for none), and how much."""
        self._compare(1)
        return self._nearest, self._alike

    def _compare(self, least: int) -> None:
        """Compares what is held, as long as there are `least` rows of it."""
        if not self._held:
            return
        held = _joined(self._held)
        place, count = 0, _count(held)
        while count - place >= least:
            chunk = {key: values[place : place + self._step] for key, values in held.items()}
            self._compare_chunk(chunk)
            place += _count(chunk)
        self._held = [{key: values[place:].copy() for key, values in held.items()}] if place < count else []

    def _compare_chunk(self, chunk: Features) -> None:
        parts = zip(self._sides, self._way, strict=True)
        found = [side.pairs([chunk[key] for key in part.above]) for side, part in parts]
        rows, columns, likeness = reduce(_in_both, found)
        order = np.lexsort((columns, -likeness, rows))
        best = order[np.unique(rows[order], return_index=True)[1]]
        best = best[likeness[best] > self._alike[rows[best]]]
        self._nearest[rows[best]], self._alike[rows[best]] = columns[best] + self._start, likeness[best]
        self._start += _count(chunk)


def _joined(batches: Sequence[Features]) -> Features:
    """Batches as one; a single one is not copied."""
    if len(batches) == 1:
        return batches[0]
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def _in_both(one: Pairs, other: Pairs) -> Pairs:
    """The pairs that are alike in both, as much as in the lesser."""
    codes = [rows * _CHUNK_CELLS + columns for rows, columns, _ in (one, other)]
    _, first, second = np.intersect1d(*codes, assume_unique=True, return_indices=True)
    return one[0][first], one[1][first], np.minimum(one[2][first], other[2][second])
