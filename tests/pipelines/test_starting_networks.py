"""What `piecehub init` reads off a trained network: the layer before its head, frozen ones, the values of pictures."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pipelines.starting.networks import frozen_layers, last_features, takes_bytes


def _dense(x: Any, name: str, activation: str | None = "relu") -> Any:
    return layers.Dense(8, activation, name=name)(x)


def _two_heads() -> keras.Model:
    inputs = keras.Input((4,))
    x = _dense(inputs, "shared")
    other = _dense(x, "of one head")
    return keras.Model(inputs, {"kind": layers.Softmax()(_dense(other, "kind", None)), "size": _dense(x, "size", None)})


def _features_beside_the_head() -> keras.Model:
    inputs = keras.Input((4,))
    features = _dense(inputs, "features")
    return keras.Model(inputs, [features, _dense(features, "head", None)])


def _measured() -> layers.Normalization:
    layer = layers.Normalization(name="measured")
    layer.adapt(np.arange(8.0).reshape(2, 4))
    return layer


def _part(name: str, *of: keras.Layer) -> keras.Sequential:
    return keras.Sequential([keras.Input((4,)), *of], name=name)


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (_two_heads, "shared"),
        (_features_beside_the_head, "features"),
        (lambda: _part("whole", _measured(), layers.Dense(3)), ""),
        (lambda: _part("whole", _measured(), _part("encoder", layers.Dense(4, "relu"))), ""),
        (
            lambda: _part("whole", _part("encoder", layers.Dense(4, "relu")), _part("top", layers.Dense(3, "softmax"))),
            "encoder",
        ),
        (
            lambda: _part(
                "whole", layers.Dense(8, name="last"), layers.Dropout(0.1), layers.Dense(3), layers.Softmax()
            ),
            "last",
        ),
        (lambda: _part("whole", layers.Dense(8), layers.BatchNormalization()), ""),
        (lambda: _part("whole", layers.Dense(8), layers.Dense(8), layers.Activation("relu")), ""),
        (lambda: _part("whole", layers.Dense(8), layers.BatchNormalization(name="logits"), layers.Softmax()), "logits"),
    ],
)
def test_a_model_is_shared_up_to_what_all_its_heads_follow_from(model: Callable[[], keras.Model], layer: str) -> None:
    assert last_features(model()) == layer


def _of_pictures(begin: Any) -> keras.Model:
    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, layers.Conv2D(2, 3, padding="same")(begin(inputs)))


def _normalized(largest: float) -> layers.Normalization:
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).uniform(0, largest, (4, 32, 32, 3)))
    return layer


def _backbone(kind: Any) -> keras.Model:
    return kind(input_shape=(32, 32, 3), include_top=False, weights=None, alpha=0.35)


def _around(x: Any) -> Any:
    prepared = keras.Sequential([keras.Input((32, 32, 3)), layers.RandomFlip(), layers.Rescaling(1 / 127.5, offset=-1)])
    return prepared(x)


@pytest.mark.parametrize(
    ("begin", "are_bytes"),
    [
        (lambda x: x, False),
        (lambda x: 2 * x - 1, False),
        (lambda x: _normalized(1.0)(x), False),
        (lambda x: _normalized(255.0)(x), True),
        (lambda x: x / 255.0, True),
        (keras.applications.mobilenet_v2.preprocess_input, True),
        (keras.applications.resnet50.preprocess_input, True),
        (keras.applications.densenet.preprocess_input, True),
        (_around, True),
        (lambda x: _backbone(keras.applications.MobileNetV3Small)(x), True),
        (lambda x: _backbone(keras.applications.MobileNetV2)(x), False),
    ],
)
def test_a_model_of_pictures_tells_whether_it_takes_values_to_255_however_it_begins(
    begin: Any, are_bytes: bool
) -> None:
    assert takes_bytes(_of_pictures(begin)) is are_bytes


def test_frozen_layers_are_those_with_weights_inside_too() -> None:
    encoder = _part("encoder", layers.Dense(4, name="inside"), layers.Dropout(0.1))
    encoder.trainable = False
    assert frozen_layers(_part("whole", _measured(), encoder, layers.Dense(3))) == ["inside"]
