"""Which downstream examples are like which upstream ones, for each kind of feature; the rule is drawn in `leakage`.

A side holds the downstream values of one kind, and is asked about upstream's a chunk of rows at a time.
"""

import re
import unicodedata
from collections.abc import Hashable, Sequence
from hashlib import sha256
from math import prod
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

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
_OF_BYTES = "of bytes that are no text only equal ones"


def kind_of(values: Array) -> Kind:
    """What a downstream feature is compared as; bytes are those of which at least half are no text."""
    if not _is_text(values):
        return "ragged numbers" if is_ragged(values) else "numbers"
    found = [is_binary(value) for row in _cells([values]) for value in row if value]
    return "bytes" if found and 2 * sum(found) >= len(found) else "text"


def form_of(values: Array) -> tuple[int, ...] | str:
    """What an upstream feature must have in common with a downstream one to be compared with it."""
    if _is_text(values):
        return "text"
    return "ragged numbers" if is_ragged(values) else values.shape[1:]


def tells_apart(kind: Kind, features: Sequence[Array]) -> bool:
    """Whether features of one kind, side by side, tell examples apart: no category, nor fewer than four numbers."""
    side = SIDES[kind]
    keys = side.keys(features)
    return side.says_enough(features) and 2 * len(set(keys)) >= len(keys)


class Side(Protocol):
    """The downstream rows of features of one kind."""

    rule: str

    def __init__(self, features: Sequence[Array]) -> None: ...

    def pairs(self, upstream: Sequence[Array]) -> Pairs:
        """Which of them are like which of these upstream rows."""
        ...

    @staticmethod
    def keys(features: Sequence[Array]) -> list[Any]:
        """Of each row what equal rows have in common."""
        ...

    @staticmethod
    def says_enough(features: Sequence[Array]) -> bool:
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

    def __init__(self, features: Sequence[Array]) -> None:
        values = _rows(features)
        self._known = _Known(self.keys(features))
        finite: Any = np.ma.masked_invalid(values.astype(np.float64))
        self._center, deviation = (np.ma.filled(part, 0.0) for part in (finite.mean(axis=0), finite.std(axis=0)))
        # What hardly varies, such as the margin of images, must not drown the rest once it is scaled.
        varying = deviation[deviation > 0]
        self._scale = np.maximum(deviation, 0.1 * np.median(varying)) if varying.size else np.ones_like(deviation)
        self._here = self._scaled(values)
        self._apart = self._typical_distance()

    def pairs(self, upstream: Sequence[Array]) -> Pairs:
        from sklearn.metrics.pairwise import euclidean_distances

        distance = euclidean_distances(self._here, self._scaled(_rows(upstream)))
        rows, columns = np.nonzero(distance < _NEAR_SHARE * self._apart)
        return self._known.pairs(self.keys(upstream), rows, columns, 1 - distance[rows, columns] / self._apart)

    @staticmethod
    def keys(features: Sequence[Array]) -> list[Any]:
        # A row at a time: pictures are large, and all of them in float64 would be the largest thing in memory.
        return [sha256(_comparable(row).tobytes()).digest() for row in _rows(features)]

    @staticmethod
    def says_enough(features: Sequence[Array]) -> bool:
        return sum(prod(feature.shape[1:]) for feature in features) >= _LEAST_VALUES

    def _scaled(self, values: Array) -> NDArray[np.float64]:
        """In downstream's units around its mean, where missing values are put."""
        wide = values.astype(np.float64)
        wide -= self._center
        wide /= self._scale
        return np.nan_to_num(wide, copy=False, nan=0, posinf=0, neginf=0)

    def _typical_distance(self) -> float:
        """The median distance of nearest neighbours; 0 where only equality can count."""
        from sklearn.neighbors import NearestNeighbors

        distinct = self._here[self._known.first]
        if len(distinct) < 2 or distinct.shape[1] < _LEAST_VALUES:
            return 0.0
        some = distinct[:: max(1, len(distinct) // _NEIGHBOURS_OF)]
        # The nearest of an example is itself, the next one its neighbour.
        return float(np.median(NearestNeighbors(n_neighbors=2).fit(distinct).kneighbors(some)[0][:, 1]))


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


def _is_text(values: Array) -> bool:
    return holds_text(values) if is_ragged(values) else values.dtype.kind in "OSU"


def _rows(features: Sequence[Array]) -> Array:
    """Numbers side by side, a row an example."""
    flat = [feature.reshape(len(feature), prod(feature.shape[1:])) for feature in features]
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
