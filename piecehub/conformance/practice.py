"""D27: fine-tuning at the learning rates of common practice does not diverge."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.conformance.loaded import STRANGERS, Loaded
from piecehub.conformance.pace import affordable, paced
from piecehub.conformance.passes import answers
from piecehub.conformance.sample import sample_of
from piecehub.conformance.verdict import Verdict, held, nothing, short

_EXAMPLES, _CLASSES = 32, 3
_STEPS, _LEAST_STEPS = 20, 4
_BATCH_BYTES, _ALL_BYTES = 1 << 26, 1 << 30  # of activations, in a step and in all of them: a large model makes fewer
_MOST_RISE = 5.0  # times the loss at the start, which a few steps of Adam may well leave for a while
_Rule = Callable[[Any, list[Any], int], Any]


def trains_at_common_rates(loaded: Loaded) -> Verdict:
    """D27: with a new head on it, the loss stays near where it starts, and finite.

    Rates are Keras' default for Adam, which lies in the middle of those that are tried to measure transfer, and that of
    VTAB's script for gradient descent with momentum; with the latter a loss that swings is no fault, but one that is no
    number is.
    """
    if not loaded.trainable_variables:
        return nothing("No variable can be trained.")
    if not _dense(loaded.once(answers)):
        return nothing("Not made, since no output is a dense tensor of floats.")
    if not _has_finite_start(loaded):
        return nothing("Not made: there is no finite loss to start from (D4, D9).")
    adam = _losses(loaded, lambda gradient, slots, step: 1e-3 * _adam(gradient, slots, step))
    descent = _losses(loaded, lambda gradient, slots, step: 1e-2 * _momentum(gradient, slots, step))
    expected = "a loss that does not diverge at a common learning rate"
    remedy = "scale the output to about 1, and look at its gradients"
    if not np.isfinite(adam).all() or max(adam) > _MOST_RISE * abs(adam[0]):
        return short(expected, f"one from {adam[0]:.4g} to {_highest(adam):.4g} with Adam at 0.001", remedy)
    if not np.isfinite(descent).all():
        received = f"one that is no number after {len(descent)} steps of gradient descent at 0.01"
        return short(expected, received, remedy)
    seen = f"In {len(adam)} steps the loss is at most {max(adam):.4g} with Adam at 0.001"
    return held(f"{seen}, and finite with gradient descent at 0.01{loaded.once(sample_of).told}.")


def _losses(loaded: Loaded, rule: _Rule) -> list[float]:
    """The loss of each step, up to one that is not finite: cross-entropy of made-up classes, and the penalties."""
    inputs, steps = loaded.draw(examples := _examples(loaded)), _steps(loaded, examples)
    losses: list[float] = []
    with loaded.unchanged():
        rows, width = _features(loaded.train(inputs)).shape
        labels = tf.constant(np.random.default_rng(0).integers(0, _CLASSES, rows))
        weights: list[tf.Variable] = [*loaded.once(sample_of).variables, tf.Variable(tf.zeros([width, _CLASSES]))]
        slots: list[list[Any]] = [[0.0, 0.0] for _ in weights]
        for step in paced(steps):
            with tf.GradientTape() as tape:
                logits = _features(loaded.train(inputs)) @ weights[-1]
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
                loss += _penalty(loaded)
            losses.append(float(loss))
            if not np.isfinite(losses[-1]):
                break
            _update(weights, tape.gradient(loss, weights), slots, step, rule)
    return losses


def _examples(loaded: Loaded) -> int:
    return loaded.examples_within(_EXAMPLES, _BATCH_BYTES, at_least=2)


def _steps(loaded: Loaded, examples: int) -> int:
    return affordable(_STEPS, examples * loaded.activation_bytes, _ALL_BYTES, at_least=_LEAST_STEPS)


def _has_finite_start(loaded: Loaded) -> bool:
    try:
        with loaded.unchanged():
            return bool(np.isfinite(_penalty(loaded)) and np.isfinite(_features(loaded.train(loaded.draw(2)))).all())
    except STRANGERS:
        return False


def _penalty(loaded: Loaded) -> Any:
    """The sum of the regularization losses."""
    return tf.add_n([tf.constant(0.0), *(tf.cast(each(), tf.float32) for each in loaded.regularization_losses)])


def _update(
    weights: Sequence[tf.Variable], gradients: Sequence[Any], slots: list[list[Any]], step: int, rule: _Rule
) -> None:
    for weight, gradient, slot in zip(weights, gradients, slots, strict=True):
        if gradient is not None:
            change = rule(tf.cast(tf.convert_to_tensor(gradient), tf.float32), slot, step)
            weight.assign_sub(tf.cast(change, weight.dtype))


def _adam(gradient: Any, slots: list[Any], step: int) -> Any:
    slots[0] = 0.9 * slots[0] + 0.1 * gradient
    slots[1] = 0.999 * slots[1] + 0.001 * tf.square(gradient)
    mean, square = slots[0] / (1 - 0.9 ** (step + 1)), slots[1] / (1 - 0.999 ** (step + 1))
    return mean / (tf.sqrt(square) + 1e-7)


def _momentum(gradient: Any, slots: list[Any], _: int) -> Any:
    slots[0] = 0.9 * slots[0] + gradient
    return slots[0]


def _dense(outputs: Any) -> list[Any]:
    """The outputs that are dense tensors of floats with as many rows as the first of them."""
    found = [y for y in tf.nest.flatten(outputs) if isinstance(y, tf.Tensor) and y.dtype.is_floating and y.shape.rank]
    return [y for y in found if y.shape[0] == found[0].shape[0]]


def _features(outputs: Any) -> Any:
    """All of them side by side, `[examples, width] float32`.

    What has places (of an image, a text, a sound) is averaged over them, as a classifier does that stands on it: a head
    that sees each place by itself would be so wide that its own first step is a leap.
    """
    dense = [tf.cast(y, tf.float32) for y in _dense(outputs)]
    pooled = [tf.reduce_mean(y, axis=range(1, y.shape.rank - 1)) for y in dense]
    return tf.concat([tf.reshape(y, [y.shape[0], -1]) for y in pooled], axis=1)


def _highest(losses: Sequence[float]) -> float:
    return float("inf") if not np.isfinite(losses).all() else max(losses)
