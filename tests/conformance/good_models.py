"""Models that keep the interface, of many makers: the validator must find no fault with them."""

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
import tf_keras

from piecehub.exporting import reusable
from tests.conformance.broken_models import model, of, plain, save
from tests.exporting.model_kinds import KINDS

Make = Callable[[Path], Path]
_layers = tf_keras.layers


class MyMulModel(tf.train.Checkpoint):
    """As it stands in TensorFlow Hub's guide "Exporting a SavedModel"."""

    def __init__(self, v_init):
        super().__init__()
        self.v = tf.Variable(v_init)
        self.variables = [self.v]
        self.trainable_variables = [self.v]
        self.regularization_losses = [
            tf.function(input_signature=[])(lambda: 0.001 * self.v**2),
        ]

    @tf.function(input_signature=[tf.TensorSpec(shape=None, dtype=tf.float32)])
    def __call__(self, inputs):
        return tf.multiply(inputs, self.v)


def _my_mul_model(folder: Path) -> Path:
    tf.saved_model.save(MyMulModel(2.0), str(folder))
    return folder


def native(build: Callable[[], tf_keras.Model]) -> Make:
    """Makes a model as TensorFlow Hub's guide says: tf_keras' own SavedModel, without the optimizer."""

    def make(folder: Path) -> Path:
        tf_keras.utils.set_random_seed(1)
        built = build()
        built.compile("sgd", "mse")
        built.save(str(folder), include_optimizer=False, save_format="tf")
        return folder

    return make


def exported(name: str) -> Make:
    """Makes our export of the kind `name`."""

    def make(folder: Path) -> Path:
        kind = KINDS[name]
        reusable.export(kind.build(), folder, kind.options, inputs=kind.specs)
        return folder

    return make


def _native_cnn() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            _layers.Input((12, 12, 3)),
            _layers.Conv2D(4, 3, kernel_regularizer="l2"),
            _layers.BatchNormalization(momentum=0.9),
            _layers.ReLU(),
            _layers.GlobalAveragePooling2D(),
        ]
    )


def _native_lstm() -> tf_keras.Model:
    return tf_keras.Sequential([_layers.Input((5, 3)), _layers.LSTM(4), _layers.Dense(3)])


def _native_words() -> tf_keras.Model:
    words = _layers.StringLookup(vocabulary=["a", "piece", "of a model"])
    return tf_keras.Sequential([_layers.Input((), dtype="string"), words, _layers.Embedding(6, 4), _layers.Dense(3)])


def _native_dict() -> tf_keras.Model:
    inputs = {name: _layers.Input((3,), name=name) for name in ("left", "right")}
    both = _layers.Concatenate()(list(inputs.values()))
    return tf_keras.Model(inputs, {"default": _layers.Dense(4)(both), "wide": _layers.Dense(6)(both)})


def _with_sub_piece(folder: Path) -> Path:
    keras.utils.set_random_seed(1)
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, kernel_regularizer="l2")], name="bottom")
    inputs = keras.Input((6,))
    whole = keras.Model(inputs, keras.layers.Dense(3)(inner(inputs)))
    reusable.export(whole, folder, reusable.ExportOptions(sub_pieces={"bottom": "bottom"}))
    return folder


def _recurrent(folder: Path) -> Path:
    keras.utils.set_random_seed(1)
    piece = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(3)])
    reusable.export(piece, folder)
    return folder


def _any_image_size(folder: Path) -> Path:
    spec = tf.TensorSpec([None, None, None, None], tf.float32)
    root = model(lambda root, x, training: tf.pad(tf.reduce_mean(x, [1, 2]), [[0, 0], [0, 1]]) @ root.w, spec)
    root.variables = [root.w]
    return save(root, folder, spec=spec)


def _tokenizer_inside(folder: Path) -> Path:
    """A sub-object without variables, as text models have one."""

    class Tokenize(tf.__internal__.tracking.AutoTrackable):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, inputs):
            return tf.strings.length(inputs)

    return of(plain, tokenize=Tokenize())(folder)


GOOD: dict[str, Make] = {
    "minimal": of(plain),
    "MyMulModel": _my_mul_model,
    "images of any size": _any_image_size,
    "a tokenizer inside": _tokenizer_inside,
    "native CNN": native(_native_cnn),
    "native LSTM": native(_native_lstm),
    "native words": native(_native_words),
    "native dicts": native(_native_dict),
    "a sub-piece": _with_sub_piece,
    "recurrent": _recurrent,
    **{
        name: exported(name)
        for name in (
            "dict_io", "list_io", "text_vectorization", "ragged_tokens", "transformer", "mixed_float16",
            "hyperparameters", "activity_regularizer", "tf_keras_functional", "tf_module",
        )
    },
}  # fmt: skip
