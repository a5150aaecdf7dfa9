"""Every kind of model that a piece may be, small: the exporter's tests and the consumer's read the same list.

    kind = KINDS["nested"]
    model = kind.build()                    # the same weights and seeds every time
    reusable.export(model, folder, kind.options, inputs=kind.specs)
    outputs = call(model, kind.inputs(), training=True)
    loss = data_loss(outputs) + sum(penalties(model))

Names of subclassed models start with a letter: Keras opens a name scope for each, and TensorFlow's may not start with
an underscore.
"""

import functools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers
from keras import regularizers as reg

from piecehub.exporting.reusable import ExportOptions

Framework = Literal["keras", "tf_keras", "low-level"]


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    Attributes:
        build: makes the model, with equal weights and seeds at every call.
        inputs: a batch of inputs, in the structure that the exported object takes (one-element lists unwrapped).
        framework: what the model is made with.
        specs: of the inputs, where the model cannot tell them itself.
        options: to export it with.
        arguments: to call the export with in both modes, such as a hyperparameter at its default.
        inference: largest accepted difference of an output.
        fine_tuning: largest accepted difference of a loss over the steps.
        in_a_graph: whether the original is compared as a graph trains it: where a processor computes in 16 bits
            itself, kernels that a graph fuses round elsewhere than those of eager mode.
        reason: why a tolerance is wider than 1e-6 and 1e-5; empty where it is not.
        learning_rate: of the steps.
    """

    build: Callable[[], Any]
    inputs: Callable[[], Any]
    framework: Framework = "keras"
    specs: Any = None
    options: ExportOptions = field(default_factory=ExportOptions)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    inference: float = 1e-6
    fine_tuning: float = 1e-5
    in_a_graph: bool = False
    reason: str = ""
    learning_rate: float = 0.05


def data_loss(outputs: Any) -> tf.Tensor:
    """Mean squared distance of every float output from a fixed wave, summed over the outputs: a float32 scalar."""
    flat = [tf.cast(tensor, tf.float32) for tensor in tf.nest.flatten(outputs) if tensor.dtype.is_floating]
    return tf.add_n([tf.reduce_mean(tf.square(tensor - _wave(tensor))) for tensor in flat])


def _wave(tensor: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.sin(tf.cast(tf.range(tf.size(tensor)) % 7, tf.float32)), tf.shape(tensor))


def call(model: Any, inputs: Any, *, training: bool) -> Any:
    """The original's forward pass, whatever it is made with."""
    if isinstance(model, (tf_keras.layers.Layer, keras.layers.Layer)):
        return model(inputs, training=training)
    return model(inputs)


def variables(model: Any) -> list[tf.Variable]:
    """All `tf.Variable`s of the original, in its order."""
    return [variable.value if isinstance(variable, keras.Variable) else variable for variable in model.variables]


def trainable_variables(model: Any) -> list[tf.Variable]:
    """Those that training changes."""
    found = model.trainable_variables
    return [variable.value if isinstance(variable, keras.Variable) else variable for variable in found]


def penalties(model: Any) -> list[tf.Tensor]:
    """The original's losses beside the task's, as the last call left them: of weights, activities, `add_loss`."""
    if isinstance(model, (tf_keras.layers.Layer, keras.layers.Layer)):
        return list(model.losses)
    return [loss() for loss in getattr(model, "regularization_losses", [])]


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _floats(*shape: int) -> np.ndarray:
    return _rng().random(shape, dtype=np.float32)


def _vectors() -> np.ndarray:
    return _floats(8, 6)


def _images() -> np.ndarray:
    return _floats(6, 8, 8, 3)


def _tokens() -> np.ndarray:
    tokens = _rng().integers(1, 20, (6, 7)).astype(np.int32)
    tokens[:3, 4:] = 0
    return tokens


def _sentences() -> tf.Tensor:
    return tf.constant(["the cat sat", "a dog", "the dog sat on the mat", "bird", "", "cat and dog"])


