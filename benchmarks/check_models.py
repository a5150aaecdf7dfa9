"""Models of a real size for `bench_check_size`, with random weights, exported as a user does; in a process of its own.

python -m benchmarks.check_models NAME FOLDER
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import keras

import piecehub

_VOCABULARY, _LENGTH, _WIDTH, _HEADS, _BLOCKS = 30_522, 128, 768, 12, 12  # those of BERT-base
_DROPOUT, _EPSILON = 0.1, 1e-12
_IMAGES: Mapping[str, Any] = {"include_top": False, "weights": None, "pooling": "avg", "input_shape": (224, 224, 3)}


def _efficientnet() -> Any:
    return keras.applications.EfficientNetV2B0(**_IMAGES)


def _resnet() -> Any:
    return keras.applications.ResNet50(**_IMAGES)


@keras.saving.register_keras_serializable("piecehub_benchmarks")
class TokenAndPosition(keras.layers.Layer):
    """The sum of an embedding of each token and one of its place."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.tokens = keras.layers.Embedding(_VOCABULARY, _WIDTH)
        self.places = keras.layers.Embedding(_LENGTH, _WIDTH)

    def build(self, input_shape: Any) -> None:
        """Makes both tables."""
        self.tokens.build(input_shape)
        self.places.build((_LENGTH,))
        self.built = True

    def call(self, tokens: Any) -> Any:
        """`[batch, length]` int32 -> `[batch, length, width]`."""
        return self.tokens(tokens) + self.places(keras.ops.arange(_LENGTH))


def _encoder() -> Any:
    inputs = keras.Input((_LENGTH,), dtype="int32", name="tokens")
    x = keras.layers.LayerNormalization(epsilon=_EPSILON)(TokenAndPosition()(inputs))
    x = keras.layers.Dropout(_DROPOUT)(x)
    for _ in range(_BLOCKS):
        attended = keras.layers.MultiHeadAttention(_HEADS, _WIDTH // _HEADS, dropout=_DROPOUT)(x, x)
        x = keras.layers.LayerNormalization(epsilon=_EPSILON)(x + keras.layers.Dropout(_DROPOUT)(attended))
        fed = keras.layers.Dense(_WIDTH)(keras.layers.Dense(4 * _WIDTH, activation="gelu")(x))
        x = keras.layers.LayerNormalization(epsilon=_EPSILON)(x + keras.layers.Dropout(_DROPOUT)(fed))
    pooled = keras.layers.Dense(_WIDTH, activation="tanh")(x[:, 0])
    return keras.Model(inputs, pooled)


BUILD: Mapping[str, Callable[[], Any]] = {
    "EfficientNetV2B0, 224²": _efficientnet,
    "ResNet50, 224²": _resnet,
    "BERT-base, 128 tokens": _encoder,
}


def main(name: str, folder: str) -> None:
    """Builds and exports one of them, and says how many numbers its weights are."""
    keras.utils.set_random_seed(0)
    model = BUILD[name]()
    piecehub.export(model, folder)
    print(model.count_params())


if __name__ == "__main__":
    main(*sys.argv[1:])
