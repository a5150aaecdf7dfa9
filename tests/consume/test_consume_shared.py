"""Layers of one loaded object: each weight is one weight."""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from piecehub.consume.layer import ReusableLayer

ONES = np.ones((1, 1), np.float32)
L2 = 0.125


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """y = w * x + b, whose part `first` is w * x; w = b = 0.25; w is regularized."""
    root: Any = tf.__internal__.tracking.AutoTrackable()
    first: Any = tf.__internal__.tracking.AutoTrackable()
    w, b = tf.Variable([[0.25]], name="w"), tf.Variable([0.25], name="b")
    first.__call__ = tf.function(lambda x: x @ w, input_signature=[tf.TensorSpec([None, 1])])
    first.variables = first.trainable_variables = [w]
    root.first, root.b = first, b
    root.__call__ = tf.function(lambda x: x @ w + b, input_signature=[tf.TensorSpec([None, 1])])
    root.variables = root.trainable_variables = [w, b]
    root.regularization_losses = [tf.function(lambda: L2 * tf.reduce_sum(w * w), input_signature=[])]
    folder = str(tmp_path_factory.mktemp("shared") / "model")
    tf.saved_model.save(root, folder)
    return folder


def _model(library: Any, layers: Sequence[Any]) -> Any:
    """The sum of the layers, to be trained to 1 by SGD."""
    x = library.Input((1,))
    model = library.Model(x, library.layers.Add()([layer(x) for layer in layers]))
    model.compile(library.optimizers.SGD(0.1), "mse")
    return model


def _w(loaded: Any) -> float:
    return float(loaded.variables[0].numpy()[0, 0])


def test_b6_a_weight_of_two_layers_is_one_weight_and_takes_one_step(folder: str) -> None:
    ours, hubs = hub.load(folder), hub.load(folder)
    for loaded in (ours, hubs):
        loaded.regularization_losses = []  # which hub would count for each layer
    model = _model(keras, [ReusableLayer(ours, trainable=True) for _ in range(2)])
    other = _model(tf_keras, [hub.KerasLayer(hubs, trainable=True) for _ in range(2)])
    assert len(model.trainable_weights) == len(other.trainable_weights) == len(model.weights) == 2
    for one in (model, other):
        one.fit(ONES, 2 * ONES, epochs=2, verbose=0)
    assert _w(ours) == pytest.approx(_w(hubs), rel=1e-6) and _w(ours) != 0.25
    np.testing.assert_allclose(ours.variables[1], hubs.variables[1], rtol=1e-6)


def test_b6_a_part_beside_the_whole_shares_its_weights(folder: str) -> None:
    loaded = hub.load(folder)
    model = _model(keras, [ReusableLayer(loaded, trainable=True), ReusableLayer(loaded, trainable=True, piece="first")])
    assert [v.name for v in model.trainable_weights] == ["w", "b"]
    model.fit(ONES, ONES, verbose=0)
    # y = 2 w + b = 0.75; the loss (y - 1)² + L2 w² has the slope 2 * 2 * (y - 1) + 2 * L2 * w by w
    assert _w(loaded) == pytest.approx(0.25 - 0.1 * (4 * (0.75 - 1.0) + 2 * L2 * 0.25))


@pytest.mark.parametrize("frozen_first", [True, False])
def test_b6_a_weight_is_trained_where_its_own_layer_is(folder: str, frozen_first: bool) -> None:
    loaded = hub.load(folder)
    layers = {trained: ReusableLayer(loaded, trainable=trained) for trained in (not frozen_first, frozen_first)}
    both, alone = _model(keras, list(layers.values())), _model(keras, [layers[False]])
    assert len(both.trainable_weights) == 2 and alone.trainable_weights == [] and layers[False].losses == []
    alone.fit(ONES, ONES, verbose=0)
    assert _w(loaded) == 0.25
    both.fit(ONES, ONES, verbose=0)
    # The loss (y - 1)², y = 2 (w + b) = 1, is at its least: only the regularization steps.
    assert _w(loaded) == pytest.approx(0.25 - 0.1 * 2 * L2 * 0.25)
    layers[True].trainable = False
    assert both.trainable_weights == [] and both.losses == [] and len(both.weights) == 2
    layers[False].trainable = True
    assert len(alone.trainable_weights) == 2 and len(alone.losses) == 1


def test_b6_a_part_that_is_trained_leaves_the_frozen_whole_alone(folder: str) -> None:
    loaded = hub.load(folder)
    whole, part = ReusableLayer(loaded), ReusableLayer(loaded, trainable=True, piece="first")
    model = _model(keras, [whole, part])
    assert [v.name for v in model.trainable_weights] == ["w"] and whole.trainable_weights == []
    assert float(tf.add_n(model.losses)) == 0.0  # the loss is the whole's, which is frozen
    model.fit(ONES, ONES, verbose=0)
    assert _w(loaded) == pytest.approx(0.25 - 0.1 * 4 * (0.75 - 1.0)) and float(loaded.variables[1][0]) == 0.25


def test_b6_regularization_of_two_layers_counts_once(folder: str) -> None:
    loaded = hub.load(folder)
    model = _model(keras, [ReusableLayer(loaded, trainable=True) for _ in range(2)])
    assert float(tf.add_n(model.losses)) == pytest.approx(L2 * 0.25**2)


def test_b6_layers_that_are_gone_change_nothing(folder: str) -> None:
    loaded = hub.load(folder)
    ReusableLayer(loaded, trainable=True)
    gc.collect()
    layer = ReusableLayer(loaded)
    assert layer.trainable_weights == [] and not any(v.trainable for v in layer.weights)


def test_b6_weights_are_saved_and_loaded_in_one_order(folder: str, tmp_path: Path) -> None:
    path = str(tmp_path / "model.weights.h5")
    loaded = hub.load(folder)
    model = _model(keras, [ReusableLayer(loaded, trainable=True, piece="first"), ReusableLayer(loaded)])
    loaded.variables[0].assign([[2.0]])
    loaded.variables[1].assign([3.0])
    model.save_weights(path)
    again = hub.load(folder)
    layers = [ReusableLayer(again), ReusableLayer(again, piece="first")]
    _model(keras, layers[::-1]).load_weights(path)
    assert [float(np.ravel(v)[0]) for v in again.variables] == [2.0, 3.0]
