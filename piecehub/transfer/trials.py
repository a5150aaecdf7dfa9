"""Trials: one training of one downstream model each, kept in a file of its own.

    <trials folder>/ab/<id>.npz     validation_accuracy, test_logits [examples, classes], diverged

The id is the sha256 of all that the numbers depend on, so a trial is found again by whatever asks for it: after a crash
only the missing ones are run, and equal trials of two evaluations are run once. Whatever runs a trial, it is
bit-identical.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from piecehub.content import canonical_json, sha256_bytes
from piecehub.transfer.protocol import MODES, Mode, Protocol

_PACKAGES = ("numpy", "scikit-learn", "tensorflow")
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """What a trial's numbers depend on.

    Attributes:
        task, piece: content digests.
        control: content digest of the control's checkpoint; empty where the mode uses the piece's weights.
        mode: a name of `protocol.MODES`.
        shots: labelled examples per class.
        largest_shots: of the protocol; validation is the pool without them.
        seed: fixes shots, order of the data and control.
        setting: the value of the mode's hyperparameter.
        steps, batch_size: of the training; 0 where nothing is trained by steps, which is then not asked again.
        version: of the protocol.
        packages: names and versions of what computes.
    """

    task: str
    piece: str
    control: str
    mode: str
    shots: int
    largest_shots: int
    seed: int
    setting: float
    steps: int
    batch_size: int
    version: int
    packages: tuple[tuple[str, str], ...]

    @cached_property
    def id(self) -> str:
        """Hex sha256 of all fields."""
        return sha256_bytes(canonical_json(asdict(self)))


@dataclass(frozen=True, eq=False)
class TrialResult:
    """What a trial found.

    Attributes:
        validation_accuracy: share of right answers on the validation examples; the setting is chosen by it.
        test_logits: `[examples, classes] float32`, 0 where the training diverged.
        diverged: whether a logit was not finite; such a model says nothing about any class.
    """

    validation_accuracy: float
    test_logits: Floats
    diverged: bool

    @classmethod
    def score(cls, validation_logits: Floats, validation_y: NDArray[np.int64], test_logits: Floats) -> Self:
        """A result from what the trained model says; a diverged one is right by chance only."""
        diverged = not (np.isfinite(validation_logits).all() and np.isfinite(test_logits).all())
        if diverged:
            return cls(1 / test_logits.shape[1], np.zeros_like(test_logits), True)
        return cls(float(np.mean(validation_logits.argmax(axis=1) == validation_y)), test_logits, False)


class TrialStore:
    """The folder of finished trials."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, trial: Trial) -> Path:
        """Where the trial's result lies, or will lie."""
        return self._folder / trial.id[:2] / f"{trial.id}.npz"

    def read(self, trial: Trial) -> TrialResult | None:
        """The trial's result, or None if it is missing or its file is damaged: then it is run again."""
        try:
            with np.load(self.path(trial), allow_pickle=False) as file:
                return TrialResult(float(file["validation_accuracy"]), file["test_logits"], bool(file["diverged"]))
        except (FileNotFoundError, BadZipFile, ValueError, KeyError, EOFError):
            return None

    def write(self, trial: Trial, result: TrialResult) -> None:
        """Writes the result, whole or not at all; equal results give equal bytes."""
        target = self.path(trial)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(
                    file,
                    validation_accuracy=np.asarray(result.validation_accuracy),
                    test_logits=result.test_logits,
                    diverged=np.asarray(result.diverged),
                )
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)


def plan(task: str, piece: str, controls: Mapping[int, str], protocol: Protocol) -> list[Trial]:
    """All trials of one evaluation, those that take longest first; arguments are content digests, controls by seed."""
    return [
        _trial(task, piece, controls, protocol, mode, shots, seed, setting)
        for mode in sorted(MODES.values(), key=lambda m: m.training == "probe")
        for setting in protocol.settings(mode)
        for shots in protocol.shots
        for seed in protocol.seeds
    ]


def choose(settings: Sequence[float], validation_accuracy: Sequence[Sequence[float]]) -> float:
    """The setting with the highest mean accuracy on validation, the first of equals.

    It is given nothing of the test part, so nothing of it can leak into the choice.

    Args:
        settings: the grid.
        validation_accuracy: `[settings][seeds]`.
    """
    means = [round(float(np.mean(accuracies)), 12) for accuracies in validation_accuracy]
    return settings[int(np.argmax(means))]


def _trial(
    task: str,
    piece: str,
    controls: Mapping[int, str],
    protocol: Protocol,
    mode: Mode,
    shots: int,
    seed: int,
    setting: float,
) -> Trial:
    steps = mode.training == "tuning"
    return Trial(
        task=task,
        piece=piece,
        control=controls[seed] if mode.weights == "control" else "",
        mode=mode.name,
        shots=shots,
        largest_shots=protocol.shots[-1],
        seed=seed,
        setting=setting,
        steps=protocol.steps if steps else 0,
        batch_size=protocol.batch_size if steps else 0,
        version=protocol.version,
        packages=tuple((name, version(name)) for name in _PACKAGES),
    )
