"""Leakage: examples of a downstream task that upstream training has seen, exactly or nearly.

What is compared is the content of the decoded features, never the bytes of a record. Labels do not count.

    text        exact: equal after NFKC, case folding and folding of white space
                near:  at least half of all runs of five words are common (Jaccard index; shorter texts are one run)
    numbers     exact: equal values
                near:  nearer to an upstream example than a twentieth of what downstream examples are apart from
                       their own nearest neighbours (median), features scaled by their deviation

The distance of nearest neighbours follows the dimension and density of the data, so the rule has no unit. Of n
examples in d dimensions about n_upstream / n_downstream * 0.05^d are as near by chance: 0.006 % in four dimensions
where upstream is ten times larger. With fewer than four values a row only equality counts.
"""

import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from piecehub.errors import DataError

Features = Mapping[str, NDArray[Any]]
# Of each downstream row: the upstream row that is most like it (-1 for none), and how much, 1 for equal.
Matches = tuple[NDArray[np.int64], NDArray[np.float64]]

_WORDS, _LEAST_JACCARD = 5, 0.5
_NEAR_SHARE, _LEAST_VALUES = 0.05, 4
_SAMPLES, _BLOCK = 5, 500
_RULES = {
    "text": "half of all runs of five words in common",
    "numbers": "a twentieth of the distance between nearest neighbours",
}


@dataclass(frozen=True)
class Leakage:
    """How many downstream examples upstream has seen.

    Attributes:
        examples: downstream examples that were looked at, pool and test.
        exact: how many of them equal an upstream example.
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
    """Compares decoded features by name, `[examples, …]` each, without those of `label_names`.

    Features of one name are compared as whole rows where upstream has every downstream feature; else each downstream
    feature with each upstream feature of its kind (text; or numbers of the same shape).
    """
    sides = [{k: v for k, v in side.items() if k not in label_names} for side in (upstream, pool, test)]
    above, downs = sides[0], {key: np.concatenate([sides[1][key], sides[2][key]]) for key in sides[1]}
    count, splits = len(next(iter(downs.values()), ())), len(next(iter(sides[1].values()), ()))
    above_count = len(next(iter(above.values()), ()))
    pairs = list(_pairs(above, downs))
    if not pairs:
        return Leakage(count, 0, 0, above_count, "not comparable: no feature of a common kind and shape", ())
    found = [_text_matches(a, b) if kind == "text" else _number_matches(a, b) for kind, a, b in pairs]
    best = np.argmax([alike for _, alike in found], axis=0)
    row = np.arange(count)
    nearest, alike = (np.stack(part)[best, row] for part in zip(*found, strict=True))
    exact, near = alike >= 1, (alike > 0) & (alike < 1)
    rule = "; ".join(_RULES[kind] for kind in dict.fromkeys(kind for kind, _, _ in pairs))
    samples = tuple(
        f"{_place(int(i), splits)} ~ upstream {nearest[i]} ({alike[i]:.2f})"
        for i in [*np.flatnonzero(exact), *np.flatnonzero(near)][:_SAMPLES]
    )
    return Leakage(count, int(exact.sum()), int(near.sum()), above_count, rule, samples)


def refuse_leakage(found: Leakage, task: str, limit: float) -> None:
    """Raises DataError if a larger share than `limit` of the task's examples was seen upstream."""
    if found.rate > limit:
        raise DataError(
            f"Expected at most {limit:.2%} of the examples of '{task}' to equal upstream examples, or nearly so. "
            f"Received: {found.exact} equal and {found.near} near of {found.examples} ({found.rate:.2%}), such as "
            f"{found.samples[0]}; take them out of one side, or raise evaluation.max_leakage."
        )


def _place(row: int, pool_examples: int) -> str:
    return f"pool {row}" if row < pool_examples else f"test {row - pool_examples}"


