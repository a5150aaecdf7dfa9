"""Trials: one training of one downstream model each, kept in a file of its own.

    <trials folder>/ab/<id>.npz     validation_score, test_outputs [examples, width], diverged, losses [steps]

The id is the sha256 of all that the numbers depend on, so a trial is found again by whatever asks for it: after a crash
only the missing ones are run, and equal trials of two evaluations are run once. Whatever runs a trial, it is
bit-identical.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from piecehub.facts.content import canonical_json, sha256_bytes
from piecehub.transfer import kinds
from piecehub.transfer.devices import Kind
from piecehub.transfer.protocol import MODES, Mode, Protocol

_PACKAGES = ("numpy", "scikit-learn", "tensorflow")
Floats = NDArray[np.float32]
# Of a trial that trains nothing by steps.
NO_LOSSES: Floats = np.zeros(0, np.float32)


@dataclass(frozen=True)
class Trial:
    """What a trial's numbers depend on.

    Attributes:
        task, piece: content digests; `piece` is empty where raw inputs are the features.
        control: content digest of the control's checkpoint; empty where the mode uses the piece's weights.
        mode: a name of `protocol.MODES`.
        shots: labelled examples per class.
        largest_shots: of the protocol; validation is the pool without them.
        seed: fixes shots, order of the data and control.
        setting: the value of the mode's hyperparameter.
        steps, batch_size: of the training; 0 where nothing is trained by steps, which is then not asked again.
        probe_settings: of the probe whose head a training starts from; it is chosen on the trial's own validation part.
        version: of the protocol.
        packages: names and versions of what computes.
        device: "cpu" or "gpu" (devices.py).
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
    probe_settings: tuple[float, ...]
    version: int
    packages: tuple[tuple[str, str], ...]
    device: Kind = "cpu"

    @cached_property
    def id(self) -> str:
        """Hex sha256 of all fields; a processor is left out, so trials from before there was the field keep theirs."""
        told = asdict(self)
        if self.device == "cpu":
            del told["device"]
        return sha256_bytes(canonical_json(told))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """A trial from what `asdict` made of it and JSON kept."""
        packages = tuple((name, number) for name, number in value["packages"])
        return cls(**{**value, "packages": packages, "probe_settings": tuple(value["probe_settings"])})


@dataclass(frozen=True, eq=False)
class TrialResult:
    """What a trial found.

    Attributes:
        validation_score: the task's metric on the validation examples; the setting is chosen by it.
        test_outputs: `[examples, width] float32` of the head (see `kinds`), those of no answer where the training
            diverged.
        diverged: whether an output or the loss of a step was not finite; such a model says nothing about any example.
        losses: of each step, `[steps] float32`; empty where nothing is trained by steps.
    """

    validation_score: float
    test_outputs: Floats
    diverged: bool
    losses: Floats

    @classmethod
    def score(
        cls, kind: kinds.Kind, validation: Floats, validation_y: NDArray[Any], test: Floats, losses: Floats = NO_LOSSES
    ) -> Self:
        """A result from what the trained model says of validation and test; a diverged one says nothing of any."""
        if all(np.isfinite(values).all() for values in (validation, test, losses)):
            right = kinds.scores(kind, validation_y, kinds.predictions(kind, validation))
            return cls(float(np.mean(right)), test, False, losses)
        # A diverged classifier is right by chance, whatever class is the most frequent.
        chance = 1 / test.shape[1] if kind == "classification" else 0.0
        nothing = float(np.mean(validation_y)) if kind == "regression" else 0.0
        return cls(chance, np.full_like(test, nothing), True, losses)


class TrialStore:
    """The folder of finished trials."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, trial: Trial) -> Path:
        """Where the trial's result lies, or will lie."""
        return self._folder / trial.id[:2] / f"{trial.id}.npz"

    def read(self, trial: Trial) -> TrialResult | None:
        """The trial's result, or None if it is missing or its file is damaged: then it is run again.

        So is what an earlier release took for a result though its loss was not finite.
        """
        path = self.path(trial)
        try:
            _note_use(path)
            with np.load(path, allow_pickle=False) as file:
                score, diverged = float(file["validation_score"]), bool(file["diverged"])
                losses = file["losses"]
                trusted = diverged or np.isfinite(losses).all()
                return TrialResult(score, file["test_outputs"], diverged, losses) if trusted else None
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
                    validation_score=np.asarray(result.validation_score),
                    test_outputs=result.test_outputs,
                    diverged=np.asarray(result.diverged),
                    losses=result.losses,
                )
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)


def _note_use(path: Path) -> None:
    """Tells a gc when the file was last used; raises FileNotFoundError if there is none."""
    try:
        os.utime(path)
    except FileNotFoundError:
        raise
    except OSError:
        pass  # another user's


def plan(task: str, piece: str, controls: Mapping[int, str], protocol: Protocol, device: Kind = "cpu") -> list[Trial]:
    """All trials of one evaluation, those that take longest first; arguments are content digests, controls by seed."""
    return [
        replace(trial(task, piece, controls, protocol, mode, shots, seed, setting), device=device)
        for mode in sorted(MODES.values(), key=lambda m: m.training == "probe")
        for setting in protocol.settings(mode)
        for shots in protocol.shots
        for seed in protocol.seeds
    ]


def with_batch_sizes(trials: Sequence[Trial], batch_sizes: Sequence[int]) -> list[Trial]:
    """The same trials with each of the other batch sizes."""
    return [replace(one, batch_size=size) for size in batch_sizes for one in trials if one.batch_size != size]


def choose_setting(settings: Sequence[float], validation_scores: Sequence[Sequence[float]]) -> float:
    """The setting with the highest mean score on validation, the first of equals.

    It is given nothing of the test part, so nothing of it can leak into the choice.

    Args:
        settings: the grid.
        validation_scores: `[settings][seeds]`.
    """
    means = [round(float(np.mean(scores)), 12) for scores in validation_scores]
    return settings[int(np.argmax(means))]


def trial(
    task: str,
    piece: str,
    controls: Mapping[int, str],
    protocol: Protocol,
    mode: Mode,
    shots: int,
    seed: int,
    setting: float,
) -> Trial:
    """One trial; arguments are content digests, controls by seed."""
    steps = mode.training != "probe"
    return Trial(
        task=task,
        piece="" if mode.weights == "none" else piece,
        control=controls[seed] if mode.weights == "control" else "",
        mode=mode.name,
        shots=shots,
        largest_shots=protocol.shots[-1],
        seed=seed,
        setting=setting,
        steps=protocol.steps if steps else 0,
        batch_size=protocol.batch_size if steps else 0,
        probe_settings=protocol.inverse_regularization if mode.training == "probe_then_tuning" else (),
        version=protocol.version,
        packages=tuple((name, version(name)) for name in _PACKAGES),
    )
