"""Downstream tasks: a labelled pool to draw few shots from, and a test part that is only scored.

    pool   ├ shots of seed s │ unused: validation of seed s ┤
    test   ├ the same examples for every seed ┤

Of a classification task shots are per class, stratified and nested: per seed one permutation of each class, of which n
shots are the first n. The same construction is used by big_vision's few-shot evaluator. Of other kinds they are
examples in all, the first n of one permutation. Validation is the pool without the *largest* shots, so that all shot
counts of a seed choose their setting on the same examples.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from piecehub.errors import DataError
from piecehub.facts.content import canonical_json
from piecehub.transfer import packing
from piecehub.transfer.kinds import METRICS, Kind
from piecehub.transfer.labels import read_labels
from piecehub.transfer.packing import Mapped, MappedFields, Some, digested
from piecehub.transfer.ragged import flattened, is_ragged, stacked, unflattened
from piecehub.transfer.slices import slice_values
from piecehub.transfer.texts import as_records, exact_array, text_rows

Indices = NDArray[np.int64]
_ABOUT = "task.json"
_PORTABLE = ".portable.json"


@dataclass(frozen=True, eq=False)
class Task:
    """A downstream task with rows in memory, or mapped (packing.py); make it with `from_arrays`.

    Attributes:
        name: how pages and sentences call it.
        kind: of the labels, which decides head, loss and metric (see `kinds`).
        classes: of a classification the original labels as text, label i is `classes[i]`; of several labels their
            numbers; empty of a regression.
        pool_x, test_x: `[examples, …]` features; of a ragged one `[examples]` arrays (ragged.py); for a piece that
            takes a dict, `[examples]` with a named field for each (NumPy's structured arrays), so that rows stay rows.
            Of mapped ones what is picked or sliced is such an array.
        pool_y, test_y: `[examples] int64` from 0 to n - 1; `[examples, labels] int64` of 0 and 1; or `[examples]
            float64`.
        slices: by feature, the values of the test part by which it is looked at, `[examples]`; no trial sees them.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...]
    pool_x: Some
    pool_y: NDArray[Any]
    test_x: Some
    test_y: NDArray[Any]
    slices: Mapping[str, NDArray[np.str_]] = field(default_factory=dict[str, NDArray[np.str_]])

    @classmethod
    def from_arrays(
        cls,
        name: str,
        pool_x: ArrayLike | Mapped,
        pool_y: ArrayLike,
        test_x: ArrayLike | Mapped,
        test_y: ArrayLike,
        kind: Kind = "classification",
    ) -> Self:
        """A task of any kind; the labels of a classification are numbered in the order of the pool's sorted classes.

        Raises:
            DataError: if a split is empty, rows and labels differ in number, the pool has one class or one value only,
                the test part has a class that the pool lacks, or labels are not of the kind.
        """
        rows, labels = (_rows(pool_x), _rows(test_x)), (exact_array(pool_y), exact_array(test_y))
        for split, x, y in zip(("pool", "test"), rows, labels, strict=True):
            _check_split(name, split, x, y, kind)
        classes, pool_labels, test_labels = read_labels(name, kind, *labels)
        return cls(name, kind, classes, rows[0], pool_labels, rows[1], test_labels)

    @property
    def metric(self) -> str:
        """What is compared."""
        return METRICS[self.kind]

    @property
    def outputs(self) -> int:
        """The width of the head: a logit for each class or label, or one value."""
        return len(self.classes) or 1

    @cached_property
    def digest(self) -> str:
        """`sha256:<hex>` of everything that a trial can see; the name is not part of it."""
        digest = hashlib.sha256(canonical_json([self.metric, list(self.classes)]))
        for array in (self.pool_x, self.pool_y, self.test_x, self.test_y):
            for part in digested(array):
                digest.update(part)
        return f"sha256:{digest.hexdigest()}"

    def write(self, folder: Path) -> None:
        """Writes the task into a folder, as files that others map (packing.py); mapped rows stay where they are."""
        folder.mkdir(parents=True, exist_ok=True)
        parts = {"pool_x": self.pool_x, "pool_y": self.pool_y, "test_x": self.test_x, "test_y": self.test_y}
        forms = {name: packing.write(rows, folder.resolve(), name) for name, rows in parts.items()}
        about = {"name": self.name, "kind": self.kind, "classes": self.classes, "forms": forms}
        (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The task that `write` wrote, with mapped rows: what several processes read of it is in memory once."""
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        forms = {name: packing.moved(form, lambda path: str(folder / path)) for name, form in about["forms"].items()}
        pool_x, pool_y, test_x, test_y = (
            packing.mapped(forms[name]) for name in ("pool_x", "pool_y", "test_x", "test_y")
        )
        return cls(about["name"], about["kind"], tuple(about["classes"]), pool_x, pool_y[:], test_x, test_y[:])


def portable(folder: Path) -> dict[str, Path]:
    """The files of a task that was written into a folder, by the names with which `Task.read` reads them anywhere.

    Mapped rows are among them, which lie in other folders. Equal tasks have equal files under equal names.
    """
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    found: dict[str, Path] = {}
    for name, form in sorted(about["forms"].items()):
        numbers = iter(range(len(packing.files(form))))
        about["forms"][name] = packing.moved(form, lambda _, name=name, numbers=numbers: f"{name}.{next(numbers)}")
        pairs = zip(packing.files(about["forms"][name]), packing.files(form), strict=True)
        found |= {str(there): here for there, here in pairs}
    (folder / _PORTABLE).write_text(json.dumps(about), encoding="utf-8")
    return found | {_ABOUT: folder / _PORTABLE}


def task_from_features(
    name: str,
    label: str,
    pool: Mapping[str, ArrayLike | Mapped],
    test: Mapping[str, ArrayLike | Mapped],
    input_names: Sequence[str] = (),
    kind: Kind = "classification",
    slices: Sequence[str] = (),
) -> Task:
    """A task from decoded examples: the feature `label` is the label, the one other feature the piece's input.

    For a piece that takes a dict, `input_names` are its keys, and there may be other features beside them. So there may
    be those of `slices`, by which the test part is looked at.

    Raises:
        DataError: if there is no such label, a key without a feature, or, without keys, not exactly one other feature.
    """
    if slices:
        own = [_without(slices, label, input_names, split) for split in (pool, test)]
        task = task_from_features(name, label, *own, input_names=input_names, kind=kind)
        return replace(task, slices=slice_values(name, test, slices))
    if input_names:
        return _task_of_dicts(name, label, pool, test, input_names, kind)
    inputs = [key for key in pool if key != label]
    if label not in pool or len(inputs) != 1 or set(pool) != set(test):
        raise DataError(
            f"Expected examples of '{name}' with the label '{label}' and one other feature, in pool and test. "
            f"Received: {sorted(pool)} and {sorted(test)}; mend the task's label or its schema."
        )
    (key,) = inputs
    return Task.from_arrays(name, pool[key], _column(pool[label]), test[key], _column(test[label]), kind)


def _without(
    slices: Sequence[str], label: str, input_names: Sequence[str], split: Mapping[str, ArrayLike | Mapped]
) -> dict[str, ArrayLike | Mapped]:
    """The features but for slices that are neither label nor input; the only feature beside the label is the input."""
    others = {key for key in split if key != label and key not in slices}
    needed = {label, *(input_names if input_names or others else slices)}
    return {key: rows for key, rows in split.items() if key in needed or key not in slices}


def _task_of_dicts(
    name: str,
    label: str,
    pool: Mapping[str, ArrayLike | Mapped],
    test: Mapping[str, ArrayLike | Mapped],
    input_names: Sequence[str],
    kind: Kind,
) -> Task:
    missing = [key for key in (*input_names, label) if key not in pool or key not in test]
    if missing:
        raise DataError(
            f"Expected a feature of '{name}' for each input of the piece, and the label. Received: no '{missing[0]}' "
            f"in {sorted(pool)} and {sorted(test)}; name features like inputs."
        )
    rows = [_records({key: _rows(split[key]) for key in input_names}) for split in (pool, test)]
    return Task.from_arrays(name, rows[0], _column(pool[label]), rows[1], _column(test[label]), kind)


def check_shots(task: Task, largest: int) -> None:
    """Raises DataError unless the pool has more than `largest` examples, of each class if it is a classification.

    The rest is for validation.
    """
    if task.kind != "classification":
        if len(task.pool_y) <= largest:
            raise DataError(
                f"Expected more than {largest} pool examples of '{task.name}' ({largest} shots, and some for "
                f"validation). Received: {len(task.pool_y)}; lower the shots or add examples."
            )
        return
    counts = np.bincount(task.pool_y, minlength=task.outputs)
    scarce = int(np.argmin(counts))
    if counts[scarce] <= largest:
        raise DataError(
            f"Expected more than {largest} pool examples of each class of '{task.name}' ({largest} shots, and some "
            f"for validation). Received: {counts[scarce]} of class '{task.classes[scarce]}'; lower the shots or add "
            "examples."
        )


def draw_shots(task: Task, shots: int, seed: int) -> Indices:
    """The pool's indices of `shots` examples per class, `[classes * shots]`, class by class; else `[shots]`."""
    return np.concatenate([order[:shots] for order in _orders(task, seed)])


def draw_validation(task: Task, largest: int, seed: int) -> Indices:
    """The pool's indices that no shot count up to `largest` uses, ascending."""
    return np.sort(np.concatenate([order[largest:] for order in _orders(task, seed)]))


def _orders(task: Task, seed: int) -> list[Indices]:
    """One permutation of each class; a class's order does not depend on the other classes. Else one of the pool."""
    if task.kind != "classification":
        return [np.random.default_rng([seed, 0]).permutation(len(task.pool_y))]
    labels = range(task.outputs)
    return [np.random.default_rng([seed, c]).permutation(np.flatnonzero(task.pool_y == c)) for c in labels]


def _column(labels: ArrayLike | Mapped) -> NDArray[np.generic]:
    """Labels `[examples]` of a feature that may be stored as `[examples, 1]`."""
    array = labels[:] if isinstance(labels, Mapped) else exact_array(labels)
    if is_ragged(array):
        even = stacked(array)
        if even is None:
            raise DataError("Expected as many labels in each example. Received: different counts; mend the label.")
        array = even
    return array.reshape(len(array)) if array.shape == (len(array), 1) else array


def _records(columns: dict[str, Some]) -> Some:
    """Columns as rows with named fields, mapped if all are."""
    mapped = {key: column for key, column in columns.items() if isinstance(column, Mapped)}
    if len(mapped) == len(columns):
        return MappedFields(mapped)
    return as_records({key: column[:] for key, column in columns.items()})


def _rows(values: ArrayLike | Mapped) -> Some:
    """`values` as an array of numbers or UTF-8 bytes, `[examples, …]`; ragged ones stay `[examples]` arrays.

    Mapped ones stay what they are, since bytes are written as bytes.
    """
    return values if isinstance(values, Mapped) else _array(values)


def _array(values: ArrayLike) -> NDArray[np.generic]:
    array = exact_array(values)
    if is_ragged(array):
        flat, splits = flattened(array)
        return unflattened(_array(flat), splits)
    return text_rows(array) if array.dtype.kind in "OU" else array


def _check_split(name: str, split: str, rows: Some, labels: NDArray[Any], kind: Kind) -> None:
    if len(rows) == 0:
        raise DataError(f"Expected examples in the {split} split of '{name}'. Received: none; check its input folder.")
    wanted = 2 if kind == "multi_label" else 1
    if labels.ndim != wanted or len(labels) != len(rows):
        what = "one row of labels" if wanted == 2 else "one label"
        raise DataError(f"Expected {what} for each of {len(rows)} {split} examples. Received: shape {labels.shape}.")
