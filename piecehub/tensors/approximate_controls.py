"""Controls for a SavedModel that came without the code that initialises it: weights drawn anew by their form and name.

A SavedModel carries no initialisers. So each variable of the piece is drawn as layers of its kind usually are:

    float, rank 2 or more    normal, deviation sqrt(1 / fan-in), fan-in the product of all but the last dimension
    … `embeddings`           normal, deviation 0.05
    float, rank 0 or 1       1 where its name says gamma, scale or variance; 0 where it says beta, bias or mean
    … of another name        as it is if it is not trainable, else normal, deviation 0.05
    of another dtype         as it is: counters, states of random generators

An evaluation with such controls says that they are approximate.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from piecehub.errors import NotReusableError
from piecehub.facts import piece_manifest
from piecehub.facts.controls import control_folder

_SPREAD = 0.05
_ONES, _ZEROS = ("gamma", "scale", "variance"), ("beta", "bias", "mean")


def write_controls(saved_model: Path, seeds: Sequence[int], folder: Path) -> None:
    """Writes a checkpoint `v=[…]` in the order of the piece's `variables` into `seed-K/` for each seed.

    Raises:
        NotReusableError: if the SavedModel names no variables.
    """
    piece: Any = tf.saved_model.load(str(saved_model))
    variables: list[Any] = list(getattr(piece, "variables", ()))
    if not variables:
        raise NotReusableError(f"Expected a Reusable SavedModel with 'variables'. Received: '{saved_model}', without.")
    names = _names(saved_model, variables)
    trainable = {id(v) for v in getattr(piece, "trainable_variables", ())}
    for seed in seeds:
        generator = np.random.default_rng([seed, len(variables)])
        values = [
            _drawn(name, v.numpy(), id(v) in trainable, generator) for name, v in zip(names, variables, strict=True)
        ]
        target = control_folder(folder, seed)
        target.mkdir(parents=True, exist_ok=True)
        tf.train.Checkpoint(v=[tf.Variable(tf.constant(value)) for value in values]).write(str(target / "variables"))


def _names(saved_model: Path, variables: Sequence[Any]) -> list[str]:
    """The paths that the manifest has, which are those of the layers; else the variables' own names."""
    manifest = piece_manifest.read(saved_model)
    own = [variable.name for variable in variables]
    return list(manifest.variables) if manifest and len(manifest.variables) == len(own) else own


def _drawn(name: str, value: NDArray[Any], trainable: bool, generator: np.random.Generator) -> NDArray[Any]:
    if not np.issubdtype(value.dtype, np.floating):
        return value
    last = name.lower().rpartition("/")[2]
    if value.ndim >= 2:
        spread = _SPREAD if "embedding" in last else float(np.sqrt(1 / np.prod(value.shape[:-1])))
        return generator.normal(0, spread, value.shape).astype(value.dtype)
    for words, constant in ((_ONES, 1.0), (_ZEROS, 0.0)):
        if any(word in last for word in words):
            return np.full_like(value, constant)
    return generator.normal(0, _SPREAD, value.shape).astype(value.dtype) if trainable else value