def _seeded(build: Callable[[], Any]) -> Callable[[], Any]:
    """`build` with the global seeds set first, and names that count from one."""

    @functools.wraps(build)
    def seeded() -> Any:
        keras.backend.clear_session()
        tf_keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        tf_keras.utils.set_random_seed(3)  # it goes on from its own seed, once anything in the process has set that
        return build()

    return seeded


# --- Keras 3: forms of models -----------------------------------------------------------------------------------------


def _sequential() -> Any:
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, "relu", kernel_regularizer=reg.L2(1e-2)),
            layers.BatchNormalization(momentum=0.9),
            layers.Dense(3),
        ]
    )


def _sequential_deferred() -> Any:
    model = keras.Sequential([layers.Dense(8, "tanh"), layers.Dropout(0.3, seed=1), layers.Dense(3)])
    model(_vectors())
    return model


def _cnn() -> Any:
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, kernel_regularizer=reg.L2(1e-2))(images)
    x = layers.Activation("silu")(layers.BatchNormalization()(x))
    x = layers.Dropout(0.3, seed=5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, layers.Dense(3, kernel_regularizer=reg.L2(1e-3))(x))


class Block(keras.Model):
    """Passes `training` on by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Dense(8, "relu", kernel_regularizer=reg.L1(1e-3))
        self.norm = layers.BatchNormalization(momentum=0.8)
        self.last = layers.Dense(3)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.last(self.norm(self.first(inputs), training=training))


class Implicit(keras.Model):
    """Takes no `training`: Keras hands it to the inner layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Dense(8, "relu")
        self.drop = layers.Dropout(0.4, seed=9)
        self.last = layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return self.last(self.drop(self.first(inputs)))