def _is_text(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "OSU"


def _pairs(upstream: Features, downstream: Features) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """What is compared: the kind, upstream's values and downstream's, a row an example."""
    if downstream and all(key in upstream and _alike(upstream[key], downstream[key]) for key in downstream):
        texts = [key for key in downstream if _is_text(downstream[key])]
        numbers = [key for key in downstream if key not in texts]
        if not texts or not numbers:
            joined = [
                np.concatenate([_flat(side[key]) for key in downstream], axis=1) for side in (upstream, downstream)
            ]
            yield ("text" if texts else "numbers"), joined[0], joined[1]
            return
    for values in downstream.values():
        for other in upstream.values():
            if _alike(other, values):
                yield ("text" if _is_text(values) else "numbers"), _flat(other), _flat(values)


def _alike(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return _is_text(one) == _is_text(other) and (_is_text(one) or one.shape[1:] == other.shape[1:])


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(len(values), -1)


def _number_matches(upstream: NDArray[Any], downstream: NDArray[Any]) -> Matches:
    known = {row.tobytes(): index for index, row in enumerate(_comparable(upstream))}
    equal = np.array([known.get(row.tobytes(), -1) for row in _comparable(downstream)], np.int64)
    nearest, alike = equal, (equal >= 0).astype(np.float64)
    if downstream.shape[1] < _LEAST_VALUES or len(downstream) < 2:
        return nearest, alike
    scaled, (there, here) = _scaled(upstream, downstream)
    # The nearest of a downstream example is itself, the next one its neighbour.
    apart = float(np.median(_neighbours(scaled, scaled, 2)[0][:, 1]))
    distance, index = (part[:, 0] for part in _neighbours(there, here, 1))
    near = (equal < 0) & (distance < _NEAR_SHARE * apart)
    # Between 0 and 1, also for what lies at distance 0 but for rounding.
    likeness = np.clip(1 - distance / apart, 0.01, 0.99) if apart else np.zeros(len(here))
    return np.where(near, index, nearest), np.where(near, likeness, alike)


def _comparable(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.ascontiguousarray(values, dtype=np.float64) + 0.0  # -0.0 is 0.0


def _scaled(upstream: NDArray[Any], downstream: NDArray[Any]) -> tuple[NDArray[Any], tuple[NDArray[Any], NDArray[Any]]]:
    """Downstream without its repeated rows, and both sides, in units of downstream's deviations."""
    deviation = downstream.astype(np.float64).std(axis=0)
    # What hardly varies, such as the margin of images, must not drown the rest once it is scaled.
    varying = deviation[deviation > 0]
    scale = np.maximum(deviation, 0.1 * np.median(varying)) if varying.size else np.ones_like(deviation)
    there, here = (values.astype(np.float64) / scale for values in (upstream, downstream))
    return np.unique(here, axis=0), (there, here)


def _neighbours(among: NDArray[Any], of: NDArray[Any], count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.neighbors import NearestNeighbors

    count = min(count, len(among))
    distance, index = NearestNeighbors(n_neighbors=count).fit(among).kneighbors(of)
    return distance, index


def _text_matches(upstream: NDArray[Any], downstream: NDArray[Any]) -> Matches:
    above, below = ([_canonical(row) for row in side.tolist()] for side in (upstream, downstream))
    known = {text: index for index, text in enumerate(above)}
    nearest = np.array([known.get(text, -1) for text in below], np.int64)
    alike = (nearest >= 0).astype(np.float64)
    theirs, ours = _runs(above), _runs(below)
    for start in range(0, len(below), _BLOCK):
        rows, columns, jaccard = _jaccard(ours[start : start + _BLOCK], theirs)
        for row, column, value in zip(rows + start, columns, jaccard, strict=True):
            if value >= _LEAST_JACCARD and value > alike[row]:
                nearest[row], alike[row] = column, min(value, 0.99)  # equal runs are not an equal text
    return nearest, alike


def _canonical(row: Sequence["bytes | str"]) -> str:
    text = " ".join(part.decode("utf-8", "replace") if isinstance(part, bytes) else part for part in row)
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _words_in_runs(text: str) -> list[str]:
    words = text.split()
    length = min(_WORDS, len(words))
    return [" ".join(words[i : i + length]) for i in range(len(words) - length + 1)] if words else []


def _runs(texts: Sequence[str]) -> Any:
    """Which runs of words each text has, a sparse `[texts, 2^22]` of 0 and 1."""
    from sklearn.feature_extraction.text import HashingVectorizer

    # scikit-learn's own annotations are narrower than its documentation.
    settings: dict[str, Any] = {"analyzer": _words_in_runs, "norm": None, "dtype": np.float32}
    runs: Any = HashingVectorizer(n_features=2**22, binary=True, alternate_sign=False, **settings).transform(texts)
    return runs.tocsr()


def _jaccard(ours: Any, theirs: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Rows, columns and Jaccard indices of the pairs that have a run in common."""
    common = (ours @ theirs.T).tocoo()
    sizes = [np.asarray(side.sum(axis=1)).ravel() for side in (ours, theirs)]
    union = sizes[0][common.row] + sizes[1][common.col] - common.data
    return common.row, common.col, common.data / union
