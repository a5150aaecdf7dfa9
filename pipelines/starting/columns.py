"""What columns of a table are, and features of records that hold as little: label, numbers, words, or neither."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from piecehub.errors import DataError
from piecehub.facts.nearest import nearest
from pipelines.starting.looked import Feature

# Names that a label often has; else it is the last column.
_LABELS = ("label", "labels", "class", "target", "y", "category", "species", "outcome")
# More different whole numbers are values, no classes.
_MOST_CLASSES = 50
_FEW_CLASSES = 20
# Whole numbers of which there are fewer each, in the mean, are values.
_LEAST_OF_EACH = 5
_CELL = Sequence[Any]


@dataclass
class Columns:
    """What each column is; what was guessed stands in `notes`.

    Attributes:
        numbers, words: what `columns.json` says of each (docs/start.md).
        text: the column that holds sentences, where it is the only one.
        features: what a record holds of them.
    """

    label: str
    classes: bool
    numbers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    words: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    text: str = ""
    features: list[Feature] = field(default_factory=list[Feature])
    notes: list[str] = field(default_factory=list[str])

    @property
    def taken(self) -> list[str]:
        """The columns that become features."""
        return [self.text] if self.text else [one["name"] for one in (*self.numbers, *self.words)]


def guess_label(names: Sequence[str], told: str, fitting: Sequence[str] = ()) -> str:
    """The column that is the label: as told, or by its name, or the last one of those that are `fitting`, if any are.

    Raises:
        DataError: if there is no column of the name that was told.
    """
    if told and told not in names:
        other = nearest(told.lower(), [name.lower() for name in names])
        meant = next((f"; did you mean '{name}'?" for name in names if name.lower() == other), ".")
        raise DataError(f"Expected the label among the columns {', '.join(names)}. Received: '{told}'{meant}")
    whole = [name for wanted in _LABELS for name in names if name.strip().lower() == wanted]
    ends = [name for wanted in _LABELS for name in names if name.strip().lower().rpartition("/")[2] == wanted]
    return told or next(iter([*whole, *ends]), (fitting or names)[-1])


def is_class(values: _CELL) -> bool:
    """Whether a label is a class: a text, or one of few whole numbers."""
    numbers = as_numbers(values)
    if numbers is None:
        return True
    distinct = np.unique(numbers[np.isfinite(numbers)])
    whole = bool(np.all(distinct == np.round(distinct)))
    few = _MOST_CLASSES if len(values) >= 20 * len(distinct) else _FEW_CLASSES
    return whole and len(distinct) <= min(few, len(values) / _LEAST_OF_EACH)


def as_numbers(values: _CELL) -> np.ndarray | None:
    """The values as numbers `[rows] float64`, NaN where one is missing (None); None if some is no number."""
    known = {"true": 1.0, "false": 0.0}
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value is None:
            continue
        try:
            text = value.strip().lower() if isinstance(value, str) else value
            found[row] = known[text] if isinstance(text, str) and text in known else float(text)
        except (TypeError, ValueError):
            return None
    return found


def look_at_columns(
    table: Mapping[str, _CELL],
    label: str,
    vectors: Mapping[str, np.ndarray] | None = None,
    left_out: Mapping[str, str] | None = None,
) -> Columns:
    """What each column is.

    Args:
        table: values by column, None where one is missing.
        label: the column that is the label.
        vectors: features of several numbers, `[rows, numbers]`, which are in every row.
        left_out: why others, which are in neither, are left out.

    Raises:
        DataError: if the label is no label, or no column is left to learn from.
    """
    present = [value for value in table[label] if value is not None]
    found = Columns(label, is_class(present))
    if not found.classes and _too_large(np.asarray(as_numbers(present))):
        raise DataError(
            f"Expected values that float32 holds in the label '{label}'. Received: larger ones, or infinite; scale "
            "them, or name another by --label."
        )
    found.notes += [f"The column '{name}' is left out: {reason}." for name, reason in (left_out or {}).items()]
    names = _Names()
    texts: list[str] = []
    for name, values in table.items():
        if name == label:
            continue
        known = [value for value in values if value is not None]
        reason = _left_out(name, values, known)
        if reason == "sentences":
            texts.append(name)
        elif reason:
            found.notes.append(f"The column '{name}' is left out: {reason}.")
        else:
            _add(found, names.of(name), name, values, len(known))
            if found.classes and _says_the_label(values, table[label]):
                found.notes.append(
                    f"The column '{name}' says the label in other words: leave it out if it is the answer."
                )
    for name, numbers in (vectors or {}).items():
        feature, size = names.of(name), numbers.shape[1]
        about = {"name": name, "feature": feature, "missing": False, "size": size, **spread_of(numbers)}
        found.numbers.append(about)
        found.features.append(Feature(feature, "FLOAT", size))
    if texts and not found.features:
        found.text = texts.pop(0)
        found.features.append(Feature("text", "BYTES"))
    found.notes += [f"The column '{name}' is left out: it holds sentences, and others do not." for name in texts]
    if not found.features:
        raise DataError(
            f"Expected a column beside the label '{label}' to learn from. Received: none that helps. "
            + " ".join(found.notes)
        )
    return found


def _left_out(name: str, values: _CELL, known: _CELL) -> str:
    """Why a column is no feature; empty if it is one."""
    distinct = len(set(known))
    if not known:
        return "it is empty"
    if distinct == 1 and len(known) == len(values):
        return f"it is {known[0]!r} in every row"
    numbers = as_numbers(values)
    if numbers is not None:
        if _too_large(numbers):
            return "it has infinite values, or such that float32 does not hold"
        differs = distinct == len(values)
        return "it numbers the rows" if differs and (_counts_up(numbers) or _is_key(name)) else ""
    lengths = [len(str(value).split()) for value in known]
    if np.mean(lengths) > 3 and distinct > 0.5 * len(known):
        return "sentences"
    return "nearly every row has another text in it" if distinct > 0.9 * len(known) and len(known) > 20 else ""


def _says_the_label(values: _CELL, labels: _CELL) -> bool:
    """Whether each value stands for one class, and each class has one value."""
    pairs = set(zip(values, labels, strict=True))
    return len({value for value, _ in pairs}) == len({label for _, label in pairs}) == len(pairs)


def _too_large(numbers: np.ndarray) -> bool:
    """Whether some are infinite, or would be as a record holds them."""
    with np.errstate(over="ignore"):
        return bool(np.isinf(numbers.astype(np.float32)).any())


def _counts_up(numbers: np.ndarray) -> bool:
    """Whether numbers, each another, are whole and rise from row to row, with gaps where rows were taken away."""
    steps = np.diff(numbers)
    whole = bool(np.all(numbers == np.round(numbers)) and np.all(steps >= 1))
    return whole and 2 < len(numbers) <= numbers[-1] - numbers[0] + 1 <= 2 * len(numbers)


def _is_key(name: str) -> bool:
    """Whether a column is called like a key; `Unnamed: 0` is what pandas calls the index that it wrote."""
    return bool(re.search(r"(^|[_\s])(id|index|uuid|key|unnamed: 0)$", name.strip().lower()))


def _add(found: Columns, feature: str, name: str, values: _CELL, count: int) -> None:
    there = count / len(values)
    numbers = as_numbers(values)
    if numbers is None:
        found.words.append({"name": name, "feature": feature})
        found.notes += _numbers_among(name, values)
        found.features.append(Feature(feature, "BYTES", there=there))
    else:
        about = {"name": name, "feature": feature, "missing": there < 1, "size": 1, **spread_of(numbers)}
        found.numbers.append(about)
        found.features.append(Feature(feature, "FLOAT", there=there))


def _numbers_among(name: str, values: _CELL) -> list[str]:
    """A note on a column of words that are mostly numbers."""
    known = [value for value in values if value is not None]
    odd = [value for value in known if as_numbers([value]) is None]
    if 2 * len(odd) > len(known):
        return []
    return [
        f"The column '{name}' is taken as words, for {odd[0]!r} among its numbers is none: if that means missing, "
        "leave the cell empty."
    ]


def spread_of(numbers: np.ndarray) -> dict[str, float]:
    """Mean and spread of numbers, without those that are missing; a spread of 0 counts as 1."""
    known = numbers[np.isfinite(numbers)]
    spread = float(np.std(known))
    return {"mean": _rounded(float(np.mean(known))), "spread": _rounded(spread) if spread > 0 else 1.0}


def _rounded(number: float) -> float:
    return float(f"{number:.5g}")


class _Names:
    """Names of features, which are letters, digits and underscores, each once."""

    def __init__(self) -> None:
        self._given = Counter({"label": 1, "text": 1, "numbers": 1, "words": 1})

    def of(self, column: str) -> str:
        name = re.sub(r"\W+", "_", column.strip(), flags=re.ASCII).strip("_").lower() or "column"
        self._given[name] += 1
        return name if self._given[name] == 1 else self.of(f"{name}_{self._given[name]}")
