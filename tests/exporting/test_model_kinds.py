"""Every kind of model: what is loaded computes and learns as the original did before it was exported.

Both sides run in a `tf.function`, as Keras trains: kernels of eager and graph mode round apart.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from piecehub.exporting import golden
from piecehub.facts import piece_manifest
from tests.exporting import model_kinds as kinds
from tests.exporting.model_kinds import KINDS, NAMES, Kind

STEPS = 6
CAN_TRAIN_IN_MODES = {name for name, kind in KINDS.items() if kind.framework != "low-level"} | {"tf_module"}


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_piece_computes_and_learns_as_the_original(name: str, exported_kind: Callable[[str], Path]) -> None:
    kind, folder = KINDS[name], exported_kind(name)
    assert bool(kind.reason) == (kind.inference > 1e-6 or kind.fine_tuning > 1e-5)
    loaded: Any = tf.saved_model.load(str(folder))
    expected = kinds.call(kind.build(), kind.inputs(), training=False)
    found, _ = _call(loaded, kind, name, training=False)
    assert _gap(expected, found) <= kind.inference
    original = kind.build()
    before = _curve(
        lambda: (kinds.call(original, kind.inputs(), training=True), kinds.penalties(original)),
        kinds.trainable_variables(original),
        kind.learning_rate,
    )
    after = _curve(
        lambda: _call(loaded, kind, name, training=True), list(loaded.trainable_variables), kind.learning_rate
    )
    assert abs(before[-1] - before[0]) > 100 * kind.fine_tuning or kind.reason
    np.testing.assert_allclose(after, before, atol=kind.fine_tuning, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_piece_reproduces_its_golden_outputs(name: str, exported_kind: Callable[[str], Path]) -> None:
    folder = exported_kind(name)
    manifest = piece_manifest.read(folder)
    assert manifest is not None
    recorded = golden.read(folder, manifest)
    assert recorded is not None
    loaded: Any = tf.saved_model.load(str(folder))
    assert golden.difference(recorded.outputs, loaded(recorded.inputs)) <= 1e-6
    assert len(manifest.variables) == len(loaded.variables)
    assert len(manifest.trainable_variables) == len(loaded.trainable_variables) > 0
    assert len(manifest.regularizers) == len(loaded.regularization_losses)


def _call(loaded: Any, kind: Kind, name: str, *, training: bool) -> tuple[Any, list[tf.Tensor]]:
    """Outputs of the loaded piece as the original gives them, and its losses beside the task's."""
    modes = {"training": training} if name in CAN_TRAIN_IN_MODES else {}
    outputs = loaded(kind.inputs(), **modes, **kind.arguments)
    losses = [loss() for loss in loaded.regularization_losses]
    if kind.arguments.get("return_losses"):
        losses.append(outputs.pop("losses"))
        outputs = outputs.get("outputs", outputs)
    return outputs, losses


def _curve(
    forward: Callable[[], tuple[Any, list[tf.Tensor]]], variables: list[tf.Variable], learning_rate: float
) -> np.ndarray:
    """The losses of some steps of plain gradient descent."""

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            outputs, losses = forward()
            loss = tf.add_n([kinds.data_loss(outputs), *(tf.cast(extra, tf.float32) for extra in losses)])
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(learning_rate * tf.convert_to_tensor(gradient))
        return loss

    return np.array([float(step()) for _ in range(STEPS)])


def _gap(expected: Any, found: Any) -> float:
    pairs = zip(tf.nest.flatten(expected), tf.nest.flatten(found), strict=True)
    return max(float(tf.reduce_max(tf.abs(tf.cast(a, tf.float32) - tf.cast(b, tf.float32)))) for a, b in pairs)
