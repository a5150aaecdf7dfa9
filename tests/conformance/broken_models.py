"""Models that break one rule each, made of real TensorFlow objects.

    save(broken_model(forward), folder)      a model whose `__call__` is `forward(root, inputs, training)`

`BROKEN` names for each what makes it, the check that must catch it, and words of that check's sentence.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.core.protobuf import saved_model_pb2

ROWS = tf.TensorSpec([None, 4], tf.float32, name="inputs")
Forward = Callable[..., Any]
Make = Callable[[Path], Path]
Trackable: Any = tf.__internal__.tracking.AutoTrackable
_variable: Any = tf.Variable


def model(forward: Forward, spec: Any = ROWS, traces: tuple[bool, ...] = (False, True), **attributes: Any) -> Any:
    """A minimal root with weights `w`, regularized, whose `__call__` is `forward(root, inputs, training)`."""

    class Root(Trackable):
        @tf.function
        def __call__(self, inputs: Any, training: bool = False) -> Any:
            return forward(self, inputs, training)

    root: Any = Root()
    root.w = _variable([[0.5, -1.0, 2.0]] * 4, name="w")
    root.state = _variable(0.0, trainable=False, name="state")
    root.seed = _variable(0, trainable=False, name="seed")
    root.variables, root.trainable_variables = [root.w, root.state, root.seed], [root.w]
    root.regularization_losses = [tf.function(lambda: 0.01 * tf.nn.l2_loss(root.w), input_signature=[])]
    for name, value in attributes.items():
        setattr(root, name, value)
    for training in traces:
        root.__call__.get_concrete_function(spec, training=training)
    return root


def save(root: Any, folder: Path, serve: Forward | None = None, spec: Any = ROWS) -> Path:
    """Saves `root` with the signature `serving_default`: `serve`, or its own `__call__`."""
    function = tf.function(serve or root.__call__, autograph=False).get_concrete_function(spec)
    tf.saved_model.save(root, str(folder), signatures={"serving_default": function})
    return folder


def plain(root: Any, x: Any, training: bool) -> Any:
    """The forward pass of a good model."""
    return x @ root.w + 0.0 * root.state


def of(forward: Forward, spec: Any = ROWS, **attributes: Any) -> Make:
    """Makes a model with that forward pass."""
    return lambda folder: save(model(forward, spec, **attributes), folder, spec=spec)


def changed(change: Callable[[Any], object]) -> Make:
    """Makes a good model that `change` has changed before it was saved."""

    def make(folder: Path) -> Path:
        root = model(plain)
        change(root)
        return save(root, folder)

    return make


def _without_child(name: str, make: Make) -> Make:
    """Makes a model, then takes a child of the root out of its object graph."""

    def edited(folder: Path) -> Path:
        path = make(folder) / "saved_model.pb"
        proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        root = proto.meta_graphs[0].object_graph_def.nodes[0]
        kept = [child for child in root.children if child.local_name != name]
        del root.children[:]
        root.children.extend(kept)
        path.write_bytes(proto.SerializeToString())
        return folder

    return edited


# --- forward passes -----------------------------------------------------------------------------------------------


def _hidden_batch(root: Any, x: Any, training: bool) -> Any:
    return tf.reshape(x, [7, 4]) @ root.w


def _softmax(root: Any, x: Any, training: bool) -> Any:
    return tf.reshape(tf.nn.softmax(x @ root.w), [-1, 3])


def _softmax_by_hand(root: Any, x: Any, training: bool) -> Any:
    powers = tf.exp(x @ root.w)
    return powers / tf.reduce_sum(powers, axis=1, keepdims=True)


def _log_softmax_by_hand(root: Any, x: Any, training: bool) -> Any:
    y = x @ root.w
    return y - tf.reduce_logsumexp(y, axis=1, keepdims=True)


def _softmax_of_tokens(root: Any, x: Any, training: bool) -> Any:
    powers = tf.exp(tf.stack([x @ root.w, x @ root.w + 1.0], axis=1) * [1.0, 2.0, 3.0])
    return {"tokens": powers / tf.reduce_sum(powers, axis=2, keepdims=True), "default": x @ root.w}


def _softmax_in_calls(root: Any, x: Any, training: bool) -> Any:
    passed = tf.function(lambda y: tf.identity(y))
    inner = tf.function(lambda y: tf.identity(tf.nn.softmax(y)))
    outer = tf.function(lambda y: tf.concat([y @ root.w, passed(inner(y @ root.w))], axis=1))
    return tf.ensure_shape(outer(x), [None, 6])


def _softmax_in_a_branch(root: Any, x: Any, training: bool) -> Any:
    y = x @ root.w
    return tf.cond(root.state < 1.0, lambda: tf.nn.softmax(y) * 1.0 + y * 0.0, lambda: tf.sigmoid(y))


def _sigmoid(root: Any, x: Any, training: bool) -> Any:
    return tf.sigmoid(x @ root.w)


def _stopped(root: Any, x: Any, training: bool) -> Any:
    return x @ tf.stop_gradient(root.w)


def _stopped_for_one(root: Any, x: Any, training: bool) -> Any:
    return x @ root.w + tf.stop_gradient(root.bias)


def _among_others(root: Any, x: Any, training: bool) -> Any:
    return (x - tf.reduce_mean(x, axis=0)) @ root.w


def _one_row(root: Any, x: Any, training: bool) -> Any:
    return tf.reduce_sum(x @ root.w, axis=0, keepdims=True)


def _impure(root: Any, x: Any, training: bool) -> Any:
    root.state.assign_add(1.0)
    return x @ root.w


def _random(root: Any, x: Any, training: bool) -> Any:
    return x @ root.w + tf.random.normal([1, 3], seed=1)


def _float64(root: Any, x: Any, training: bool) -> Any:
    return tf.cast(x @ root.w, tf.float64)


def _float16(root: Any, x: Any, training: bool) -> Any:
    return {"default": x @ root.w, "half": tf.cast(x @ root.w, tf.float16)}


def _infinite_in_training(root: Any, x: Any, training: bool) -> Any:
    return x @ root.w + (float("inf") if training else 0.0)


def _writes_weights(root: Any, x: Any, training: bool) -> Any:
    if training:
        root.w.assign(0.9 * root.w)
    return x @ root.w


def _averages(momentum: float) -> Forward:
    def forward(root: Any, x: Any, training: bool) -> Any:
        y = x @ root.w
        if training:
            root.state.assign(momentum * root.state + (1.0 - momentum) * tf.reduce_mean(y))
        return y - root.state

    return forward


def _dropped(root: Any, x: Any, training: bool) -> Any:
    y = x @ root.w
    return tf.nn.dropout(y, 0.3, name="the_dropout") if training else y


def _dropped_inside(root: Any, x: Any, training: bool) -> Any:
    return (tf.nn.dropout(x, 0.3, name="the_dropout") if training else x) @ root.w


@tf.custom_gradient
def _reversed(x: Any) -> Any:
    return tf.identity(x), lambda upstream: -upstream


def _uphill(root: Any, x: Any, training: bool) -> Any:
    return _reversed(x @ root.w)


def _stale(root: Any, x: Any, training: bool) -> Any:
    y = x @ root.w
    return y - (tf.reduce_mean(y) if training else root.state)


def _sums(root: Any, x: Any, training: bool) -> Any:
    y = x @ root.w
    if training:
        root.state.assign_add(tf.reduce_mean(y))
    return y - root.state


def _remembers(root: Any, x: Any, training: bool) -> Any:
    if training:
        root.seen.assign(tf.concat([root.seen, x], axis=0))
    return x @ root.w


def _folded(root: Any, x: Any, training: bool) -> Any:
    with tf.init_scope():
        value = root.w.numpy()
    return x @ (root.w if training else value)


def _reads_open(root: Any, x: Any, training: bool) -> Any:
    return x @ root.w + tf.reduce_sum(root.seen)


def _thousands(root: Any, x: Any, training: bool) -> Any:
    return 3000.0 * (x @ root.w)


def _times_zero(root: Any, x: Any, training: bool) -> Any:
    return x @ root.w + 0.0 * root.bias


def _of_32(root: Any, x: Any, training: bool) -> Any:
    return tf.reshape(x, [32, 4]) @ root.w


def _of_at_most_32(root: Any, x: Any, training: bool) -> Any:
    rows = tf.gather(tf.zeros([32, 1]), tf.range(tf.shape(x)[0]))
    return x @ root.w + rows


def _counts_changes(root: Any, x: Any, training: bool) -> Any:
    """Its integer state holds what it saw last, and how often that was something else than before."""
    if training:
        return x @ root.w
    seen, last = 1 + tf.cast(1000.0 * x[0, 0], tf.int32), root.seed // 8
    count = (root.seed % 8 + tf.cast(seen != last, tf.int32)) % 8
    root.seed.assign(8 * seen + count)
    return x @ root.w + 0.1 * tf.cast(count, tf.float32)


def _of_length_1(root: Any, x: Any, training: bool) -> Any:
    return x / tf.norm(x, axis=1, keepdims=True) @ root.w


def _looks_up(root: Any, x: Any, training: bool) -> Any:
    return x @ root.w * root.table.lookup(tf.cast(0.0 * x[:, :1], tf.int32))


# --- models that are more than a forward pass -----------------------------------------------------------------------


def _fixed_batch(folder: Path) -> Path:
    root = model(plain, tf.TensorSpec([8, 4], tf.float32))
    return save(root, folder, lambda inputs: inputs @ root.w)


def _lost_weights(folder: Path) -> Path:
    shutil.rmtree(of(plain)(folder) / "variables")
    return folder


def _true_by_default(folder: Path) -> Path:
    class Root(Trackable):
        @tf.function
        def __call__(self, inputs: Any, training: bool = True) -> Any:
            return inputs @ self.w

    root: Any = Root()
    root.w = _variable([[1.0, 2.0, -4.0]] * 4)
    root.variables, root.trainable_variables = [root.w], [root.w]
    for training in (False, True):
        root.__call__.get_concrete_function(ROWS, training=training)
    return save(root, folder)


def _two_arguments(folder: Path) -> Path:
    class Root(Trackable):
        @tf.function
        def __call__(self, left: Any, right: Any) -> Any:
            return left @ self.w + right @ self.w

    root: Any = Root()
    root.w = _variable([[1.0, 2.0, -4.0]] * 4)
    root.variables, root.trainable_variables = [root.w], [root.w]
    root.__call__.get_concrete_function(ROWS, ROWS)
    return save(root, folder, lambda inputs: inputs @ root.w)


def _deep_inputs(folder: Path) -> Path:
    spec = {"a": {"b": ROWS}}
    root = model(lambda root, x, training: x["a"]["b"] @ root.w + 0.0 * root.state, spec)
    return save(root, folder, lambda inputs: root({"a": {"b": inputs}}))


def _deep_outputs(folder: Path) -> Path:
    root = model(lambda root, x, training: {"a": {"b": x @ root.w + 0.0 * root.state}})
    return save(root, folder, lambda inputs: root(inputs)["a"])


def _lacks_a_combination(folder: Path) -> Path:
    """Two flags, of which each has a trace for True, and both together none."""

    class Root(Trackable):
        @tf.function
        def __call__(self, inputs: Any, training: bool = False, twice: bool = False) -> Any:
            return inputs @ self.w * (2.0 if twice else 1.0)

    root: Any = Root()
    root.w = _variable([[1.0, 2.0, -4.0]] * 4)
    root.variables, root.trainable_variables = [root.w], [root.w]
    for training, twice in ((False, False), (True, False), (False, True)):
        root.__call__.get_concrete_function(ROWS, training=training, twice=twice)
    return save(root, folder)


def _mostly_dead(root: Any, x: Any, training: bool) -> Any:
    return tf.concat([x @ root.w, tf.nn.relu(x[:, :1] * 0.0 - tf.range(1.0, 61.0))], axis=1) + 0.0 * root.state


def _serves_twice(folder: Path) -> Path:
    root = model(plain)
    return save(root, folder, lambda inputs: {"outputs": 2 * root(inputs)})


def _serves_nothing(folder: Path) -> Path:
    tf.saved_model.save(model(plain), str(folder), signatures={})
    return folder


def _naive_recurrence(folder: Path) -> Path:
    """A Keras 3 layer that reads its variables inside the loop (tensorflow#51535)."""
    layer = keras.layers.LSTM(3)
    layer.build((None, 5, 4))
    spec = tf.TensorSpec([None, 5, 4], tf.float32)
    weights = [variable.value for variable in layer.trainable_variables]
    root = model(lambda root, x, training: layer(x, training=training), spec)
    root.variables, root.trainable_variables, root.regularization_losses = weights, weights, []
    return save(root, folder, spec=spec)


def _native_text(folder: Path) -> Path:
    """tf_keras lists the handler of the vocabulary among the variables, and hub.KerasLayer fails at it."""
    layers = tf_keras.layers
    vectors = layers.TextVectorization(max_tokens=20, output_sequence_length=4)
    vectors.adapt(["a piece of a model"])
    tf_keras.Sequential([layers.Input((), dtype="string"), vectors, layers.Embedding(20, 3), layers.Flatten()]).save(
        str(folder), include_optimizer=False, save_format="tf"
    )
    return folder


def _doubles(folder: Path) -> Path:
    spec = tf.TensorSpec([None, 4], tf.float64)
    return of(lambda root, x, training: tf.cast(x, tf.float32) @ root.w + 0.0 * root.state, spec)(folder)


def _with_open_variable(call: Any) -> Make:
    """A model with a variable whose number of rows is open."""

    def make(folder: Path) -> Path:
        root = model(call, traces=())
        root.seen = _variable(tf.zeros([0, 4]), shape=[None, 4], trainable=False, name="seen")
        root.variables = [*root.variables, root.seen]
        for training in (False, True):
            root.__call__.get_concrete_function(ROWS, training=training)
        return save(root, folder)

    return make


def _with_piece(piece: Any) -> Make:
    return of(plain, head=piece)


def _with_link(folder: Path) -> Path:
    of(plain)(folder)
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "link").symlink_to("/etc/hostname")
    return folder


