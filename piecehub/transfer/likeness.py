"""Which downstream examples are like which upstream ones, for each kind of feature; the rule is drawn in `leakage`.

A side holds the downstream values of one kind, and is asked about upstream's a chunk of rows at a time. Numbers that
take more than 128 MB it reads a block at a time, as often as it is asked.
"""

import re
import unicodedata
from collections.abc import Hashable, Iterator, Sequence
from hashlib import blake2b
from math import prod
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from piecehub.transfer.packing import Mapped, Some
from piecehub.transfer.ragged import holds_text, is_ragged, leaves
from piecehub.transfer.texts import is_binary

Array = NDArray[Any]
Kind = Literal["text", "bytes", "numbers", "ragged numbers"]
KINDS: tuple[Kind, ...] = ("text", "bytes", "numbers", "ragged numbers")
Run = tuple[str, ...]
# A downstream row, the upstream row that it is like, and how much: 1 for equal. No pair stands there twice.
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

_WORDS, _LEAST_JACCARD = 5, 0.5
_NEAR_SHARE, _LEAST_VALUES, _NEIGHBOURS_OF = 0.05, 4, 1000
# Numbers of double precision that are held at a time; and the longest row that is its own key.
_HELD_BYTES, _KEY_BYTES = 128 * 2**20, 64
_OF_BYTES = "of bytes that are no text only equal ones"


def kind_of(values: Some) -> Kind:
    """What a downstream feature is compared as; bytes are those of which at least half are no text."""
    if isinstance(values, Mapped):
        return "numbers"  # of others what they are can only be told of what is in memory
    if not _is_text(values):
        return "ragged numbers" if is_ragged(values) else "numbers"
    found = [is_binary(value) for row in _cells([values]) for value in row if value]
    return "bytes" if found and 2 * sum(found) >= len(found) else "text"


def form_of(values: Some) -> tuple[int, ...] | str:
    """What an upstream feature must have in common with a downstream one to be compared with it."""
    if isinstance(values, Mapped):
        return values.shape[1:]
    if _is_text(values):
        return "text"
    return "ragged numbers" if is_ragged(values) else values.shape[1:]


def tells_apart(kind: Kind, features: Sequence[Any]) -> bool:
    """Whether features of one kind, side by side, tell examples apart: no category, nor fewer than four numbers."""
    side = SIDES[kind]
    keys = side.keys(features)
    return side.says_enough(features) and 2 * len(set(keys)) >= len(keys)


class Side(Protocol):
    """The downstream rows of features of one kind."""

    rule: str

    def __init__(self, features: Sequence[Any]) -> None: ...

    def pairs(self, upstream: Sequence[Array]) -> Pairs:
        """Which of them are like which of these upstream rows."""
        ...

    @staticmethod
    def keys(features: Sequence[Any]) -> list[Any]:
        """Of each row what equal rows have in common."""
        ...

    @staticmethod
    def says_enough(features: Sequence[Any]) -> bool:
        """Whether a row has as much in it that equality says something."""
        ...


class _Known:
    """Which downstream rows are equal, by their keys."""

    def __init__(self, keys: Sequence[Hashable]) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._rows = np.array([self._numbers.setdefault(key, len(self._numbers)) for key in keys], np.int64)
        self.first = np.unique(self._rows, return_index=True)[1]

    def pairs(self, keys: Sequence[Hashable], rows: Array, columns: Array, likeness: Array) -> Pairs:
        """All rows that equal one of `keys`, and of the near ones given those that do not."""
        equal = self._rows[:, None] == np.array([self._numbers.get(key, -1) for key in keys], np.int64)
        same, other = np.nonzero(equal), ~equal[rows, columns]
        alike = np.concatenate([np.ones(len(same[0])), np.minimum(likeness[other], 0.99)])
        return np.concatenate([same[0], rows[other]]), np.concatenate([same[1], columns[other]]), alike

    def equal(self, keys: Sequence[Hashable]) -> Pairs:
        """All rows that equal one of `keys`."""
        none = np.zeros(0, np.int64)
        return self.pairs(keys, none, none, np.zeros(0))


