"""Pieces with one fault each: `FAULTY[name].write(folder)` writes one, and `FAULTY[name].finding` must name its fault.

All but those of a record are one small piece, written with plain TensorFlow, with one part of it exchanged:

    rows [batch, 8] → dense → batch normalization → ReLU → dense → features [batch, 6]
"""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from piecehub.exporting import reusable

WIDTH, FEATURES = 8, 6
ROWS = tf.TensorSpec([None, WIDTH], tf.float32)
Forward = Callable[[Any, Any, bool], Any]
_Trackable: Any = tf.__internal__.tracking.AutoTrackable
_function: Any = tf.function


@dataclass(frozen=True)
class Fault:
    """A fault, and how the validator must name it.

    Attributes:
        write: writes the SavedModel into a folder that does not exist.
        finding: the number of the check that must fall short.
        words: what its sentence must say, as a regular expression.
        also: other checks that fall short with it, by its nature.
    """

    write: Callable[[Path], object]
    finding: str
    words: str
    also: frozenset[str] = frozenset()


class Piece(_Trackable):
    """The variables of the piece, and the parts of its forward pass; a fault is one part exchanged."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        super().__init__()
        self.kernel = _variable(0.4 * rng.normal(size=[WIDTH, WIDTH]), "dense/kernel")
        self.gamma = _variable(np.ones(WIDTH), "norm/gamma")
        self.beta = _variable(0.1 * rng.normal(size=WIDTH), "norm/beta")
        self.last = _variable(0.4 * rng.normal(size=[WIDTH, FEATURES]), "last/kernel")
        self.mean = _variable(np.full(WIDTH, 0.1), "norm/statistic_1", trainable=False)
        self.variance = _variable(np.full(WIDTH, 0.3), "norm/statistic_2", trainable=False)

    def forward(self, x: Any, training: bool) -> Any:
        """The forward pass of the piece without a fault."""
        return tf.nn.relu(self.normalized(x @ self.kernel, training)) @ self.last

    def normalized(self, y: Any, training: bool, momentum: float = 0.9) -> Any:
        """Batch normalization with running statistics."""
        if not training:
            return self.scaled(y, self.mean, self.variance)
        mean, variance = tf.nn.moments(y, [0])
        self.mean.assign(momentum * self.mean + (1 - momentum) * mean)
        self.variance.assign(momentum * self.variance + (1 - momentum) * variance)
        return self.scaled(y, mean, variance)

    def scaled(self, y: Any, mean: Any, variance: Any) -> Any:
        """`y` with that mean and variance taken out."""
        return self.gamma * (y - mean) / tf.sqrt(variance + 1e-3) + self.beta

    def penalty(self) -> Any:
        """The loss of the regularized kernel."""
        return 1e-3 * tf.reduce_sum(self.kernel**2)


def _variable(value: Any, name: str, **options: Any) -> Any:
    make: Any = tf.Variable
    return make(tf.constant(value, tf.float32), name=name, **options)


def write(
    folder: Path,
    forward: Forward = Piece.forward,
    *,
    spec: Any = ROWS,
    traces: tuple[bool, ...] = (False, True),
    serve: Callable[[Any, Any], Any] | None = None,
    change: Callable[[Any], object] = lambda piece: None,
) -> None:
    """Writes the piece with that forward pass, after `change` was made to it.

    Args:
        folder: that does not exist yet.
        forward: `(piece, inputs, training) -> features`.
        spec: of the inputs.
        traces: values of `training` that are traced.
        serve: what `serving_default` gives, by the piece and the inputs; what `__call__` gives if None.
        change: of the piece's members.
    """
    piece: Any = Piece()

    def call(inputs: Any, training: bool = False) -> Any:
        return forward(piece, inputs, training)

    piece.__call__ = _function(call)
    piece.variables = [piece.kernel, piece.gamma, piece.beta, piece.last, piece.mean, piece.variance]
    piece.trainable_variables = piece.variables[:4]
    piece.regularization_losses = [_function(piece.penalty, input_signature=[])]
    change(piece)
    for training in traces:
        piece.__call__.get_concrete_function(spec, training=training)
    served = _function(lambda inputs: {"outputs": (serve or _called)(piece, inputs)}, input_signature=[spec])
    tf.saved_model.save(piece, str(folder), signatures={"serving_default": served})


def _called(piece: Any, inputs: Any) -> Any:
    return piece.__call__(inputs)


def _of(forward: Forward, **options: Any) -> Callable[[Path], object]:
    return lambda folder: write(folder, forward, **options)


# --- gradients and weights ----------------------------------------------------------------------------------------


def _stopped(piece: Any, x: Any, training: bool) -> Any:
    """No gradient comes below the last layer."""
    return tf.stop_gradient(tf.nn.relu(piece.normalized(x @ piece.kernel, training))) @ piece.last


def _dead(piece: Any, x: Any, training: bool) -> Any:
    """A layer whose units all stay below their rectifier: nothing teaches its kernel."""
    return tf.nn.relu(piece.normalized(tf.nn.relu(x @ piece.kernel - 1e4), training) + x) @ piece.last


def _root_of_nothing(piece: Any, x: Any, training: bool) -> Any:
    """The norm of a vector that is 0 has no gradient: it is infinite times 0."""
    y = piece.normalized(x @ piece.kernel, training)
    return tf.nn.relu(y) @ piece.last + tf.norm(tf.nn.relu(y - 1e4), axis=1, keepdims=True)


def _without_weights(piece: Any) -> None:
    piece.trainable_variables = []


def _folded(piece: Any, x: Any, training: bool) -> Any:
    """At inference the weights are constants, as an optimizer of graphs leaves them."""
    if training:
        return Piece.forward(piece, x, training)
    with tf.init_scope():
        kernel, gamma, beta, last, mean, variance = (variable.numpy() for variable in piece.variables)
    return tf.nn.relu(gamma * (x @ kernel - mean) / tf.sqrt(variance + 1e-3) + beta) @ last


# --- batch normalization --------------------------------------------------------------------------------------------


def _never_moves(piece: Any, x: Any, training: bool) -> Any:
    """Training takes the batch's statistics, inference running ones, and nothing writes these."""
    y = x @ piece.kernel
    mean, variance = tf.nn.moments(y, [0]) if training else (piece.mean, piece.variance)
    return tf.nn.relu(piece.scaled(y, mean, variance)) @ piece.last


