"""Evidence: what was measured on one downstream task. A verdict is made from it by `gate`, cheaply and again and again.

    evidence.json         schema 2: task, protocol, cells, contrasts, … (the fields of `Evidence`)
    predictions.parquet   one row for each mode, shots, seed and test example, of the chosen settings only
    guidance.json         what it says to a consumer (`guidance`)
    *.svg, *.png          plots, and the numbers of the first in preview.json (`plot`)

Equal inputs give equal bytes, so no time of day and no duration is in it. Reading it needs no TensorFlow.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from piecehub.errors import DataError
from piecehub.transfer import devices, statistics
from piecehub.transfer.kinds import Kind
from piecehub.transfer.leakage import Leakage
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.slices import Slice

FACTS = "evidence.json"
PREDICTIONS = "predictions.parquet"
CURVE: Literal["curve"] = "curve"
# (candidate, reference): what pages show and the gate asks for.
CONTRASTS = (
    ("fine_tuning", "from_scratch"),
    ("lp_ft", "from_scratch"),
    ("fine_tuning", "feature_extraction"),
    ("feature_extraction", "random_features"),
    ("fine_tuning", "raw_input"),
)
SCHEMA = 2


@dataclass(frozen=True)
class Cell:
    """The metric of one mode at one number of shots, a share of 1, with its 95 % interval.

    Attributes:
        setting: the chosen hyperparameter, such as `{"learning_rate": 0.001}`.
        per_seed: in the order of the protocol's seeds.
        diverged: how many of the seeds' trainings ended without finite numbers.
    """

    mode: str
    shots: int
    setting: dict[str, float]
    mean: float
    low: float
    high: float
    per_seed: tuple[float, ...]
    diverged: int


@dataclass(frozen=True)
class Contrast:
    """The paired difference of two modes' scores, with its 95 % interval over seeds and examples."""

    candidate: str
    reference: str
    shots: int | Literal["curve"]
    estimate: float
    low: float
    high: float
    p_superior: float
    seeds: int
    examples: int


@dataclass(frozen=True)
class Sensitivity:
    """Fine-tuning with its chosen setting at another batch size, at the largest shots that the gate looks at (G15).

    Attributes:
        mean, low, high: the metric, as of a cell.
        change, change_low, change_high: against the protocol's own batch size, paired.
    """

    batch_size: int
    setting: dict[str, float]
    shots: int
    mean: float
    low: float
    high: float
    change: float
    change_low: float
    change_high: float