class _Texts:
    """Downstream texts, by their runs of words; a row with bytes that are no text equals only the very same bytes."""

    def __init__(self, features: Sequence[Array]) -> None:
        from sklearn.feature_extraction.text import CountVectorizer

        texts = self.keys(features)
        self.rule = "half of all runs of five words in common"
        if not all(isinstance(text, str) for text in texts):
            self.rule += f"; {_OF_BYTES}"
        self._known = _Known(texts)
        self._known_runs: set[Run] = set().union(*map(_runs, texts))
        columns = {run: column for column, run in enumerate(self._known_runs or [()])}
        # scikit-learn's own annotations are narrower than its documentation.
        settings: dict[str, Any] = {"analyzer": list, "vocabulary": columns, "dtype": np.float64}
        self._counter: Any = CountVectorizer(**settings)
        self._table, self._sizes = self._tabled(texts)

    def pairs(self, upstream: Sequence[Array]) -> Pairs:
        texts = self.keys(upstream)
        table, sizes = self._tabled(texts)
        common = (self._table @ table.T).tocoo()
        jaccard = common.data / (self._sizes[common.row] + sizes[common.col] - common.data)
        near = jaccard >= _LEAST_JACCARD
        return self._known.pairs(texts, common.row[near], common.col[near], jaccard[near])

    @staticmethod
    def keys(features: Sequence[Array]) -> list[Any]:
        return [_canonical(row) for row in _cells(features)]

    @staticmethod
    def says_enough(features: Sequence[Array]) -> bool:
        del features
        return True

    def _tabled(self, texts: Sequence[Any]) -> tuple[Any, NDArray[np.float64]]:
        """Which of downstream's runs each text has, a sparse table of 0 and 1; and how many runs in all."""
        runs = [_runs(text) for text in texts]
        table = self._counter.transform([each & self._known_runs for each in runs])
        return table, np.array([len(each) for each in runs], np.float64)


class _Bytes:
    """Downstream bytes that are no text, such as undecoded images: words in them are none, so only equality counts."""

    rule = _OF_BYTES

    def __init__(self, features: Sequence[Array]) -> None:
        self._known = _Known(self.keys(features))

    def pairs(self, upstream: Sequence[Array]) -> Pairs:
        return self._known.equal(self.keys(upstream))

    @staticmethod
    def keys(features: Sequence[Array]) -> list[Any]:
        return [tuple(row) for row in _cells(features)]

    @staticmethod
    def says_enough(features: Sequence[Array]) -> bool:
        del features
        return True