def _loss(function: Callable[[Any], Any], signature: Any = ()) -> Callable[[Any], None]:
    def change(root: Any) -> None:
        loss = tf.function(lambda *arguments: function(root), input_signature=list(signature))
        root.regularization_losses = [loss]

    return change


def _with_bias(forward: Forward) -> Any:
    root = model(forward, bias=_variable([1.0, 2.0, 3.0], name="bias"))
    root.variables, root.trainable_variables = [*root.variables, root.bias], [root.w, root.bias]
    return root


def _table() -> Any:
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([0, 1], [1.0, 2.0]), 0.0)


def _half_nan(root: Any) -> None:
    root.w.assign(np.where(np.arange(12).reshape(4, 3) % 2, np.nan, 1.0))


BROKEN: dict[str, tuple[Make, str, str]] = {
    "no weights": (_lost_weights, "D1", "variables"),
    "a batch of its own": (of(_hidden_batch), "D1", "can be called"),
    "unlisted variable": (changed(lambda r: setattr(r, "variables", [r.w])), "D2", "'state' missing"),
    "native text": (_native_text, "D2", "tf.Variables only"),
    "no trainable variable": (changed(lambda r: setattr(r, "trainable_variables", [])), "D3", "Received: none"),
    "trainable but not listed": (
        changed(lambda r: (setattr(r, "other", _variable(1.0)), setattr(r, "trainable_variables", [r.w, r.other]))),
        "D3",
        "not in it",
    ),
    "trainable but frozen": (
        changed(lambda r: setattr(r, "trainable_variables", [r.w, r.state])), "D3", "made as not trainable",
    ),
    "loss of rank 2": (changed(_loss(lambda r: r.w)), "D4", "finite float scalar"),
    "loss that is no number": (changed(_loss(lambda r: tf.reduce_sum(r.w) * float("nan"))), "D4", "nan"),
    "loss with an argument": (
        changed(_loss(lambda r: tf.reduce_sum(r.w), [tf.TensorSpec([], tf.float32)])), "D4", "Error",
    ),
    "constant loss": (changed(_loss(lambda r: tf.constant(0.5))), "D28", "a constant as loss 0"),
    "two arguments": (_two_arguments, "D5", "left, right"),
    "inputs two levels deep": (_deep_inputs, "D5", "list or dict of tensors"),
    "outputs two levels deep": (_deep_outputs, "D33", "list or dict of tensors"),
    "a combination without a trace": (_lacks_a_combination, "D34", "none for training=True, twice=True"),
    "60 of 63 outputs that are always 0": (of(_mostly_dead), "D35", "60 of 63 numbers"),
    "no training trace": (lambda folder: save(model(plain, traces=(False,)), folder), "D6", "none for True"),
    "training by default": (_true_by_default, "D6", "Received: True"),
    "fixed batch": (_fixed_batch, "D7", r"\(8, 4\)"),
    "a batch of 32": (of(_of_32), "D7", "takes 32 examples"),
    "at most 32 examples": (of(_of_at_most_32), "D7", "for 33 in inference"),
    "depends on other rows": (of(_among_others), "D7", "whatever else is in the batch"),
    "no row for each example": (of(_one_row), "D7", "5 rows"),
    "impure inference": (of(_impure), "D8", "changes of 'state'"),
    "random inference": (of(_random), "D8", "call 2"),
    "inference that other inputs change": (of(_counts_changes), "D8", "others at call 2"),
    "float64 outputs": (of(_float64), "D9", "float64"),
    "a float16 output": (of(_float16), "D9", "half of float16"),
    "infinite in training": (of(_infinite_in_training), "D9", "in training"),
    "NaN where all is 0": (of(_of_length_1), "D9", "inference on zeros"),
    "half of the weights NaN": (changed(_half_nan), "D9", "'w' with NaN"),
    "softmax": (of(_softmax), "D10", "Softmax"),
    "softmax by hand": (of(_softmax_by_hand), "D10", "sum to 1"),
    "log softmax by hand": (of(_log_softmax_by_hand), "D10", "sum to 1"),
    "softmax of each token": (of(_softmax_of_tokens), "D10", "rows of tokens"),
    "softmax in nested calls": (of(_softmax_in_calls), "D10", "Softmax"),
    "sigmoid in a branch": (of(_softmax_in_a_branch), "D10", "Sigmoid"),
    "sigmoid": (of(_sigmoid), "D10", "Sigmoid"),
    "stopped gradient": (of(_stopped), "D11", "none for 1 of 1"),
    "stopped for one of two": (
        lambda folder: save(_with_bias(_stopped_for_one), folder), "D11", "none for 1 of 2, such as 'bias'",
    ),
    "variables inside a loop": (_naive_recurrence, "D12", "handle data"),
    "training writes weights": (of(_writes_weights), "D13", "changes of 'w'"),
    "a statistic that nothing writes": (of(_stale), "D24", "'state', which only inference reads"),
    "a statistic that adds up": (of(_sums), "D25", "add up without end"),
    "momentum 0.9999": (of(_averages(0.9999)), "D14", "0.9999"),
    "momentum 0.3": (of(_averages(0.3)), "D14", "0.3"),
    "dropout on the output": (of(_dropped), "D15", "30%|2.%|3.%"),
    "dropout that nobody tells": (of(_dropped_inside), "D16", "rate of the dropout"),
    "gradients that lead uphill": (of(_uphill), "D17", "lowers the loss"),
    "a variable that grows": (_with_open_variable(_remembers), "D26", "the bytes of 'seen'"),
    "outputs of thousands": (of(_thousands), "D27", "with Adam at 0.001"),
    "inference of constants": (of(_folded), "D32", "none of the 1 variables reaches"),
    "a weight times 0": (lambda folder: save(_with_bias(_times_zero), folder), "D30", "0 for 1 of 2, such as 'bias'"),
    "untracked table": (
        _without_child("table", lambda folder: of(_looks_up, table=_table())(folder)), "D18", "untracked",
    ),
    "a variable of open shape": (_with_open_variable(_reads_open), "D21", "ReusableLayer: .*fully-defined"),
    "float64 inputs": (_doubles, "D29", "float64"),
    "sub-object with a softmax": (lambda folder: _with_piece(model(_softmax))(folder), "D23", "falls short at D10"),
    "a piece in a piece": (lambda folder: _with_piece(model(plain, deeper=model(plain)))(folder), "D23", "head.deeper"),
    "serves other numbers": (_serves_twice, "S13", "others for"),
    "serves nothing": (_serves_nothing, "S13", "none"),
    "a link among its files": (_with_link, "X3", "regular files"),
}  # fmt: skip