def _adds_up(piece: Any, x: Any, training: bool) -> Any:
    """Each batch is added to the statistics, and nothing is taken off."""
    y = x @ piece.kernel
    mean, variance = tf.nn.moments(y, [0]) if training else (piece.mean, piece.variance)
    if training:
        piece.mean.assign_add(0.1 * mean)
        piece.variance.assign_add(0.1 * variance)
    return tf.nn.relu(piece.scaled(y, mean, variance)) @ piece.last


def _explodes(piece: Any, x: Any, training: bool) -> Any:
    """A momentum of 1.1: statistics run away."""
    return tf.nn.relu(piece.normalized(x @ piece.kernel, training, momentum=1.1)) @ piece.last


def _squares(piece: Any, x: Any, training: bool) -> Any:
    """A statistic that no line describes: it is squared at each call, and 3 at the start."""
    if training:
        piece.variance.assign(piece.variance**2)
    return Piece.forward(piece, x, False)


def _moves_in_inference(piece: Any, x: Any, training: bool) -> Any:
    """Statistics move whatever `training` is."""
    piece.normalized(x @ piece.kernel, True)
    return Piece.forward(piece, x, training)


class _Deaf(keras.layers.Layer):
    """Calls a layer with training=False, whatever it is told."""

    def __init__(self, layer: Any) -> None:
        super().__init__(name="deaf")
        self.layer = layer

    def call(self, inputs: Any) -> Any:
        return self.layer(inputs, training=False)


def _deaf(layer: Any) -> Callable[[Path], object]:
    """Writes our export of a model that calls the layer with training=False."""

    def exported(folder: Path) -> None:
        inputs = keras.Input((WIDTH,))
        y = _Deaf(layer())(keras.layers.Dense(WIDTH, "relu")(inputs))
        reusable.export(keras.Model(inputs, keras.layers.Dense(FEATURES)(y)), folder)

    return exported


# --- what training adds ---------------------------------------------------------------------------------------------


def _regularized() -> Any:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(size, kernel_regularizer=keras.regularizers.L2(0.01)) for size in (WIDTH, FEATURES)]
    return keras.Sequential([keras.Input((WIDTH,)), *layers])


def _saved_again(folder: Path, change: Callable[[Any], object]) -> None:
    """Our export, loaded, changed and saved again with what lies beside it, as a careless fine-tuning ends."""
    reusable.export(_regularized(), folder.with_name("before"))
    piece: Any = tf.saved_model.load(str(folder.with_name("before")))
    change(piece)
    tf.saved_model.save(piece, str(folder), signatures=dict(piece.signatures))
    shutil.copytree(folder.with_name("before") / "assets.extra", folder / "assets.extra")


def _without_regularizers(piece: Any) -> None:
    piece.regularization_losses = []