class Names(keras.Model):
    """Dicts in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.left = layers.Dense(4)
        self.right = layers.Dense(4)

    def call(self, inputs: Any) -> Any:
        left, right = self.left(inputs["left"]), self.right(inputs["right"])
        return {"default": left + right, "left": left}


def _called(model: Any, inputs: Any) -> Any:
    model(inputs)
    return model


def _dict_io() -> Any:
    a, b = keras.Input((6,), name="a"), keras.Input((4,), name="b")
    joined = layers.Dense(5, "relu")(layers.Concatenate()([a, b]))
    return keras.Model({"a": a, "b": b}, {"default": layers.Dense(2)(joined), "hidden": joined})


def _pair() -> dict[str, np.ndarray]:
    return {"a": _floats(8, 6), "b": _floats(8, 4)}


def _list_io() -> Any:
    a, b = keras.Input((6,)), keras.Input((4,))
    joined = layers.Dense(5, "relu")(layers.Concatenate()([a, b]))
    return keras.Model([a, b], [layers.Dense(2)(joined), joined])


def _one_element_list() -> Any:
    inputs = keras.Input((6,))
    return keras.Model([inputs], [layers.Dense(2)(inputs)])


def _optional_input() -> Any:
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b", optional=True)

    class AddIfThere(layers.Layer):
        def call(self, one: Any, other: Any = None) -> Any:
            return one if other is None else one + other

    return keras.Model({"a": a, "b": b}, layers.Dense(2)(AddIfThere()(a, b)))


def _shared_layer() -> Any:
    a, b = keras.Input((6,)), keras.Input((6,))
    shared = layers.Dense(4, kernel_regularizer=reg.L2(1e-1))
    return keras.Model([a, b], layers.Dense(2)(layers.Add()([shared(a), shared(b)])))


def _nested() -> Any:
    inner_inputs = keras.Input((6,))
    x = layers.Dense(6, "relu", kernel_regularizer=reg.L2(1e-2))(inner_inputs)
    x = layers.Dropout(0.2, seed=2)(layers.BatchNormalization()(x))
    inner = keras.Model(inner_inputs, x, name="inner")
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(2)(inner(inner(inputs))))


def _frozen_bottom() -> Any:
    inputs = keras.Input((6,))
    bottom = layers.Dense(8, "relu", kernel_regularizer=reg.L2(1e-1), name="bottom")
    norm = layers.BatchNormalization(name="norm")
    x = norm(bottom(inputs))
    bottom.trainable = norm.trainable = False
    return keras.Model(inputs, layers.Dense(3)(x))


def _single_layer() -> Any:
    layer = layers.Dense(3, kernel_regularizer=reg.L2(1e-2))
    layer.build((None, 6))
    return layer


# --- Keras 3: text ----------------------------------------------------------------------------------------------------

_WORDS = ["the", "cat", "dog", "sat", "on", "mat"]


def _text_vectorization() -> Any:
    text = layers.TextVectorization(output_sequence_length=6, vocabulary=_WORDS)
    return keras.Sequential(
        [keras.Input((), dtype="string"), text, layers.Embedding(8, 4), layers.GlobalAveragePooling1D()]
    )


@functools.cache
def vocabulary_folder() -> "tempfile.TemporaryDirectory[str]":
    """Holds `words.txt`, for as long as the process runs."""
    folder = tempfile.TemporaryDirectory(prefix="vocabulary-")
    Path(folder.name, "words.txt").write_text("\n".join(_WORDS) + "\n")
    return folder


def _string_lookup_file() -> Any:
    words = keras.Input((None,), dtype="string", name="words")
    ids = layers.StringLookup(vocabulary=str(Path(vocabulary_folder().name, "words.txt")), name="ids")(words)
    return keras.Model(words, layers.GlobalMaxPooling1D()(layers.Embedding(7, 4)(ids)))


def _words() -> tf.Tensor:
    return tf.constant([["the", "cat"], ["dog", "unknown"], ["mat", "on"]])


def _categories() -> Any:
    inputs = {
        "color": keras.Input((1,), dtype="string", name="color"),
        "age": keras.Input((1,), name="age"),
        "word": keras.Input((1,), dtype="string", name="word"),
    }
    color = layers.StringLookup(vocabulary=["red", "green"], output_mode="one_hot")(inputs["color"])
    age = layers.Discretization(bin_boundaries=[10.0, 30.0], output_mode="one_hot")(inputs["age"])
    word = layers.Hashing(5, output_mode="one_hot")(inputs["word"])
    flat = [layers.Flatten()(one_hot) for one_hot in (color, age, word)]
    return keras.Model(inputs, layers.Dense(3)(layers.Concatenate()(flat)))


def _rows() -> dict[str, Any]:
    return {
        "color": tf.constant([["red"], ["green"], ["blue"]]),
        "age": tf.constant([[5.0], [20.0], [50.0]]),
        "word": tf.constant([["a"], ["b"], ["c"]]),
    }


class RaggedMean(keras.Model):
    """Token rows of any length: `[batch, (length)] int32` -> `[batch, 2] float32`."""

    def __init__(self) -> None:
        super().__init__()
        self.table = self.add_weight(shape=(20, 4), name="table", initializer="random_normal")
        self.last = layers.Dense(2)
        self.last.build((None, 4))
        self.built = True

    def call(self, inputs: Any) -> Any:
        rows = tf.ragged.map_flat_values(lambda ids: tf.gather(tf.convert_to_tensor(self.table), ids), inputs)
        return self.last(tf.reduce_mean(rows, axis=1))


def _ragged_tokens() -> tf.RaggedTensor:
    return tf.ragged.constant([[1, 2, 3], [4], [5, 6], [7, 8, 9, 10]], dtype=tf.int32)


class RaggedText(keras.Model):
    """Strings through a ragged tokenizer: `[batch] string` -> `[batch, 2] float32`."""

    def __init__(self) -> None:
        super().__init__()
        self.text = layers.TextVectorization(ragged=True, vocabulary=_WORDS)
        self.table = self.add_weight(shape=(8, 4), name="table", initializer="random_normal")
        self.last = layers.Dense(2)
        self.last.build((None, 4))
        self.built = True

    def call(self, inputs: Any) -> Any:
        ids = self.text(inputs)
        rows = tf.ragged.map_flat_values(lambda ids: tf.gather(tf.convert_to_tensor(self.table), ids), ids)
        return self.last(tf.reduce_sum(rows, axis=1))


# --- Keras 3: sequences -----------------------------------------------------------------------------------------------


def _sparse() -> Any:
    inputs = keras.Input((6,), sparse=True)
    return keras.Model(inputs, layers.Dense(2)(layers.Dense(5, "relu", kernel_regularizer=reg.L2(1e-2))(inputs)))


def _recurrent() -> Any:
    tokens = keras.Input((7,), dtype="int32")
    x = layers.Embedding(20, 6, mask_zero=True)(tokens)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True, dropout=0.2, recurrent_dropout=0.2, seed=1))(x)
    x = layers.GRU(4, recurrent_regularizer=reg.L2(1e-2))(x)
    return keras.Model(tokens, layers.Dense(2)(x))


def _stateful_rnn() -> Any:
    inputs = keras.Input(batch_shape=(4, 5, 3))
    return keras.Model(inputs, layers.Dense(2)(layers.LSTM(4, stateful=True)(inputs)))


def _custom_rnn() -> Any:
    inputs = keras.Input((5, 3))
    x = layers.RNN([layers.SimpleRNNCell(4, dropout=0.2, seed=3), layers.LSTMCell(3)], return_sequences=True)(inputs)
    return keras.Model(inputs, layers.TimeDistributed(layers.Dense(2))(x))


def _transformer() -> Any:
    tokens = keras.Input((7,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True)(tokens)
    attended = layers.MultiHeadAttention(2, 4, dropout=0.1, seed=4)(x, x)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(8, "gelu")(x)]))
    return keras.Model(tokens, layers.GlobalAveragePooling1D()(x))


# --- Keras 3: numbers, noise, special layers --------------------------------------------------------------------------


def _mixed(policy: str) -> Callable[[], Any]:
    def build() -> Any:
        images = keras.Input((8, 8, 3))
        x = layers.Conv2D(4, 3, dtype=policy, kernel_regularizer=reg.L2(1e-2))(images)
        x = layers.ReLU(dtype=policy)(layers.BatchNormalization(dtype=policy)(x))
        x = layers.GlobalAveragePooling2D(dtype=policy)(x)
        return keras.Model(images, layers.Dense(3, dtype=policy)(x))

    return build


_MIXED_REASON = "half-precision activations: kernels of eager and graph mode round apart by one unit in the last place"


def _augmentation() -> Any:
    images = keras.Input((8, 8, 3))
    x = layers.RandomFlip(seed=1)(images)
    x = layers.RandomRotation(0.2, seed=2)(x)
    x = layers.RandomZoom(0.2, seed=3)(x)
    x = layers.RandomTranslation(0.1, 0.1, seed=4)(x)
    x = layers.RandomContrast(0.2, seed=5)(x)
    x = layers.Conv2D(4, 3)(layers.Rescaling(2.0, -1.0)(x))
    return keras.Model(images, layers.GlobalAveragePooling2D()(x))


def _normalization() -> Any:
    inputs = keras.Input((6,))
    scaled = layers.Normalization(mean=[0.1] * 6, variance=[0.5] * 6)(inputs)
    return keras.Model(inputs, layers.Dense(3)(scaled))


def _normalization_adapted() -> Any:
    normalization = layers.Normalization()
    normalization.adapt(_vectors())
    return keras.Sequential([keras.Input((6,)), normalization, layers.Dense(3)])


def _spectral_noise() -> Any:
    inputs = keras.Input((6,))
    x = layers.SpectralNormalization(layers.Dense(6))(inputs)
    x = layers.AlphaDropout(0.2, seed=2)(layers.GaussianNoise(0.1, seed=1)(x))
    return keras.Model(inputs, layers.Dense(2)(layers.GaussianDropout(0.1, seed=3)(x)))


def _lambda_and_ops() -> Any:
    inputs = keras.Input((6,))
    x = layers.Lambda(lambda t: keras.ops.multiply(keras.ops.sin(t), 2.0))(layers.Dense(6)(inputs))
    x: Any = keras.ops.concatenate([x, keras.ops.square(x)], axis=-1)
    return keras.Model(inputs, layers.Dense(2)(x / 2.0 + 1.0))


def _norms() -> Any:
    images = keras.Input((8, 8, 3))
    x = layers.GroupNormalization(2)(layers.SeparableConv2D(4, 3)(images))
    x = layers.SpatialDropout2D(0.2, seed=1)(layers.PReLU(shared_axes=[1, 2])(x))
    x = layers.UnitNormalization()(layers.Flatten()(x))
    return keras.Model(images, layers.Dense(2, kernel_constraint=keras.constraints.MaxNorm(2.0))(x))


def _efficientnet() -> Any:
    network = keras.applications.EfficientNetV2B0(include_top=False, weights=None, input_shape=(64, 64, 3))
    return keras.Model(network.input, layers.GlobalAveragePooling2D()(network.output))


def _mobilenet() -> Any:
    return keras.applications.MobileNetV3Small(
        input_shape=(None, None, 3), include_top=False, weights=None, pooling="avg", minimalistic=True
    )


def _hyperparameters() -> Any:
    inner_inputs = keras.Input((6,))
    x = layers.BatchNormalization(momentum=0.95)(layers.Dense(8)(inner_inputs))
    inner = keras.Model(inner_inputs, layers.Dropout(0.25, seed=1)(x))
    inputs = keras.Input((6,))
    x = layers.Dropout(0.25, seed=2)(layers.ReLU()(inner(inputs)))
    return keras.Model(inputs, layers.Dense(2)(x))


def _lora() -> Any:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu", name="adapted"), layers.Dense(2, name="last")])
    model.get_layer("adapted").enable_lora(2)
    return model


def _quantized() -> Any:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu"), layers.Dense(2)])
    model.quantize("int8")
    return model


class AddsLoss(layers.Layer):
    """A loss of the activations, by `add_loss`."""

    def call(self, inputs: Any) -> Any:
        self.add_loss(keras.ops.multiply(keras.ops.mean(keras.ops.square(inputs)), 0.01))
        return inputs


def _activity_regularizer() -> Any:
    inputs = keras.Input((6,))
    x = layers.Dense(8, activity_regularizer=reg.L2(1e-2), kernel_regularizer=reg.L2(1e-2))(inputs)
    return keras.Model(inputs, layers.Dense(2)(AddsLoss()(x)))


# --- tf_keras ---------------------------------------------------------------------------------------------------------

_old = tf_keras.layers


def _tf_keras_functional() -> Any:
    images = tf_keras.Input((8, 8, 3))
    x = _old.Conv2D(4, 3, kernel_regularizer=tf_keras.regularizers.L2(1e-2))(images)
    x = _old.ReLU()(_old.BatchNormalization(momentum=0.9)(x))
    return tf_keras.Model(images, _old.Dense(3)(_old.GlobalAveragePooling2D()(x)))


def _tf_keras_sequential() -> Any:
    model = tf_keras.Sequential([_old.Dense(8, "relu"), _old.LayerNormalization(), _old.Dense(2)])
    model(_vectors())
    return model


def _tf_keras_dict() -> Any:
    a, b = tf_keras.Input((6,), name="a"), tf_keras.Input((4,), name="b")
    joined = _old.Dense(5, "relu")(_old.Concatenate()([a, b]))
    return tf_keras.Model({"a": a, "b": b}, {"default": _old.Dense(2)(joined), "hidden": joined})


def _tf_keras_text() -> Any:
    text = _old.TextVectorization(output_sequence_length=6, vocabulary=_WORDS)
    return tf_keras.Sequential(
        [tf_keras.Input((), dtype="string"), text, _old.Embedding(8, 4), _old.GlobalAveragePooling1D()]
    )


def _tf_keras_lstm() -> Any:
    tokens = tf_keras.Input((7,), dtype="int32")
    x = _old.Bidirectional(_old.LSTM(4, return_sequences=True))(_old.Embedding(20, 6, mask_zero=True)(tokens))
    return tf_keras.Model(tokens, _old.Dense(2)(_old.GRU(4)(x)))


class OldBlock(tf_keras.Model):
    """A subclassed tf_keras model with an activity regularizer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _old.Dense(8, "relu", activity_regularizer=tf_keras.regularizers.L2(1e-2))
        self.last = _old.Dense(3, kernel_regularizer=tf_keras.regularizers.L2(1e-2))

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return self.last(self.first(inputs))


