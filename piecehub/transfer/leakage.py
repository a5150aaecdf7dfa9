"""Leakage: examples of a downstream task that upstream training has seen, exactly or nearly.

Overlap is the same between a task's test part and its pool, found by the same rule.

What is compared is the content of the decoded features, never the bytes of a record. Labels do not count.

    text        exact: equal after NFKC, case folding and folding of white space
                near:  at least half of all runs of five words are common (Jaccard index, without punctuation);
                       a shorter text is one run, so nearly equal is only what differs in punctuation
    numbers     exact: equal values (missing ones equal each other)
                near:  nearer to an upstream example than a twentieth of what downstream examples are apart from
                       their own nearest neighbours (median), features scaled by their deviation

The distance of nearest neighbours follows the dimension and density of the data, so the rule has no unit. Of n
examples in d dimensions about n_upstream / n_downstream * 0.05^d are as near by chance: 0.006 % in four dimensions
where upstream is ten times larger. With fewer than four values a row only equality counts. Word by word, half of
"Return the name" would be in "Return the value". Runs of words are not hashed: short texts that collide would be equal.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from piecehub.errors import DataError

Array = NDArray[Any]
Features = Mapping[str, Array]
Run = tuple[str, ...]
Part = tuple[Sequence[Array], Sequence[Array]]  # upstream's and downstream's features of one kind, side by side
# A downstream row, the upstream row that it is like, and how much: 1 for equal. No pair stands there twice.
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

_WORDS, _LEAST_JACCARD = 5, 0.5
_NEAR_SHARE, _LEAST_VALUES, _NEIGHBOURS_OF = 0.05, 4, 1000
_SAMPLES, _CHUNK_CELLS = 5, 4_000_000
_NOT_COMPARABLE = "not comparable: no feature of a common kind and shape that tells examples apart"
_RULES = "a twentieth of the distance between nearest neighbours", "half of all runs of five words in common"


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


def find_leakage(upstream: Features, pool: Features, test: Features, label_names: Collection[str] = ()) -> Leakage:
    """Compares decoded features, `[examples, …]` each, without those of `label_names`.

    Features of one name and kind (text; or numbers of the same shape) are compared side by side, as one row of each
    kind. Where no names agree, each downstream feature is compared with each upstream feature of its kind. A part of
    an example counts by itself if it tells examples apart: no category that most share, nor fewer than four numbers.
    """
    sides = [_without(side, label_names) for side in (upstream, pool, test)]
    below = {key: np.concatenate([sides[1][key], sides[2][key]]) for key in sides[1]}
    pool_count = _count(sides[1])
    places = [f"pool {i}" for i in range(pool_count)] + [f"test {i}" for i in range(_count(below) - pool_count)]
    return _compared(sides[0], below, places, "upstream")


def find_overlap(pool: Features, test: Features, label_names: Collection[str] = ()) -> Leakage:
    """Compares the test part with the pool, as `find_leakage` compares both with upstream."""
    above, below = _without(pool, label_names), _without(test, label_names)
    return _compared(above, below, [f"test {i}" for i in range(_count(below))], "pool")


def _without(side: Features, label_names: Collection[str]) -> Features:
    return {key: values for key, values in side.items() if key not in label_names}


def _count(side: Features) -> int:
    return len(next(iter(side.values()), ()))


def _compared(above: Features, below: Features, places: Sequence[str], seen: str) -> Leakage:
    """Which rows of `below` are like a row of `above`; `places` names each of them, `seen` those above."""
    count, above_count = _count(below), _count(above)
    ways = _ways(above, below)
    if not ways:
        return Leakage(count, 0, 0, above_count, _NOT_COMPARABLE, ())
    found = [_most_alike(way, above_count, count) for way in ways]
    best, row = np.argmax([alike for _, alike in found], axis=0), np.arange(count)
    nearest, alike = (np.stack(part)[best, row] for part in zip(*found, strict=True))
    exact, near = alike >= 1, (alike > 0) & (alike < 1)
    first = [*np.flatnonzero(exact), *np.flatnonzero(near)][:_SAMPLES]
    samples = tuple(f"{places[int(i)]} ~ {seen} {nearest[i]} ({alike[i]:.2f})" for i in first)
    rule = "; ".join(dict.fromkeys(_RULES[_is_text(downs[0])] for way in ways for _, downs in way))
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


def _ways(above: Features, below: Features) -> list[list[Part]]:
    """The ways an example can have been seen: of each, all parts must be alike in one and the same upstream row."""
    named = [key for key in below if key in above and _form(above[key]) == _form(below[key])]
    kinds = ([key for key in named if _is_text(below[key]) is text] for text in (True, False))
    row: list[Part] = [([above[key] for key in keys], [below[key] for key in keys]) for keys in kinds if keys]
    if telling := [[part] for part in row if _tells_apart(part[1])]:
        return telling
    if row and len(named) == len(below):
        return [row]
    alone = [feature for feature in below.values() if _tells_apart([feature])]
    return [[([other], [feature])] for feature in alone for other in above.values() if _form(other) == _form(feature)]


def _tells_apart(features: Sequence[Array]) -> bool:
    rows = _rows(features)
    keys = _keys(rows)
    return (_is_text(rows) or rows.shape[1] >= _LEAST_VALUES) and 2 * len(set(keys)) >= len(keys)


def _most_alike(way: Sequence[Part], above_count: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each downstream row the upstream row that is most like it (-1 for none), and how much."""
    nearest, alike = np.full(count, -1), np.zeros(count)
    sides = [(_Texts if _is_text(downs[0]) else _Numbers)(_rows(downs)) for _, downs in way]
    width = sum(prod(feature.shape[1:]) for ups, _ in way for feature in ups)
    step = max(1, _CHUNK_CELLS // max(count, width // 4, 1))
    for start in range(0, above_count, step):
        part = slice(start, start + step)
        found = [side.pairs(_rows(ups, part)) for side, (ups, _) in zip(sides, way, strict=True)]
        rows, columns, likeness = reduce(_in_both, found)
        order = np.lexsort((columns, -likeness, rows))
        best = order[np.unique(rows[order], return_index=True)[1]]
        best = best[likeness[best] > alike[rows[best]]]
        nearest[rows[best]], alike[rows[best]] = columns[best] + start, likeness[best]
    return nearest, alike


def _in_both(one: Pairs, other: Pairs) -> Pairs:
    """The pairs that are alike in both, as much as in the lesser."""
    codes = [rows * _CHUNK_CELLS + columns for rows, columns, _ in (one, other)]
    _, first, second = np.intersect1d(*codes, assume_unique=True, return_indices=True)
    return one[0][first], one[1][first], np.minimum(one[2][first], other[2][second])


class _Known:
    """Which downstream rows are equal, by their keys."""

    def __init__(self, keys: Sequence[str | bytes]) -> None:
        self._numbers: dict[str | bytes, int] = {}
        self._rows = np.array([self._numbers.setdefault(key, len(self._numbers)) for key in keys], np.int64)
        self.first = np.unique(self._rows, return_index=True)[1]

    def pairs(self, keys: Sequence[str | bytes], rows: Array, columns: Array, likeness: Array) -> Pairs:
        """All rows that equal one of `keys`, and of the near ones given those that do not."""
        equal = self._rows[:, None] == np.array([self._numbers.get(key, -1) for key in keys], np.int64)
        same, other = np.nonzero(equal), ~equal[rows, columns]
        alike = np.concatenate([np.ones(len(same[0])), np.minimum(likeness[other], 0.99)])
        return np.concatenate([same[0], rows[other]]), np.concatenate([same[1], columns[other]]), alike


class _Texts:
    """Downstream texts `[examples, texts]`, by their runs of words."""

    def __init__(self, values: Array) -> None:
        from sklearn.feature_extraction.text import CountVectorizer

        texts = _keys(values)
        self._known = _Known(texts)
        self._known_runs: set[Run] = set().union(*map(_runs, texts))
        columns = {run: column for column, run in enumerate(self._known_runs or [()])}
        # scikit-learn's own annotations are narrower than its documentation.
        settings: dict[str, Any] = {"analyzer": list, "vocabulary": columns, "dtype": np.float64}
        self._counter: Any = CountVectorizer(**settings)
        self._table, self._sizes = self._tabled(texts)

    def pairs(self, upstream: Array) -> Pairs:
        texts = _keys(upstream)
        table, sizes = self._tabled(texts)
        common = (self._table @ table.T).tocoo()
        jaccard = common.data / (self._sizes[common.row] + sizes[common.col] - common.data)
        near = jaccard >= _LEAST_JACCARD
        return self._known.pairs(texts, common.row[near], common.col[near], jaccard[near])

    def _tabled(self, texts: Sequence[str]) -> tuple[Any, NDArray[np.float64]]:
        """Which of downstream's runs each text has, a sparse table of 0 and 1; and how many runs in all."""
        runs = [_runs(text) for text in texts]
        table = self._counter.transform([each & self._known_runs for each in runs])
        return table, np.array([len(each) for each in runs], np.float64)


class _Numbers:
    """Downstream numbers `[examples, values]`, in units of their deviation."""

    def __init__(self, values: Array) -> None:
        self._known = _Known(_keys(values))
        finite: Any = np.ma.masked_invalid(values.astype(np.float64))
        self._center, deviation = (np.ma.filled(part, 0.0) for part in (finite.mean(axis=0), finite.std(axis=0)))
        # What hardly varies, such as the margin of images, must not drown the rest once it is scaled.
        varying = deviation[deviation > 0]
        self._scale = np.maximum(deviation, 0.1 * np.median(varying)) if varying.size else np.ones_like(deviation)
        self._here = self._scaled(values)
        self._apart = self._typical_distance()

    def pairs(self, upstream: Array) -> Pairs:
        from sklearn.metrics.pairwise import euclidean_distances

        distance = euclidean_distances(self._here, self._scaled(upstream))
        rows, columns = np.nonzero(distance < _NEAR_SHARE * self._apart)
        return self._known.pairs(_keys(upstream), rows, columns, 1 - distance[rows, columns] / self._apart)

    def _scaled(self, values: Array) -> NDArray[np.float64]:
        """In downstream's units around its mean, where missing values are put."""
        return np.nan_to_num((values.astype(np.float64) - self._center) / self._scale, nan=0, posinf=0, neginf=0)

    def _typical_distance(self) -> float:
        """The median distance of nearest neighbours; 0 where only equality can count."""
        from sklearn.neighbors import NearestNeighbors

        distinct = self._here[self._known.first]
        if len(distinct) < 2 or distinct.shape[1] < _LEAST_VALUES:
            return 0.0
        some = distinct[:: max(1, len(distinct) // _NEIGHBOURS_OF)]
        # The nearest of an example is itself, the next one its neighbour.
        return float(np.median(NearestNeighbors(n_neighbors=2).fit(distinct).kneighbors(some)[0][:, 1]))


def _rows(features: Sequence[Array], rows: slice = slice(None)) -> Array:
    """Features side by side, a row an example."""
    flat = [part.reshape(len(part), prod(part.shape[1:])) for part in (feature[rows] for feature in features)]
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)


def _keys(rows: Array) -> list[Any]:
    """Of each row what equal rows have in common: canonical text, or the bytes of its numbers."""
    if _is_text(rows):
        return [_canonical(row) for row in rows.tolist()]
    values = np.asarray(rows, np.float64)
    return [row.tobytes() for row in np.where(np.isnan(values), np.nan, values + 0.0)]  # one NaN; -0.0 is 0.0


def _canonical(row: Sequence["bytes | str"]) -> str:
    parts = (part.decode("utf-8", "backslashreplace") if isinstance(part, bytes) else part for part in row)
    return " ".join(unicodedata.normalize("NFKC", " ".join(parts)).casefold().split())


def _runs(text: str) -> set[Run]:
    words = re.findall(r"\w+", text)
    return set(zip(*(words[i:] for i in range(min(_WORDS, len(words)))), strict=False))


def _is_text(values: Array) -> bool:
    return values.dtype.kind in "OSU"


def _form(values: Array) -> tuple[int, ...] | None:
    return None if _is_text(values) else values.shape[1:]