def _with_weaker_regularizers(piece: Any) -> None:
    losses = [_function(_tenth_of(loss), input_signature=[]) for loss in piece.regularization_losses]
    piece.regularization_losses = losses


def _tenth_of(loss: Any) -> Callable[[], Any]:
    return lambda: 0.1 * loss()


def _constant_regularizer(piece: Any) -> None:
    value = float(piece.penalty())
    piece.regularization_losses = [_function(lambda: tf.constant(value), input_signature=[])]


def _thousandfold(piece: Any, x: Any, training: bool) -> Any:
    """Features a thousand times as large as a head can bear."""
    return 1000.0 * Piece.forward(piece, x, training)


def in_powers(piece: Any, x: Any, training: bool) -> Any:
    """Features that small steps of the weights bring beyond all floats."""
    return tf.exp(100.0 * Piece.forward(piece, x, training)) - 1.0


def with_small_weights(piece: Any) -> None:
    """Makes the last kernel a hundredth of what it was."""
    piece.last.assign(0.01 * piece.last)


# --- outputs --------------------------------------------------------------------------------------------------------


def _probabilities(piece: Any, x: Any, training: bool) -> Any:
    return tf.nn.softmax(Piece.forward(piece, x, training))


def _half(piece: Any, x: Any, training: bool) -> Any:
    return tf.cast(Piece.forward(piece, x, training), tf.float16)


def _of_doubles(piece: Any, x: Any, training: bool) -> Any:
    return Piece.forward(piece, tf.cast(x, tf.float32), training)


def _without_the_batch_mean(piece: Any, x: Any, training: bool) -> Any:
    y = Piece.forward(piece, x, training)
    return y - tf.reduce_mean(y, axis=0)


def _with_dropout_on_top(piece: Any, x: Any, training: bool) -> Any:
    y = Piece.forward(piece, x, training)
    return tf.nn.dropout(y, 0.5) if training else y


def _undefined_at_zero(piece: Any, x: Any, training: bool) -> Any:
    """Rows of length 1, which a row of zeros cannot be."""
    return Piece.forward(piece, x / tf.norm(x, axis=1, keepdims=True), training)


def _noisy(piece: Any, x: Any, training: bool) -> Any:
    y = Piece.forward(piece, x, training)
    return y if training else y + tf.random.normal([FEATURES], stddev=0.1)


def _thirty_two(piece: Any, x: Any, training: bool) -> Any:
    """The size of the batch is open in the trace, and fixed inside."""
    return Piece.forward(piece, tf.reshape(x, [32, WIDTH]), training)


def _through_python(piece: Any, x: Any, training: bool) -> Any:
    y = tf.numpy_function(np.tanh, [Piece.forward(piece, x, training)], tf.float32)
    return tf.ensure_shape(y, [None, FEATURES])


# --- memory ---------------------------------------------------------------------------------------------------------


def _remembers(folder: Path) -> None:
    """A variable without a fixed shape takes up every batch."""
    make: Any = tf.Variable

    def forward(piece: Any, x: Any, training: bool) -> Any:
        if training:
            piece.seen.assign(tf.concat([piece.seen, x], axis=0))
        return Piece.forward(piece, x, training)

    def change(piece: Any) -> None:
        piece.seen = make(tf.zeros([0, WIDTH]), shape=[None, WIDTH], trainable=False, name="seen")
        piece.variables = [*piece.variables, piece.seen]

    write(folder, forward, change=change)


def _keeps_in_a_table(folder: Path) -> None:
    """A table of the piece gets an entry for each example, at inference too."""

    def forward(piece: Any, x: Any, training: bool) -> Any:
        first = tf.range(tf.shape(x, tf.int64)[0]) + piece.table.size()
        piece.table.insert(first, x)
        return Piece.forward(piece, x, training)

    def change(piece: Any) -> None:
        piece.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, tf.zeros([WIDTH]))

    write(folder, forward, change=change)


def _keeps_out_of_sight(folder: Path) -> None:
    """As before, in a table that no attribute holds: only the process grows."""
    raw: Any = tf.raw_ops

    def forward(piece: Any, x: Any, training: bool) -> Any:
        table = raw.MutableHashTableOfTensorsV2(
            key_dtype=tf.int64, value_dtype=tf.float32, value_shape=[256], shared_name="kept"
        )
        first = piece.count.assign_add(tf.shape(x, tf.int64)[0])
        keys = tf.range(first - tf.shape(x, tf.int64)[0], first)
        rows = tf.tile(x, [1, math.ceil(256 / WIDTH)])
        raw.LookupTableInsertV2(table_handle=table, keys=keys, values=rows)
        return Piece.forward(piece, x, training)

    def change(piece: Any) -> None:
        piece.count = tf.Variable(tf.constant(0, tf.int64), trainable=False, name="count")
        piece.variables = [*piece.variables, piece.count]

    write(folder, forward, change=change)


