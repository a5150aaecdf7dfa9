"""Downstream tasks: a labelled pool to draw few shots from, and a test part that is only scored.

    pool   ├ shots of seed s │ unused: validation of seed s ┤
    test   ├ the same examples for every seed ┤

Shots are stratified and nested: per seed one permutation of each class, of which n shots are the first n. The same
construction is used by big_vision's few-shot evaluator. Validation is the pool without the *largest* shots, so that all
shot counts of a seed choose their setting on the same examples.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from piecehub.content import canonical_json
from piecehub.errors import DataError

Metric = Literal["accuracy"]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Task:
    """A classification task with arrays in memory; make it with `from_arrays`.

    Attributes:
        name: how pages and sentences call it.
        metric: what is compared.
        classes: the original labels as text; label i is `classes[i]`.
        pool_x, test_x: `[examples, …]` features, as the piece takes them; for a piece that takes a dict, `[examples]`
            with a named field for each (NumPy's structured arrays), so that rows stay rows.
        pool_y, test_y: `[examples] int64` labels from 0 to n - 1.
    """

    name: str
    metric: Metric
    classes: tuple[str, ...]
    pool_x: NDArray[np.generic]
    pool_y: NDArray[np.int64]
    test_x: NDArray[np.generic]
    test_y: NDArray[np.int64]

    @classmethod
    def from_arrays(
        cls,
        name: str,
        pool_x: ArrayLike,
        pool_y: ArrayLike,
        test_x: ArrayLike,
        test_y: ArrayLike,
        metric: Metric = "accuracy",
    ) -> Self:
        """A task whose labels are numbered in the order of the pool's sorted classes.

        Raises:
            DataError: if a split is empty, rows and labels differ in number, the pool has one class only, or the
                test part has a class that the pool lacks.
        """
        pool_rows, test_rows = _rows(pool_x), _rows(test_x)
        pool_labels, test_labels = np.asarray(pool_y), np.asarray(test_y)
        _check_split(name, "pool", pool_rows, pool_labels)
        _check_split(name, "test", test_rows, test_labels)
        classes, numbered = np.unique(pool_labels, return_inverse=True)
        if len(classes) < 2:
            raise DataError(f"Expected at least 2 classes in the pool of '{name}'. Received: only '{classes[0]}'.")
        unknown = np.setdiff1d(test_labels, classes)
        if unknown.size:
            raise DataError(
                f"Expected test labels of '{name}' that the pool has too. Received: '{unknown[0]}'; no example of it "
                "can be drawn, so add some to the pool or take it out of the test split."
            )
        text = tuple(c.decode("utf-8", "replace") if isinstance(c, bytes) else str(c) for c in classes)
        test_numbered = np.searchsorted(classes, test_labels).astype(np.int64)
        return cls(name, metric, text, pool_rows, numbered.astype(np.int64).reshape(-1), test_rows, test_numbered)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @cached_property
    def digest(self) -> str:
        """`sha256:<hex>` of everything that a trial can see; the name is not part of it."""
        digest = hashlib.sha256(canonical_json([self.metric, list(self.classes)]))
        for array in (self.pool_x, self.pool_y, self.test_x, self.test_y):
            kind = array.dtype.str if array.dtype.names is None else array.dtype.descr
            digest.update(canonical_json([kind, list(array.shape)]))
            digest.update(np.ascontiguousarray(array).tobytes())
        return f"sha256:{digest.hexdigest()}"

    def write(self, path: Path) -> None:
        """Writes the task as one `.npz` file."""
        arrays = {"pool_x": self.pool_x, "pool_y": self.pool_y, "test_x": self.test_x, "test_y": self.test_y}
        classes = np.array([c.encode() for c in self.classes])
        with path.open("wb") as file:
            np.savez(file, name=np.array(self.name), metric=np.array(self.metric), classes=classes, **arrays)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `write` wrote."""
        with np.load(path, allow_pickle=False) as file:
            classes = tuple(c.decode() for c in file["classes"].tolist())
            arrays = (file["pool_x"], file["pool_y"], file["test_x"], file["test_y"])
            return cls(str(file["name"]), "accuracy", classes, *arrays)


def task_from_features(
    name: str,
    label: str,
    pool: Mapping[str, ArrayLike],
    test: Mapping[str, ArrayLike],
    input_names: Sequence[str] = (),
) -> Task:
    """A task from decoded examples: the feature `label` is the label, the one other feature the piece's input.

    For a piece that takes a dict, `input_names` are its keys, and there may be other features beside them.

    Raises:
        DataError: if there is no such label, a key without a feature, or, without keys, not exactly one other feature.
    """
    if input_names:
        return _task_of_dicts(name, label, pool, test, input_names)
    inputs = [key for key in pool if key != label]
    if label not in pool or len(inputs) != 1 or set(pool) != set(test):
        raise DataError(
            f"Expected examples of '{name}' with the label '{label}' and one other feature, in pool and test. "
            f"Received: {sorted(pool)} and {sorted(test)}; mend the task's label or its schema."
        )
    (key,) = inputs
    return Task.from_arrays(name, pool[key], _column(pool[label]), test[key], _column(test[label]))


def _task_of_dicts(
    name: str, label: str, pool: Mapping[str, ArrayLike], test: Mapping[str, ArrayLike], input_names: Sequence[str]
) -> Task:
    missing = [key for key in (*input_names, label) if key not in pool or key not in test]
    if missing:
        raise DataError(
            f"Expected a feature of '{name}' for each input of the piece, and the label. Received: no '{missing[0]}' "
            f"in {sorted(pool)} and {sorted(test)}; name features like inputs."
        )
    rows = [_records({key: _rows(split[key]) for key in input_names}) for split in (pool, test)]
    return Task.from_arrays(name, rows[0], _column(pool[label]), rows[1], _column(test[label]))


def check_shots(task: Task, largest: int) -> None:
    """Raises DataError unless each class has more than `largest` examples in the pool: the rest is validation."""
    counts = np.bincount(task.pool_y, minlength=task.num_classes)
    scarce = int(np.argmin(counts))
    if counts[scarce] <= largest:
        raise DataError(
            f"Expected more than {largest} pool examples of each class of '{task.name}' ({largest} shots, and some "
            f"for validation). Received: {counts[scarce]} of class '{task.classes[scarce]}'; lower the shots or add "
            "examples."
        )


def draw_shots(task: Task, shots: int, seed: int) -> Indices:
    """The pool's indices of `shots` examples per class, `[classes * shots]`, class by class."""
    return np.concatenate([order[:shots] for order in _class_orders(task, seed)])


def draw_validation(task: Task, largest: int, seed: int) -> Indices:
    """The pool's indices that no shot count up to `largest` uses, ascending."""
    return np.sort(np.concatenate([order[largest:] for order in _class_orders(task, seed)]))


def _class_orders(task: Task, seed: int) -> list[Indices]:
    """One permutation of each class; a class's order does not depend on the other classes."""
    labels = range(task.num_classes)
    return [np.random.default_rng([seed, c]).permutation(np.flatnonzero(task.pool_y == c)) for c in labels]


def _column(labels: ArrayLike) -> NDArray[np.generic]:
    """Labels `[examples]` of a feature that may be stored as `[examples, 1]`."""
    array = np.asarray(labels)
    return array.reshape(len(array)) if array.shape == (len(array), 1) else array


def _rows(values: ArrayLike) -> NDArray[np.generic]:
    """`values` as an array that TensorFlow takes; text becomes UTF-8 bytes."""
    array = np.asarray(values)
    if array.dtype.kind in "OU":
        encoded = [v if isinstance(v, bytes) else str(v).encode() for v in array.ravel().tolist()]
        return np.array(encoded).reshape(array.shape)
    return array


def _records(arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.generic]:
    """Arrays `[examples, …]` as one `[examples]` with a field for each."""
    fields = [(key, array.dtype, array.shape[1:]) for key, array in sorted(arrays.items())]
    records = np.empty(len(next(iter(arrays.values()))), np.dtype(fields))
    for key, array in arrays.items():
        records[key] = array
    return records


def _check_split(name: str, split: str, rows: NDArray[np.generic], labels: NDArray[np.generic]) -> None:
    if len(rows) == 0:
        raise DataError(f"Expected examples in the {split} split of '{name}'. Received: none; check its input folder.")
    if labels.shape != (len(rows),):
        raise DataError(f"Expected one label for each of {len(rows)} {split} examples. Received: shape {labels.shape}.")