# --- low-level TensorFlow ---------------------------------------------------------------------------------------------


class MyMulModel(tf.train.Checkpoint):
    """The example of TensorFlow Hub's guide "Exporting a SavedModel", on `tf.train.Checkpoint`."""

    def __init__(self, v_init: float = 1.0, l2: float = 1e-3) -> None:
        super().__init__()
        self.v = tf.Variable(v_init)
        self.variables = [self.v]
        self.trainable_variables = [self.v]
        self.regularization_losses = [tf.function(lambda: l2 * self.v**2, input_signature=[])]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, inputs: Any) -> Any:
        return inputs * self.v


class Affine(tf.Module):
    """A `tf.Module` that has never been traced."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal([6, 3], [1, 2]), name="kernel")
        self.bias = tf.Variable(tf.zeros([3]), name="bias")
        self.calls = tf.Variable(0.0, trainable=False, name="calls")

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        if training:
            self.calls.assign_add(1.0)
        return inputs @ self.kernel + self.bias


KINDS: dict[str, Kind] = {
    "sequential": Kind(_seeded(_sequential), _vectors),
    "sequential_deferred": Kind(_seeded(_sequential_deferred), _vectors),
    "cnn": Kind(_seeded(_cnn), _images),
    "subclassed": Kind(_seeded(lambda: _called(Block(), _vectors())), _vectors),
    "subclassed_without_training": Kind(
        _seeded(lambda: _called(Implicit(), _vectors())), _vectors, specs=tf.TensorSpec([None, 6])
    ),
    "subclassed_dict": Kind(
        _seeded(lambda: _called(Names(), {"left": _vectors(), "right": _vectors()})),
        lambda: {"left": _vectors(), "right": _vectors()},
        specs={"left": tf.TensorSpec([None, 6]), "right": tf.TensorSpec([None, 6])},
    ),
    "dict_io": Kind(_seeded(_dict_io), _pair),
    "list_io": Kind(_seeded(_list_io), lambda: list(_pair().values())),
    "one_element_list": Kind(_seeded(_one_element_list), _vectors),
    "optional_input": Kind(_seeded(_optional_input), lambda: {"a": _floats(8, 6), "b": _vectors()}),
    "shared_layer": Kind(_seeded(_shared_layer), lambda: [_vectors(), 1 - _vectors()]),
    "nested": Kind(_seeded(_nested), _vectors),
    "frozen_bottom": Kind(_seeded(_frozen_bottom), _vectors, options=ExportOptions(frozen="keep")),
    "single_layer": Kind(_seeded(_single_layer), _vectors, specs=tf.TensorSpec([None, 6])),
    "text_vectorization": Kind(_seeded(_text_vectorization), _sentences),
    "string_lookup_file": Kind(_seeded(_string_lookup_file), _words),
    "categories": Kind(_seeded(_categories), _rows),
    "ragged_tokens": Kind(
        _seeded(lambda: RaggedMean()), _ragged_tokens, specs=tf.RaggedTensorSpec([None, None], tf.int32, 1)
    ),
    "ragged_text": Kind(_seeded(lambda: RaggedText()), _sentences, specs=tf.TensorSpec([None], tf.string)),
    "sparse": Kind(_seeded(_sparse), lambda: tf.sparse.from_dense(np.where(_vectors() > 0.5, _vectors(), 0))),
    "recurrent": Kind(_seeded(_recurrent), _tokens),
    "stateful_rnn": Kind(_seeded(_stateful_rnn), lambda: _floats(4, 5, 3)),
    "custom_rnn": Kind(_seeded(_custom_rnn), lambda: _floats(4, 5, 3)),
    "transformer": Kind(_seeded(_transformer), _tokens),
    "mixed_bfloat16": Kind(
        _seeded(_mixed("mixed_bfloat16")), _images, inference=1e-3, in_a_graph=True, reason=_MIXED_REASON
    ),
    "mixed_float16": Kind(
        _seeded(_mixed("mixed_float16")), _images, inference=1e-3, in_a_graph=True, reason=_MIXED_REASON
    ),
    "augmentation": Kind(_seeded(_augmentation), _images),
    "normalization": Kind(_seeded(_normalization), _vectors),
    "normalization_adapted": Kind(_seeded(_normalization_adapted), _vectors),
    "spectral_noise": Kind(_seeded(_spectral_noise), _vectors),
    "lambda_and_ops": Kind(_seeded(_lambda_and_ops), _vectors),
    "norms_and_constraint": Kind(_seeded(_norms), _images),
    "efficientnet_v2": Kind(_seeded(_efficientnet), lambda: 255 * _floats(2, 64, 64, 3), learning_rate=1e-3),
    "mobilenet_v3": Kind(_seeded(_mobilenet), lambda: 255 * _floats(4, 64, 96, 3), learning_rate=1e-3),
    "hyperparameters": Kind(
        _seeded(_hyperparameters),
        _vectors,
        options=ExportOptions(hyperparameters=("dropout_rate", "batch_norm_momentum")),
    ),
    "lora": Kind(_seeded(_lora), _vectors, options=ExportOptions(frozen="keep")),
    "quantized_int8": Kind(_seeded(_quantized), _vectors, options=ExportOptions(frozen="keep")),
    "activity_regularizer": Kind(
        _seeded(_activity_regularizer),
        _vectors,
        options=ExportOptions(return_losses=True),
        arguments={"return_losses": True},
    ),
    "tf_keras_functional": Kind(_seeded(_tf_keras_functional), _images, "tf_keras"),
    "tf_keras_sequential": Kind(_seeded(_tf_keras_sequential), _vectors, "tf_keras"),
    "tf_keras_dict": Kind(_seeded(_tf_keras_dict), _pair, "tf_keras"),
    "tf_keras_text": Kind(_seeded(_tf_keras_text), _sentences, "tf_keras"),
    "tf_keras_lstm": Kind(_seeded(_tf_keras_lstm), _tokens, "tf_keras"),
    "tf_keras_subclassed": Kind(
        _seeded(lambda: _called(OldBlock(), _vectors())),
        _vectors,
        "tf_keras",
        options=ExportOptions(return_losses=True),
        arguments={"return_losses": True},
    ),
    "my_mul_model": Kind(MyMulModel, lambda: np.array([1.0, 2.0], np.float32), "low-level"),
    "tf_module": Kind(Affine, _vectors, "low-level", specs=tf.TensorSpec([None, 6])),
}

# Two whole networks of keras.applications, and one whose loops TensorFlow takes long to differentiate, take minutes, so
# they wait for the long run.
_LONG = ("efficientnet_v2", "mobilenet_v3", "tf_keras_lstm")
NAMES = [pytest.param(name, marks=pytest.mark.long) if name in _LONG else name for name in KINDS]
