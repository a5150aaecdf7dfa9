"""Checkpoints of a training: what a killed one needs to go on within the epoch, with the same numbers.

<resume folder>/<key>/checkpoint.npz      the newest; written beside, then renamed
<resume folder>/<key>/own/                for a recipe's own `fit` (own_fit.py)

An `.npz` of plain arrays, `0`, `1`, …, and `state`, the JSON that says what they are:

    {"form": 1, "epoch", "step", "stopped",
     "variables": {"model" | "optimizer" | "metrics": [array…]}, "callbacks": [{"class", "state"}…]}

The epoch is the one that training goes on in, and the step the number of its batches that were trained on. What is
plain of a callback is kept: numbers, texts, arrays, and lists, tuples and dicts of them, as `EarlyStopping`'s best
weights are. Nothing in it is code, and nothing is unpickled.
"""

import io
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from piecehub.errors import telling_no_space
from piecehub.facts.content import canonical_json, sha256_bytes
from piecehub.facts.kept import keeper

_FORM = 1
_FILE = "checkpoint.npz"
# Seconds between two checkpoints; and their share of the time, where they take long.
SECONDS = 60.0
_SHARE = 0.05
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where training stands: `step` batches of the epoch are done; `stopped` if a callback has ended it."""

    epoch: int = 0
    step: int = 0
    stopped: bool = False


def place_of(resume_folder: str | os.PathLike[str], depends_on: Mapping[str, Any]) -> Path:
    """Where the checkpoints of a training lie: a folder by all that its numbers depend on, as plain JSON."""
    return Path(resume_folder) / sha256_bytes(canonical_json(depends_on))[:32]


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: of this training alone (`place_of`).
        seconds: between two of them; 0 saves after each step.
    """

    def __init__(self, folder: Path, seconds: float = SECONDS) -> None:
        self.folder = folder
        self._seconds = seconds
        self._due = time.monotonic() + seconds
        self._found: tuple[dict[str, Any], list[np.ndarray]] | None = None
        self._keeper = keeper()  # training may have threads
        self._keeper.bring([folder])
        with suppress(FileNotFoundError):
            os.utime(folder)  # by which a gc knows that a training relies on it again

    def exist(self) -> bool:
        """Whether there is one."""
        return (self.folder / _FILE).is_file()

    def find(self, model: Any, callbacks: Sequence[Any]) -> Place:
        """Where to go on, by the checkpoint, which `restore` then restores; at the beginning if it is not of this form.

        Args:
            model: compiled; all its variables are made.
            callbacks: those of the training.
        """
        path = self.folder / _FILE
        try:
            state, arrays = _read(path)
            _refuse_other_form(state, arrays, model, callbacks)
        except Exception as error:  # noqa: BLE001 - a damaged file may be anything
            _log.warning("Expected a checkpoint of this training in %s. Received: %s; it starts anew.", path, error)
            return Place()
        self._found = state, arrays
        place = Place(state["epoch"], state["step"], state["stopped"])
        _log.warning("Goes on at epoch %d, step %d, from %s.", place.epoch + 1, place.step + 1, path)
        return place

    def restore(self, model: Any, callbacks: Sequence[Any]) -> None:
        """Gives the model, its optimizer and metrics, and the callbacks the state that `find` found, if it did."""
        if self._found is None:
            return
        state, arrays = self._found
        for kind, variables in _variables(model).items():
            for variable, number in zip(variables, state["variables"][kind], strict=True):
                variable.assign(arrays[number])
        for callback, known in zip(callbacks, state["callbacks"], strict=True):
            for key, value in known["state"].items():
                setattr(callback, key, _decoded(value, arrays))

    def is_due(self) -> bool:
        """Whether it is time for another one."""
        return time.monotonic() >= self._due

    def save(self, place: Place, model: Any, callbacks: Sequence[Any]) -> None:
        """Writes one, in place of the one before, of which nothing is held in memory any more."""
        self._found = None
        begun = time.monotonic()
        arrays: list[Any] = []
        variables = {
            kind: [_kept(np.asarray(variable), arrays) for variable in found]
            for kind, found in _variables(model).items()
        }
        kept = [{"class": type(each).__name__, "state": _plain_state(each, arrays)} for each in callbacks]
        state = {
            "form": _FORM,
            "epoch": place.epoch,
            "step": place.step,
            "stopped": place.stopped,
            "variables": variables,
            "callbacks": kept,
        }
        _write(self.folder, state, arrays)
        self.keep()
        now = time.monotonic()
        self._due = now + (self._seconds and max(self._seconds, (now - begun) / _SHARE))

    def keep(self) -> None:
        """What lies in the folder now is what a pod goes on with, where this one and its disk are killed."""
        self._keeper.keep(self.folder)

    def remove(self) -> None:
        """Training has ended well: nothing is kept of it."""
        self._keeper.drop(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


def _variables(model: Any) -> dict[str, list[Any]]:
    found = {"model": model.variables, "optimizer": model.optimizer.variables, "metrics": model.metrics_variables}
    return {kind: list(variables) for kind, variables in found.items()}


def _refuse_other_form(state: Any, arrays: Sequence[np.ndarray], model: Any, callbacks: Sequence[Any]) -> None:
    """Raises ValueError if the checkpoint is not one of this model and these callbacks."""
    if state["form"] != _FORM:
        raise ValueError(f"form {state['form']}")
    for kind, variables in _variables(model).items():
        found = [(arrays[number].shape, str(arrays[number].dtype)) for number in state["variables"][kind]]
        wanted = [(tuple(variable.shape), str(variable.dtype)) for variable in variables]
        if found != wanted:
            raise ValueError(f"other variables of the {kind}")
    if [known["class"] for known in state["callbacks"]] != [type(callback).__name__ for callback in callbacks]:
        raise ValueError("other callbacks")


def _write(folder: Path, state: dict[str, Any], arrays: Sequence[np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{_FILE}.{os.getpid()}"
    types = [str(array.dtype) for array in arrays]
    text = np.frombuffer(json.dumps({**state, "types": types}).encode(), np.uint8)
    named: Any = {"state": text, **{str(number): _bits(array) for number, array in enumerate(arrays)}}
    with telling_no_space(folder):
        try:
            with beside.open("wb") as file:
                np.savez(file, **named)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(folder / _FILE)
        finally:
            beside.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
        state = json.loads(file["state"].tobytes())
        return state, [file[str(n)].view(_type(name)) for n, name in enumerate(state["types"])]


def _bits(array: np.ndarray) -> np.ndarray:
    """An array of a type that NumPy's files know: of bfloat16 the bits."""
    return array if array.dtype.kind in "biufcSU" else array.view(np.dtype(f"u{array.dtype.itemsize}"))


def _type(name: str) -> np.dtype:
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name, name))


def _kept(array: np.ndarray, arrays: list[Any]) -> int:
    arrays.append(array)
    return len(arrays) - 1


def _plain_state(callback: Any, arrays: list[Any]) -> dict[str, Any]:
    """What of a callback's attributes is plain."""
    found: dict[str, Any] = {}
    for key, value in vars(callback).items():
        if key in ("_model", "params"):
            continue
        before = len(arrays)
        try:
            found[key] = _encoded(value, arrays)
        except TypeError:
            del arrays[before:]
    return found


def _encoded(value: Any, arrays: list[Any]) -> Any:
    """A value as JSON, which says of each part what it is; raises TypeError if it is not plain."""
    match value:
        case None | bool() | int() | float() | str() if type(value) in (type(None), bool, int, float, str):
            return {"value": value}
        case np.ndarray() | np.generic() if value.dtype.kind in "biufc":
            scalar = isinstance(value, np.generic)
            return {"scalar" if scalar else "array": _kept(np.asarray(value), arrays)}
        case list() | tuple() if type(value) in (list, tuple):
            return {type(value).__name__: [_encoded(part, arrays) for part in value]}
        case dict() if type(value) is dict:
            return {"dict": [[_encoded(key, arrays), _encoded(part, arrays)] for key, part in value.items()]}
        case FunctionType() if value is _function_of_keras(value.__module__, value.__name__):
            return {"function": [value.__module__, value.__name__]}  # whether less or more is better
        case _:
            raise TypeError(f"{type(value).__name__} is not plain")


def _decoded(known: dict[str, Any], arrays: Sequence[np.ndarray]) -> Any:
    [(kind, value)] = known.items()
    match kind:
        case "array":
            return arrays[value].copy()
        case "scalar":
            return arrays[value][()]
        case "list":
            return [_decoded(part, arrays) for part in value]
        case "tuple":
            return tuple(_decoded(part, arrays) for part in value)
        case "dict":
            return {_decoded(key, arrays): _decoded(part, arrays) for key, part in value}
        case "function":
            return _function_of_keras(*value)
        case _:
            return value


def _function_of_keras(module: str, name: str) -> Any:
    """A function of Keras by its name; None if there is none."""
    return getattr(sys.modules.get(module), name, None) if module.startswith("keras.") else None
