"""What a Keras 3 model or layer takes."""

from typing import Any

import keras
import tensorflow as tf

from piecehub.errors import NotReusableError
from piecehub.tensors import specs


def input_specs(model: Any, inputs: Any) -> Any:
    """The specs of the model's inputs, named, with an undefined batch.

    Raises:
        NotReusableError: if the model cannot tell them and `inputs` is None, or they are nested too deep.
    """
    if inputs is not None:
        return specs.named(inputs)
    fixed = any(
        getattr(layer, "stateful", False) for layer in model._flatten_layers()
    )  # its state has the batch's size
    try:
        symbolic = model.input
    except AttributeError:
        return specs.named(_built_specs(model))
    one_level = specs.one_level(symbolic, "input")
    return specs.named(keras.tree.map_structure(lambda tensor: _spec(tensor, fixed), one_level))


def fixed_batch(model: Any) -> int | None:
    """The number of examples that the Input of a Keras 3 or tf_keras model was made for; None if it was for any."""
    symbolic = tf.nest.flatten(getattr(model, "inputs", None) or [])
    sizes = {tensor.shape[0] for tensor in symbolic if len(tensor.shape)}
    return next(iter(sizes - {None}), None)


def _spec(tensor: Any, fixed_batch: bool) -> specs.Spec:
    shape = [tensor.shape[0] if fixed_batch else None, *tensor.shape[1:]]
    return specs.of_symbolic(tensor, shape)


def _built_specs(model: Any) -> Any:
    """The specs of a subclassed model or a layer: the shape that it was built with, and its own dtype."""
    shapes = list((getattr(model, "_build_shapes_dict", None) or {}).values())
    if len(shapes) != 1 or not _is_shape(shapes[0]):
        raise NotReusableError(
            f"Expected the specs of the inputs of '{model.name}'. Received: none, and it cannot tell them itself; "
            "pass `inputs`, such as tf.TensorSpec([None, 8])."
        )
    return tf.TensorSpec([None, *shapes[0][1:]], model.input_dtype)


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list | tuple) and all(size is None or isinstance(size, int) for size in shape)
