"""One call at inference, and one forward and backward pass in training, which several checks ask about.

Kept is what they ask: outputs, which variables moved, and of each gradient whether there is one, is finite, and is 0.
The gradients themselves, as large as the model, are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.conformance.loaded import STRANGERS, Loaded, flat


@dataclass(frozen=True)
class Gradient:
    """What is known of the gradient of a loss by one variable."""

    exists: bool
    is_finite: bool = True
    is_zero: bool = False


@dataclass(frozen=True)
class Trained:
    """A pass in training.

    Attributes:
        outputs: by name or place.
        moved: the variables that the forward pass changed.
        gradients: of `some_loss`, one for each trainable variable.
        fault: what was raised where gradients were to be taken; there are none then.
    """

    outputs: dict[str, np.ndarray]
    moved: tuple[tf.Variable, ...]
    gradients: tuple[Gradient, ...]
    fault: Exception | None = None


def answers(loaded: Loaded) -> Any:
    """The outputs at inference for the examples that most checks draw, in their own structure; for `Loaded.once`."""
    with loaded.unchanged():
        return loaded.obj(loaded.draw(loaded.examples))


def inferred(loaded: Loaded) -> dict[str, np.ndarray]:
    """The same by name or place."""
    return flat(loaded.once(answers))


def trained(loaded: Loaded) -> Trained:
    """A pass in training on the same examples; for `Loaded.once`.

    Raises what the forward pass raises.
    """
    inputs, fault = loaded.draw(loaded.examples), None
    with loaded.unchanged() as before:
        if loaded.trainable_variables:
            try:
                return _differentiated(loaded, inputs, before)
            except STRANGERS as error:  # the forward pass alone may do
                fault = error
            loaded.restore(before)
        outputs = loaded.train(inputs)
        return Trained(flat(outputs), tuple(loaded.changed_since(before)), (), fault)


def gradients_of(passed: Trained) -> tuple[Gradient, ...]:
    """The gradients of a pass; raises what differentiation raised."""
    if passed.fault is not None:
        raise passed.fault
    return passed.gradients


def seen_of(gradients: Sequence[Any]) -> tuple[Gradient, ...]:
    """What is known of gradients, some of which may be None."""
    return tuple(_seen(gradient) for gradient in gradients)


def some_loss(outputs: Any, seed: int = 0) -> tf.Tensor:
    """A fixed random linear function of all float outputs, as float32.

    A plain sum would be constant behind a normalization, and its gradient 0.
    """
    rng = np.random.default_rng(seed)
    floats = [dense(output) for output in tf.nest.flatten(outputs) if output.dtype.is_floating]
    if not floats:
        raise TypeError("no output is a float")
    return tf.add_n([tf.reduce_sum(tf.cast(y, tf.float32) * normal(rng, y)) for y in floats])


def dense(output: Any) -> tf.Tensor:
    """The numbers of an output, which may be ragged."""
    return output.flat_values if isinstance(output, tf.RaggedTensor) else output


def normal(rng: np.random.Generator, like: tf.Tensor) -> tf.Tensor:
    """Numbers of the shape of `like`, also where a graph knows it only when it runs."""
    if like.shape.is_fully_defined():
        return tf.constant(rng.normal(size=[int(size or 0) for size in like.shape.as_list()]), tf.float32)
    return tf.random.stateless_normal(tf.shape(like), seed=(int(rng.integers(1000)), 0))


def _differentiated(loaded: Loaded, inputs: Any, before: list[tf.Tensor]) -> Trained:
    with tf.GradientTape() as tape:
        outputs = loaded.train(inputs)
        loss = some_loss(outputs)
    moved = tuple(loaded.changed_since(before))
    return Trained(flat(outputs), moved, seen_of(tape.gradient(loss, loaded.trainable_variables)))


def _seen(gradient: Any) -> Gradient:
    if gradient is None:
        return Gradient(exists=False)
    # Of an embedding only the rows that were looked up: the others are 0.
    numbers = (gradient.values if isinstance(gradient, tf.IndexedSlices) else tf.convert_to_tensor(gradient)).numpy()
    return Gradient(True, bool(np.isfinite(numbers).all()), not np.any(numbers))