@dataclass(frozen=True)
class LearningCurve:
    """The training loss of a mode's chosen setting by step, over the seeds that did not diverge.

    Attributes:
        step: the last of the steps that a point averages.
        mean, low, high: over the seeds; `low` and `high` are the least and the greatest.
    """

    mode: str
    shots: int
    step: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Evidence:
    """What was measured on one task.

    Attributes:
        metric: of the task's kind (`kinds.METRICS`); all numbers are shares of 1.
        trials: how many results it rests on.
        packages: names and versions of what computed.
        folder: where it lies.
        parent: the handle of the piece that this one starts from, whose weights the controls then have (see
            `piecehub/facts/reference.py`); empty where the controls are re-initialised.
        leakage: what upstream and downstream examples have in common; None where upstream is not known.
        overlap: what the test part and the pool have in common; None in evidence of before it was looked for.
        slices: what is gained on groups of the test examples, where the recipe asks for them; else the JSON has none.
        controls: `exact`, or `approximate` where the piece came without the code that initialises it.
        incomplete_because: why trials are missing; cells and contrasts are then empty.
        device: the kind of what computed, "cpu" or "gpu".
    """

    task: str
    kind: Kind
    metric: str
    task_digest: str
    piece_digest: str
    classes: tuple[str, ...]
    protocol: Protocol
    cells: tuple[Cell, ...]
    contrasts: tuple[Contrast, ...]
    sensitivity: tuple[Sensitivity, ...]
    learning: tuple[LearningCurve, ...]
    trials: int
    packages: dict[str, str]
    folder: Path
    parent: str = ""
    leakage: Leakage | None = None
    controls: Literal["exact", "approximate"] = "exact"
    incomplete_because: str = ""
    overlap: Leakage | None = None
    device: devices.Kind = "cpu"
    slices: tuple[Slice, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads `evidence.json`; the predictions are read when they are asked for.

        Raises:
            DataError: if there is none, or it is of another schema.
        """
        try:
            value = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError) as error:
            raise DataError(f"Expected '{FACTS}' in '{folder}'. Received: {error}; evaluate again.") from error
        if value.pop("schema", None) != SCHEMA:
            raise DataError(f"Expected evidence of schema {SCHEMA} in '{folder}'. Received: another; evaluate again.")
        return cls(**{key: _READ.get(key, _as_it_is)(item) for key, item in value.items()}, folder=folder)

    def to_json(self) -> str:
        """The text of `evidence.json`."""
        value = {"schema": SCHEMA, **asdict(self)}
        del value["folder"]
        if not self.slices:
            del value["slices"]
        return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    @property
    def complete(self) -> bool:
        """Whether every trial was run."""
        return not self.incomplete_because

    @cached_property
    def scores(self) -> dict[str, NDArray[np.float64]]:
        """By mode, how right each prediction is (see `kinds`): `[shots, seeds, examples]`.

        Raises:
            DataError: if a row is missing, so the modes cannot be compared.
        """
        # Needs pyarrow, which who publishes a model without evidence need not have.
        from piecehub.transfer import predictions

        return predictions.read_scores(self.folder / PREDICTIONS, self.protocol, self.kind)

    def curve(self, mode: str) -> NDArray[np.float64]:
        """The scores of a mode, averaged over the shots that the gate looks at, `[seeds, examples]`."""
        return statistics.curve_average(self.scores[mode], self.protocol.shots, self.kind)

    def contrast(self, candidate: str, reference: str, shots: int | Literal["curve"] = CURVE) -> Contrast:
        """The contrast of two modes, over the curve unless a number of shots is named."""
        for found in self.contrasts:
            if (found.candidate, found.reference, found.shots) == (candidate, reference, shots):
                return found
        raise DataError(f"Expected a contrast of '{candidate}' and '{reference}' at '{shots}'. Received: none.")


def read_all(folder: Path) -> tuple[Evidence, ...]:
    """The evidence of every task below `folder`, but what another release wrote: it cannot be compared."""
    found = sorted(path.parent for path in folder.glob(f"**/{FACTS}"))
    return tuple(Evidence.read(path) for path in found if _is_of_this_schema(path))


def comparable(one: Evidence, other: Evidence, mode: str = "fine_tuning") -> bool:
    """Whether row s, t of a mode means the same in both: equal examples, shots, seeds, budget and kind of device."""
    return (
        one.task_digest == other.task_digest
        and one.protocol == other.protocol
        and one.device == other.device
        and one.complete
        and other.complete
        and all(mode in each.scores for each in (one, other))
    )


def _is_of_this_schema(folder: Path) -> bool:
    """Whether `Evidence.read` can read the evidence in `folder`, which another release may have written."""
    value: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return value.get("schema") == SCHEMA


def _as_it_is(value: Any) -> Any:
    return value


def _rows(make: Callable[..., Any]) -> Callable[[list[Mapping[str, Any]]], tuple[Any, ...]]:
    """Reads a list of objects whose lists are tuples."""

    def read(items: list[Mapping[str, Any]]) -> tuple[Any, ...]:
        return tuple(make(**{k: tuple(v) if isinstance(v, list) else v for k, v in item.items()}) for item in items)

    return read


# How the values of `evidence.json` are read that are not what JSON gives.
_READ: dict[str, Callable[[Any], Any]] = {
    "classes": tuple,
    "protocol": lambda value: Protocol.from_json(json.dumps(value)),
    "cells": _rows(Cell),
    "contrasts": _rows(Contrast),
    "sensitivity": _rows(Sensitivity),
    "learning": _rows(LearningCurve),
    "slices": _rows(Slice),
    "leakage": lambda value: value and Leakage.from_json(value),
    "overlap": lambda value: value and Leakage.from_json(value),
}
