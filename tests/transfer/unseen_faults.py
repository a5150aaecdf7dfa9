"""Reusable SavedModels with one fault each, written from the public interface alone.

They stand for what publishers get wrong in practice: every export saves, loads and answers a call, and follows the
Reusable SavedModel interface (`__call__(inputs, training)`, `variables`, `trainable_variables`,
`regularization_losses`, and a `serving_default` signature). What spoils it for others shows only once it is
fine-tuned, run elsewhere, or fed what the publisher did not try. Whoever wrote these did not look at any check, so that
they measure how well checks do on faults that nobody had in mind.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

FEATURES = tf.TensorSpec([None, 8], tf.float32, name="inputs")
IMAGES = tf.TensorSpec([None, 16, 16, 3], tf.float32, name="inputs")

Apply = Callable[..., tf.Tensor]

# What a publisher's still-open notebook holds on to: Python code in a graph answers for as long as that lives.
_OPEN_NOTEBOOK: list[Any] = []


def _weights(name: str, *shape: int, seed: int) -> tf.Variable:
    """Return a trainable variable as training may have left it, of unit gain."""
    scale = float(np.sqrt(np.prod(shape[:-1])))
    values = np.random.default_rng(seed).normal(size=shape) / scale
    return tf.Variable(values.astype(np.float32), name=name)


def _bias(name: str, size: int) -> tf.Variable:
    """Return a trainable bias that keeps some rectified units above zero."""
    return tf.Variable(np.full(size, 0.1, np.float32), name=name)


def _l2(kernel: tf.Variable) -> Callable[[], tf.Tensor]:
    """Return the L2 penalty of a kernel as it stands when called."""
    return lambda: 1e-3 * tf.reduce_sum(tf.square(kernel))


def _publish(
    folder: Path,
    apply: Apply,
    trainable: Sequence[tf.Variable],
    penalties: Sequence[Callable[[], tf.Tensor]],
    *,
    kept: Sequence[tf.Variable] = (),
    spec: tf.TensorSpec = FEATURES,
) -> Any:
    """Write `apply` as a Reusable SavedModel and return its root.

    Args:
        folder: Where the SavedModel goes.
        apply: The module's call, of `inputs` and `training`.
        trainable: The variables to fine-tune.
        penalties: The regularization losses, without arguments.
        kept: The variables that are not trained by gradients.
        spec: What the module takes.

    """
    root: Any = tf.__internal__.tracking.AutoTrackable()
    root.__call__ = tf.function(apply, autograph=False)
    root.variables = [*trainable, *kept]
    root.trainable_variables = list(trainable)
    root.regularization_losses = [tf.function(penalty, input_signature=[], autograph=False) for penalty in penalties]
    for training in (True, False):
        root.__call__.get_concrete_function(spec, training=training)

    @tf.function(input_signature=[spec], autograph=False)
    def serve(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": root.__call__(inputs, training=False)}

    tf.saved_model.save(root, str(folder), signatures={"serving_default": serve})
    return root


def dropout_mask_drawn_while_tracing(folder: Path) -> None:
    """Dropout draws its mask with NumPy, once while tracing, so every step drops the same units: they never train."""
    first, bias, second = _weights("first", 8, 32, seed=1), _bias("bias", 32), _weights("second", 32, 16, seed=2)

    def apply(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        hidden = tf.nn.relu(inputs @ first + bias)
        if training:
            keep = np.random.default_rng(3).random(32) >= 0.25
            hidden = hidden * keep.astype(np.float32) / 0.75
        return hidden @ second

    _publish(folder, apply, [first, bias, second], [_l2(first), _l2(second)])


def moving_statistics_never_move(folder: Path) -> None:
    """Training normalizes by the batch but lost the updates, so inference keeps the publisher's mean and variance."""
    kernel, gamma, beta = _weights("kernel", 8, 16, seed=4), tf.Variable(tf.ones(16)), tf.Variable(tf.zeros(16))
    moving_mean = tf.Variable(tf.zeros(16), trainable=False, name="moving_mean")
    moving_variance = tf.Variable(tf.ones(16), trainable=False, name="moving_variance")
    updates: list[Callable[[], Any]] = []  # as in TensorFlow 1: for the publisher's own training loop to run

    def apply(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        hidden = inputs @ kernel
        mean, variance = moving_mean, moving_variance
        if training:
            mean, variance = tf.nn.moments(hidden, axes=[0])
            updates.append(lambda: moving_mean.assign(0.9 * moving_mean + 0.1 * mean))
            updates.append(lambda: moving_variance.assign(0.9 * moving_variance + 0.1 * variance))
        return tf.nn.relu(tf.nn.batch_normalization(hidden, mean, variance, beta, gamma, 1e-3))

    _publish(folder, apply, [kernel, gamma, beta], [_l2(kernel)], kept=[moving_mean, moving_variance])


def inference_trace_of_constants(folder: Path) -> None:
    """The trace for inference was optimized into constants, so what fine-tuning learns never reaches a prediction."""
    first, bias, second = _weights("first", 8, 32, seed=5), _bias("bias", 32), _weights("second", 32, 16, seed=6)
    folded = [variable.numpy() for variable in (first, bias, second)]

    def apply(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel, offset, head = (first, bias, second) if training else folded
        return tf.nn.relu(inputs @ kernel + offset) @ head

    _publish(folder, apply, [first, bias, second], [_l2(first), _l2(second)])


def penalty_computed_at_export(folder: Path) -> None:
    """The regularization loss was computed at export and returns that number ever after, so it regularizes nothing."""
    kernel, bias = _weights("kernel", 8, 16, seed=7), _bias("bias", 16)
    penalty = _l2(kernel)()

    def apply(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        del training
        return tf.nn.relu(inputs @ kernel + bias)

    _publish(folder, apply, [kernel, bias], [lambda: penalty])


def preprocessing_left_in_python(folder: Path) -> None:
    """Inputs pass through the publisher's Python function, so the export runs only in the process that wrote it."""
    kernel, bias = _weights("kernel", 8, 16, seed=8), _bias("bias", 16)

    def squash(values: np.ndarray) -> np.ndarray:
        return np.sign(values) * np.log1p(np.abs(values))

    def apply(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        del training
        squashed = tf.ensure_shape(tf.numpy_function(squash, [inputs], tf.float32, stateful=False), [None, 8])
        return tf.nn.relu(squashed @ kernel + bias)

    _OPEN_NOTEBOOK.append(_publish(folder, apply, [kernel, bias], [_l2(kernel)]))


def blank_image_has_no_direction(folder: Path) -> None:
    """Embeddings are divided by their length without an epsilon: one blank image in a batch turns its gradients NaN."""
    kernel, head = _weights("kernel", 3, 3, 3, 8, seed=9), _weights("head", 8, 16, seed=10)

    def apply(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        del training
        pooled = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(inputs, kernel, strides=2, padding="SAME")), axis=[1, 2])
        embedding = pooled @ head
        return embedding / tf.norm(embedding, axis=-1, keepdims=True)

    _publish(folder, apply, [kernel, head], [_l2(kernel), _l2(head)], spec=IMAGES)


FAULTS: dict[str, Callable[[Path], None]] = {
    "dropout_mask_drawn_while_tracing": dropout_mask_drawn_while_tracing,
    "moving_statistics_never_move": moving_statistics_never_move,
    "inference_trace_of_constants": inference_trace_of_constants,
    "penalty_computed_at_export": penalty_computed_at_export,
    "preprocessing_left_in_python": preprocessing_left_in_python,
    "blank_image_has_no_direction": blank_image_has_no_direction,
}