# --- serving --------------------------------------------------------------------------------------------------------


def _serves_bytes(piece: Any, inputs: Any) -> Any:
    return piece.__call__(inputs / 255.0)


def _serves_clipped(piece: Any, inputs: Any) -> Any:
    return piece.__call__(tf.clip_by_value(inputs, 0.0, 1.0))


FAULTY: dict[str, Fault] = {
    "gradients stopped half-way": Fault(_of(_stopped), "D11", "none for 3 of 4"),
    "units that are dead": Fault(_of(_dead), "D30", "0 for"),
    "the root of nothing": Fault(_of(_root_of_nothing), "D11", "NaN", frozenset({"D17", "D27"})),
    "no trainable variables": Fault(_of(Piece.forward, change=_without_weights), "D3", "none"),
    "inference of constants": Fault(_of(_folded), "D32", "none of the 4 variables reaches"),
    "statistics that never move": Fault(_of(_never_moves), "D24", "'norm/statistic_1', 'norm/statistic_2'"),
    "statistics that add up": Fault(_of(_adds_up), "D25", "add up without end"),
    "statistics that explode": Fault(_of(_explodes), "D25", "multiplies by 1.1"),
    "statistics that are squared": Fault(
        _of(_squares, change=lambda piece: piece.variance.assign(tf.fill([WIDTH], 3.0))), "D25", "out of all bounds"
    ),
    "statistics that move at inference": Fault(_of(_moves_in_inference), "D8", "changes of", frozenset({"D7", "S13"})),
    "batch normalization that is always frozen": Fault(
        _deaf(keras.layers.BatchNormalization), "D14", "stays though its layer is trained"
    ),
    "no training trace": Fault(_of(Piece.forward, traces=(False,)), "D6", "none for True", frozenset({"D21"})),
    "regularizers dropped": Fault(
        lambda folder: _saved_again(folder, _without_regularizers), "D28", "2 regularization losses.*Received: 0"
    ),
    "regularizers weakened": Fault(
        lambda folder: _saved_again(folder, _with_weaker_regularizers), "D28", "as recorded"
    ),
    "a regularizer that is constant": Fault(
        _of(Piece.forward, change=_constant_regularizer), "D28", "a constant as loss 0"
    ),
    "dropout that does not act": Fault(_deaf(lambda: keras.layers.Dropout(0.5)), "D31", "the same outputs twice"),
    "features times a thousand": Fault(_of(_thousandfold), "D27", "gradient descent at 0.01"),
    "features in powers": Fault(_of(in_powers, change=with_small_weights), "D27", "gradient descent at 0.01"),
    "softmax head": Fault(_of(_probabilities), "D10", "Softmax"),
    "float16 output": Fault(_of(_half), "D9", "float16"),
    "float64 input": Fault(
        _of(_of_doubles, spec=tf.TensorSpec([None, WIDTH], tf.float64)), "D29", "float64", frozenset({"D21"})
    ),
    "depends on the other rows": Fault(_of(_without_the_batch_mean), "D7", "whatever else"),
    "dropout on the output": Fault(_of(_with_dropout_on_top), "D15", "at 0 by chance", frozenset({"D16"})),
    "features that are NaN for zeros": Fault(_of(_undefined_at_zero), "D9", "inference on zeros"),
    "noise at inference": Fault(_of(_noisy), "D8", "others at call 2", frozenset({"D7", "D18", "S13"})),
    "fixed batch": Fault(_of(Piece.forward, spec=tf.TensorSpec([32, WIDTH], tf.float32)), "D7", r"\(32, 8\)"),
    "fixed batch inside": Fault(_of(_thirty_two), "D7", "takes 32 examples"),
    "python inside": Fault(_of(_through_python), "S4", "PyFunc"),
    "a variable that remembers": Fault(_remembers, "D26", "the bytes of 'seen'", frozenset({"D21"})),
    "a table that keeps": Fault(_keeps_in_a_table, "D26", "the entries of table"),
    "a table out of sight": Fault(_keeps_out_of_sight, "D26", "a heap that grows"),
    "serving that scales": Fault(_of(Piece.forward, serve=_serves_bytes), "S13", "others for"),
    "serving that clips": Fault(_of(Piece.forward, serve=_serves_clipped), "S13", "large, negative"),
}
