"""Every kind of model through the consumers: our layer in Keras 3, and the unmodified hub.KerasLayer in tf_keras."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from piecehub.consume.layer import ReusableLayer
from piecehub.facts import piece_manifest
from tests.exporting.model_kinds import KINDS, NAMES, Kind, call, data_loss, penalties, trainable_variables

Exported = Callable[[str], Path]
STEPS = 6
HUB_TOLERANCE = 1e-4


def _steps(
    kind: Kind, forward: Callable[[], tuple[Any, Sequence[Any]]], variables: Sequence[tf.Variable]
) -> list[float]:
    """The losses of some steps of gradient descent; `forward` gives outputs and penalties in training mode."""
    losses: list[float] = []
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            outputs, extra = forward()
            loss = data_loss(outputs) + tf.add_n([tf.cast(one, tf.float32) for one in extra] or [0.0])
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            if gradient is not None:
                variable.assign_sub(kind.learning_rate * tf.convert_to_tensor(gradient))
        losses.append(float(loss))
    return losses


@functools.cache
def _original(name: str) -> tuple[Any, list[float]]:
    """The original's outputs at inference, and its losses in training.

    Where the kind says so it trains in a graph, as Keras' `fit` does.
    """
    kind = KINDS[name]
    model, inputs = kind.build(), kind.inputs()
    outputs = tf.nest.map_structure(lambda t: tf.cast(t, tf.float32), call(model, inputs, training=False))
    model = kind.build()  # inference moves the seeds and states of some

    def forward() -> tuple[Any, Sequence[Any]]:
        outputs = call(model, inputs, training=True)
        return outputs, penalties(model)

    return outputs, _steps(kind, tf.function(forward) if kind.in_a_graph else forward, trainable_variables(model))


def _difference(one: Any, other: Any) -> float:
    pairs = zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True)
    return max(float(tf.reduce_max(tf.abs(a - b))) for a, b in pairs)


def _functional(layer: ReusableLayer, folder: Path) -> Any:
    """A Keras 3 model of the layer, with the inputs that the manifest names."""
    manifest: Any = piece_manifest.read(folder)
    inputs = _inputs(manifest.input)
    return keras.Model(inputs, layer(inputs))


def _inputs(facts: Any) -> Any:
    if isinstance(facts, list):
        return [_inputs(one) for one in facts]
    if not isinstance(facts.get("shape"), list):
        return {name: _inputs(one) for name, one in facts.items()}
    kind = {"ragged": "ragged_rank" in facts, "sparse": "sparse" in facts}
    return keras.Input(batch_shape=facts["shape"], dtype=facts["dtype"], **kind)


@pytest.mark.parametrize("name", NAMES)
def test_a_piece_in_a_keras_3_model_is_the_original(name: str, exported_kind: Exported, tmp_path: Path) -> None:
    kind, inputs = KINDS[name], KINDS[name].inputs()
    layer = ReusableLayer(exported_kind(name), trainable=True)
    model = _functional(layer, exported_kind(name))
    expected, losses = _original(name)
    assert _difference(model(inputs, training=False), expected) <= kind.inference

    def forward() -> tuple[Any, Sequence[Any]]:
        outputs = model(inputs, training=True)
        return outputs, model.losses

    found = _steps(kind, forward, [v.value for v in model.trainable_variables])
    np.testing.assert_allclose(found, losses, atol=kind.fine_tuning, rtol=0)
    assert len(set(losses)) == STEPS

    model.save(tmp_path / "model.keras")
    again: Any = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    assert _difference(again(inputs, training=False), model(inputs, training=False)) == 0.0
    assert _difference(again(inputs, training=False), expected) > 0.0


@pytest.mark.parametrize("name", NAMES)
def test_a_piece_in_hubs_own_layer_is_the_original(name: str, exported_kind: Exported) -> None:
    kind, inputs = KINDS[name], KINDS[name].inputs()
    layer = hub.KerasLayer(str(exported_kind(name)), trainable=True, arguments=dict(kind.arguments))
    expected, losses = _original(name)
    outputs, _ = _apart(layer(inputs, training=False))
    assert _difference(outputs, expected) <= max(kind.inference, HUB_TOLERANCE)

    def forward() -> tuple[Any, Sequence[Any]]:
        outputs, activities = _apart(layer(inputs, training=True))
        return outputs, [*layer.losses, *activities]

    found = _steps(kind, forward, layer.trainable_weights)
    np.testing.assert_allclose(found, losses, atol=max(kind.fine_tuning, HUB_TOLERANCE), rtol=0)


def _apart(outputs: Any) -> tuple[Any, Sequence[Any]]:
    """Outputs without the losses that `return_losses=True` adds, and those."""
    if not isinstance(outputs, Mapping) or "losses" not in outputs:
        return outputs, []
    return outputs["outputs"], [outputs["losses"]]
