"""The pieces whose fate is simulated: small networks, each with a start and an upstream training of its own.

    <cache>/pieces/<key>/saved_model/     exported as every piece is
    <cache>/controls/seed-K/              re-initialised weights, in the order of `variables`

Keys are made of all that the numbers depend on, so what is there is not made again.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.gate_plan import Network, PieceSpec
from benchmarks.gate_world import INPUTS, UPSTREAM_CLASSES, World
from piecehub.exporting import reusable
from piecehub.facts.content import canonical_json, sha256_bytes
from piecehub.transfer.batch_norm import Places
from piecehub.transfer.engine import Engine

Weights = list[NDArray[Any]]

_EXAMPLES, _BATCH, _RATE = 8_000, 64, 0.003
_WIDTHS = (64, 64)
_MOMENTUM = 0.99  # Keras' default, which lags most


def build_model(seed: int, network: Network = "plain") -> keras.Model:
    """The network `[batch, 24] float32 -> [batch, 64] float32` with the weights of a seed."""
    inputs = x = keras.Input((INPUTS,), name="numbers")
    for layer, width in enumerate(_WIDTHS):
        start: Any = keras.initializers.HeNormal(seed=seed * 100 + layer)
        x = keras.layers.Dense(width, kernel_initializer=start, name=f"dense_{layer}")(x)
        if network == "batch_norm":
            x = keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"norm_{layer}")(x)
        x = keras.layers.ReLU(name=f"activation_{layer}")(x)
    return keras.Model(inputs, x, name="small")


@lru_cache(maxsize=2)
def architecture(network: Network = "plain") -> str:
    """What two pieces of one network have in common, as a digest."""
    return sha256_bytes(build_model(0, network).to_json().encode())


def key_of(spec: PieceSpec) -> str:
    """A name that changes with all that the piece's weights depend on."""
    parts = [asdict(spec), architecture(spec.network), asdict(World()), _EXAMPLES, _BATCH, _RATE]
    return sha256_bytes(canonical_json([parts, version("tensorflow"), version("numpy")]))[:24]


class Engines:
    """One loaded piece for each network and width of head, whose weights are set anew for every training.

    Loading and tracing take longer than most trainings; all pieces share them, as they differ in weights only.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._loaded: dict[tuple[Network, int], SwappingEngine] = {}

    def with_outputs(self, outputs: int, network: Network = "plain") -> "SwappingEngine":
        """The engine of a network whose head has that width."""
        if (network, outputs) not in self._loaded:
            folder = export_piece(PieceSpec(0, 0, network), self._cache, self)
            self._loaded[network, outputs] = SwappingEngine(folder, outputs)
        return self._loaded[network, outputs]


class SwappingEngine(Engine):
    """The product's engine, into which the weights of other pieces of the same architecture are put.

    Attributes:
        one_batch: re-estimates BatchNorm's statistics on all shots at once, as the product does not.
    """

    one_batch = False

    def _dealt(self, examples: int, batch_size: int, seed: int) -> list[Places]:
        return [np.arange(examples)] if self.one_batch else super()._dealt(examples, batch_size, seed)

    def set_weights(self, weights: Weights) -> None:
        """Sets all variables, in the order of `variables`."""
        for variable, value in zip(self._variables, weights, strict=True):
            variable.assign(value)

    def get_weights(self) -> Weights:
        """All variables, in the order of `variables`."""
        return [variable.numpy() for variable in self._variables]


def export_piece(spec: PieceSpec, cache: Path, engines: Engines) -> Path:
    """The exported piece's `saved_model/`, made if it is missing."""
    folder = cache / "pieces" / key_of(spec) / "saved_model"
    if folder.is_dir():
        return folder
    model = build_model(_first_seed(spec), spec.network)
    if spec.steps:
        _train(model, spec, engines)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".part-"))
    reusable.export(model, beside / "saved_model")
    _move(beside / "saved_model", folder)  # another process may be about the same piece
    beside.rmdir()
    return folder


def export_controls(seeds: Sequence[int], cache: Path, network: Network = "plain") -> Path:
    """The folder of a network's controls, in which those of `seeds` lie now."""
    folder = cache / "controls" / architecture(network)[:24]
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        target = folder / f"seed-{seed}"
        if not target.is_dir():
            beside = Path(tempfile.mkdtemp(dir=folder, prefix=".part-"))
            tf.train.Checkpoint(v=build_model(seed, network).variables).write(str(beside / "variables"))
            _move(beside, target)
    return folder


@lru_cache(maxsize=1024)
def piece_weights(saved_model: Path) -> Weights:
    """The variables of an exported piece, as its own file has them."""
    return _stored(str(saved_model / "variables" / "variables"), "variables")


@lru_cache(maxsize=1024)
def control_weights(folder: Path) -> Weights:
    """The variables of a control."""
    return _stored(str(folder / "variables"), "v")


def _stored(prefix: str, name: str) -> Weights:
    reader = tf.train.load_checkpoint(prefix)
    count = sum(key.startswith(f"{name}/") for key in reader.get_variable_to_shape_map())
    return [reader.get_tensor(f"{name}/{i}/.ATTRIBUTES/VARIABLE_VALUE") for i in range(count)]


def _first_seed(spec: PieceSpec) -> int:
    """Seeds of pieces and of controls (up to some hundreds) must not meet."""
    return 100_000 + spec.number


def _train(model: keras.Model, spec: PieceSpec, engines: Engines) -> None:
    """Trains the model upstream, on examples of its own."""
    engine = engines.with_outputs(UPSTREAM_CLASSES, spec.network)
    engine.set_weights([variable.numpy() for variable in model.variables])
    x, y = World().upstream(spec.number, _EXAMPLES)
    engine.fine_tune(x, y, seed=spec.number, learning_rate=_RATE, steps=spec.steps, batch_size=_BATCH)
    for variable, value in zip(model.variables, engine.get_weights(), strict=True):
        variable.assign(value)


def _move(beside: Path, target: Path) -> None:
    """Puts a finished folder into its place, unless another process was faster."""
    try:
        beside.rename(target)
    except OSError:
        shutil.rmtree(beside)
