"""Weights of a trained model, drawn anew by its own initializers."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

from piecehub.training.drawing import draw_weights


def _dense() -> keras.Model:
    same = keras.initializers.GlorotUniform(seed=7)
    inputs = keras.Input((6,))
    x = layers.Dense(6, kernel_initializer=same)(inputs)
    x = layers.Dropout(0.5, seed=3)(layers.Dense(6, kernel_initializer=same)(x))
    return keras.Model(inputs, layers.Dense(2, kernel_initializer="ones")(x))


def _nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()])
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(inner(inputs))))


def _application() -> keras.Model:
    return keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, include_top=False, pooling="avg")


def _spoiled(model: keras.Model) -> keras.Model:
    """As after a training: no weight is what an initializer gives."""
    model.set_weights([np.full(weight.shape, 9.0) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("make", [_dense, _nested, _application])
def test_equal_seeds_draw_equal_weights_and_others_others(make: Callable[[], keras.Model]) -> None:
    one, again, other = (draw_weights(_spoiled(make()), seed=seed).get_weights() for seed in (1, 1, 2))
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a, b)
    kernels = [(a, b) for a, b in zip(one, other, strict=True) if a.ndim > 1 and np.ptp(a)]
    assert kernels
    assert not any(np.array_equal(a, b) for a, b in kernels)
    assert not any((weight == 9).any() for weight in one)


def test_they_are_those_of_a_new_model() -> None:
    """Kernels deviate as their initializers say, constants are what they were, statistics begin anew."""
    made, drawn = _application().get_weights(), draw_weights(_spoiled(_application()), seed=3).get_weights()
    for old, new in zip(made, drawn, strict=True):
        if old.ndim > 1 and old.size > 500:
            assert np.std(new) == pytest.approx(np.std(old), rel=0.2)
        elif old.ndim == 1:
            np.testing.assert_array_equal(old, new)
    assert (draw_weights(_spoiled(_dense()), seed=3).get_weights()[-2] == 1).all()


def test_layers_that_were_made_with_one_seed_draw_different_weights() -> None:
    first, second = (draw_weights(_dense(), seed=0).get_weights()[i] for i in (0, 2))
    assert not np.array_equal(first, second)


def test_what_was_learned_of_data_stays() -> None:
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(5.0, 2.0, (200, 3)))
    words = layers.TextVectorization(output_mode="multi_hot")
    words.adapt(["a b c", "d"])
    number, text = keras.Input((3,)), keras.Input((), dtype="string")
    x = layers.concatenate([layers.Dense(4)(normalization(number)), layers.Dense(4)(words(text))])
    model = keras.Model([number, text], x)
    before = [np.asarray(value) for value in normalization.get_weights()]
    kernel = np.asarray(model.layers[-2].get_weights()[0])
    assert draw_weights(model, seed=5) is model
    for old, new in zip(before, normalization.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert words.get_vocabulary()[1:] != []
    assert not np.array_equal(kernel, model.layers[-2].get_weights()[0])


def test_a_model_with_a_lambda_layer_is_drawn() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: 2 * x), keras.layers.Dense(3)])
    first, second = (draw_weights(model, seed=seed).get_weights()[0] for seed in (0, 1))
    assert not np.array_equal(first, second)