class _Numbers:
    """Downstream numbers `[examples, …]`, in units of their deviation."""

    rule = "a twentieth of the distance between nearest neighbours"

    def __init__(self, features: Sequence[Some]) -> None:
        self._features, self._known = features, _Known(self.keys(features))
        held = len(features[0]) * _width(features) * 8 <= _HELD_BYTES
        self._center, deviation = _of_all(_rows(features)) if held else _of_blocks(features)
        # What hardly varies, such as the margin of images, must not drown the rest once it is scaled.
        varying = deviation[deviation > 0]
        self._scale = np.maximum(deviation, 0.1 * np.median(varying)) if varying.size else np.ones_like(deviation)
        self._held = self._scaled(_rows(features)) if held else None
        self._apart = self._typical_distance()

    def pairs(self, upstream: Sequence[Array]) -> Pairs:
        from sklearn.metrics.pairwise import euclidean_distances

        there, near = self._scaled(_rows(upstream)), _NEAR_SHARE * self._apart
        found: list[tuple[Array, Array, Array]] = []
        for start, here in self._here(np.arange(len(self._features[0]))):
            distance = euclidean_distances(here, there)
            rows, columns = np.nonzero(distance < near)
            found.append((rows + start, columns, distance[rows, columns]))
        rows, columns, apart = (np.concatenate(part) for part in zip(*found, strict=True))
        return self._known.pairs(self.keys(upstream), rows, columns, 1 - apart / self._apart)

    @staticmethod
    def keys(features: Sequence[Some]) -> list[Any]:
        return [_key(row) for _, values in _blocks(features) for row in _comparable(values)]

    @staticmethod
    def says_enough(features: Sequence[Some]) -> bool:
        return _width(features) >= _LEAST_VALUES

    def _scaled(self, values: Array) -> NDArray[np.float64]:
        """In downstream's units around its mean, where missing values are put."""
        wide = values.astype(np.float64)
        wide -= self._center
        wide /= self._scale
        return np.nan_to_num(wide, copy=False, nan=0, posinf=0, neginf=0)

    def _here(self, places: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Downstream's rows at some places, scaled: those that are held at once, else a block at a time."""
        if self._held is not None:
            yield 0, self._held[places] if len(places) < len(self._held) else self._held
            return
        step = _block_rows(self._features)
        for start in range(0, len(places), step):
            some = places[start : start + step]
            yield start, self._scaled(_rows([feature[some] for feature in self._features]))

    def _typical_distance(self) -> float:
        """The median distance of nearest neighbours; 0 where only equality can count."""
        from sklearn.neighbors import NearestNeighbors

        distinct = self._known.first
        if len(distinct) < 2 or _width(self._features) < _LEAST_VALUES:
            return 0.0
        some = distinct[:: max(1, len(distinct) // _NEIGHBOURS_OF)]
        # The nearest of an example is itself, the next one its neighbour.
        if self._held is not None:
            neighbours = NearestNeighbors(n_neighbors=2).fit(self._held[distinct])
            return float(np.median(neighbours.kneighbors(self._held[some])[0][:, 1]))
        return float(np.median(np.concatenate([self._second(rows, distinct) for _, rows in self._here(some)])))

    def _second(self, rows: NDArray[np.float64], distinct: NDArray[np.int64]) -> NDArray[np.float64]:
        """How far each row has it to the second nearest of downstream's distinct ones."""
        from sklearn.metrics.pairwise import euclidean_distances

        least: Any = np.full((len(rows), 2), np.inf)
        for _, here in self._here(distinct):
            least = np.partition(np.concatenate([least, euclidean_distances(rows, here)], axis=1), 1, axis=1)[:, :2]
        return least[:, 1]


class _RaggedNumbers:
    """Downstream numbers of which each example has a count of its own: there is no distance, only equality."""

    rule = "of ragged numbers only equal ones"

    def __init__(self, features: Sequence[Array]) -> None:
        self._known = _Known(self.keys(features))

    def pairs(self, upstream: Sequence[Array]) -> Pairs:
        return self._known.equal(self.keys(upstream))

    @staticmethod
    def keys(features: Sequence[Array]) -> list[Any]:
        return [tuple(map(_form_and_bits, row)) for row in zip(*features, strict=True)]

    @staticmethod
    def says_enough(features: Sequence[Array]) -> bool:
        counts = [sum(len(leaves(part)) for part in row) for row in zip(*features, strict=True)]
        return float(np.median(counts)) >= _LEAST_VALUES


SIDES: dict[Kind, type[Side]] = {
    "text": _Texts,
    "bytes": _Bytes,
    "numbers": _Numbers,
    "ragged numbers": _RaggedNumbers,
}


def _width(features: Sequence[Some]) -> int:
    """How many numbers an example has."""
    return sum(prod(feature.shape[1:]) for feature in features)


def _block_rows(features: Sequence[Some]) -> int:
    return max(1, _HELD_BYTES // (8 * max(1, _width(features))))


def _blocks(features: Sequence[Some]) -> Iterator[tuple[int, Array]]:
    """Numbers side by side, as many rows as may be held at a time."""
    step = _block_rows(features)
    for start in range(0, len(features[0]), step):
        yield start, _rows([feature[start : start + step] for feature in features])


def _of_all(values: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each number, without those that are not finite; 0 where none is."""
    finite: Any = np.ma.masked_invalid(values.astype(np.float64))
    mean, deviation = (np.ma.filled(part, 0.0) for part in (finite.mean(axis=0), finite.std(axis=0)))
    return mean, deviation


def _of_blocks(features: Sequence[Some]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same, a block at a time: means first, then what they are departed from."""
    count, total, squares = (np.zeros(_width(features)) for _ in range(3))
    for _, values in _blocks(features):
        known = np.isfinite(values)
        count += known.sum(axis=0)
        total += np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    mean = total / np.maximum(count, 1)
    for _, values in _blocks(features):
        squares += (np.where(np.isfinite(values), values - mean, 0) ** 2).sum(axis=0)
    return mean, np.sqrt(squares / np.maximum(count, 1))


def _key(row: Array) -> bytes:
    """What equal rows of numbers have in common; short, since all rows' are held."""
    whole = row.tobytes()
    return whole if len(whole) <= _KEY_BYTES else blake2b(whole, digest_size=32).digest()


def _is_text(values: Array) -> bool:
    return holds_text(values) if is_ragged(values) else values.dtype.kind in "OSU"


def _rows(features: Sequence[Some]) -> Array:
    """Numbers side by side, a row an example."""
    flat = [feature[:].reshape(len(feature), prod(feature.shape[1:])) for feature in features]
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)


def _cells(features: Sequence[Array]) -> list[list[Any]]:
    """Of each row the texts of all features, those of a ragged one token by token."""
    found = [
        [leaves(row) for row in feature]
        if is_ragged(feature)
        else feature.reshape(len(feature), prod(feature.shape[1:])).tolist()
        for feature in features
    ]
    return [[cell for part in row for cell in part] for row in zip(*found, strict=True)]


def _comparable(values: Array) -> NDArray[np.float64]:
    """Numbers of which equal ones have equal bytes: one NaN, and -0.0 is 0.0."""
    wide = np.asarray(values, np.float64)
    return np.where(np.isnan(wide), np.nan, wide + 0.0)


def _form_and_bits(row: Array) -> Hashable:
    """What equal rows of ragged numbers have in common: their lengths, and the bytes of their numbers."""
    if is_ragged(row):
        return tuple(map(_form_and_bits, row))
    return row.shape, _comparable(row).tobytes()


def _canonical(row: Sequence[Any]) -> "str | tuple[Any, ...]":
    if any(map(is_binary, row)):
        return tuple(row)
    parts = (part.decode("utf-8", "backslashreplace") if isinstance(part, bytes) else part for part in row)
    return " ".join(unicodedata.normalize("NFKC", " ".join(parts)).casefold().split())


def _runs(text: "str | tuple[Any, ...]") -> set[Run]:
    words = re.findall(r"\w+", text) if isinstance(text, str) else []
    return set(zip(*(words[i:] for i in range(min(_WORDS, len(words)))), strict=False))
