"""Reusable SavedModels written by hand: the consumer is tested against the interface, not against our exporter."""

from pathlib import Path
from typing import Any

import tensorflow as tf

L2 = 0.01
CONSTANT = 0.5


def _root() -> Any:
    return tf.__internal__.tracking.AutoTrackable()


def save_affine(folder: Path) -> str:
    """`[batch, 3] float32` -> `{"default": [batch, 2], "double": [batch, 2]}` float32.

    Arguments beside `training`: `scale`, a float32 scalar, and the Python flag `negate`. Each call in training mode
    adds one to the variable `calls`. Two losses on the kernel, one on kernel and bias, one on nothing; and a sub-object
    `half`.
    """
    root = _root()
    kernel = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], name="dense/kernel")
    bias = tf.Variable([0.5, -0.5], name="dense/bias")
    calls = tf.Variable(0.0, trainable=False, name="calls")

    @tf.function
    def call(inputs: Any, training: bool = False, scale: Any = 1.0, negate: bool = False) -> Any:
        if training:
            calls.assign_add(1.0)
        outputs = (inputs @ kernel + bias) * scale * (-1.0 if negate else 1.0)
        return {"default": outputs, "double": 2.0 * outputs}

    for training in (False, True):
        for negate in (False, True):
            spec = tf.TensorSpec([None, 3])
            call.get_concrete_function(spec, training=training, negate=negate)
            call.get_concrete_function(spec, training=training, scale=tf.TensorSpec([]), negate=negate)
    root.__call__ = call
    root.variables = [kernel, bias, calls]
    root.trainable_variables = [kernel, bias]
    root.regularization_losses = [
        tf.function(lambda: L2 * tf.reduce_sum(kernel**2), input_signature=[]),
        tf.function(lambda: L2 * tf.reduce_sum(tf.abs(kernel)), input_signature=[]),
        tf.function(lambda: L2 * tf.reduce_sum(kernel) * tf.reduce_sum(bias), input_signature=[]),
        tf.function(lambda: tf.constant(CONSTANT), input_signature=[]),
    ]
    root.half = _root()
    root.half.__call__ = tf.function(lambda inputs: inputs @ kernel, input_signature=[tf.TensorSpec([None, 3])])
    root.half.variables = root.half.trainable_variables = [kernel]
    root.half.regularization_losses = []
    tf.saved_model.save(root, str(folder))
    return str(folder)


def save_text(folder: Path) -> str:
    """`[batch] string` -> `[batch, 3] float32`: a table of words and their embeddings."""
    root = _root()
    words = tf.lookup.KeyValueTensorInitializer(["the", "cat", "dog"], tf.constant([1, 2, 3], tf.int64))
    root.table = tf.lookup.StaticHashTable(words, 0)
    root.embeddings = tf.Variable(tf.random.stateless_normal([4, 3], [1, 2]), name="embeddings")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def call(inputs: Any) -> Any:
        rows = tf.ragged.map_flat_values(root.table.lookup, tf.strings.split(inputs))
        return tf.reduce_sum(tf.gather(root.embeddings, rows.to_tensor()), 1)

    root.__call__ = call
    root.variables = root.trainable_variables = [root.embeddings]
    tf.saved_model.save(root, str(folder))
    return str(folder)


def save_ragged(folder: Path) -> str:
    """`[batch, (length)] int32`, ragged -> `[batch, (length), 1] float32`, ragged: each number halved."""
    root = _root()
    half = tf.Variable(0.5, name="half")

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int32)])
    def call(inputs: Any) -> Any:
        return tf.ragged.map_flat_values(lambda ids: tf.cast(ids, tf.float32)[:, None] * half, inputs)

    root.__call__ = call
    root.variables = root.trainable_variables = [half]
    tf.saved_model.save(root, str(folder))
    return str(folder)


def save_tf1_hub_module(folder: Path) -> str:
    """A module as `hub.Module` of TF1 wrote it: a graph of `default`, tags {} and {"train"}, and `tfhub_module.pb`.

    `[batch, 3] float32` -> `[batch, 2] float32`. `hub.create_module_spec` is gone; this writes the same files.
    """
    builder = tf.compat.v1.saved_model.builder.SavedModelBuilder(str(folder))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        inputs = tf.compat.v1.placeholder(tf.float32, [None, 3])
        kernel = tf.compat.v1.get_variable("kernel", initializer=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        info = tf.compat.v1.saved_model.build_tensor_info
        signature = tf.compat.v1.saved_model.build_signature_def(
            {"default": info(inputs)}, {"default": info(inputs @ tf.convert_to_tensor(kernel))}, "hub"
        )
        session.run(tf.compat.v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, [], signature_def_map={"default": signature})
        builder.add_meta_graph(["train"], signature_def_map={"default": signature})
    builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # ModuleDef{format: FORMAT_V3}
    return str(folder)
