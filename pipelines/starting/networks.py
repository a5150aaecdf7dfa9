"""What a trained network tells of itself: which layer comes before its head, and what pictures it takes."""

from typing import Any, cast

import keras
import numpy as np

# What a head ends with; any other activation is of a hidden layer.
_OF_A_HEAD = ("linear", "softmax", "sigmoid")
# What they give is worth nothing by itself.
_NO_FEATURES = (keras.layers.Dropout, keras.layers.InputLayer)
# What has learned of data, without training.
_MEASURED = (keras.layers.Normalization,)
# Where values end at 1, a network's beginning makes of a step of 1 as much or more, and their middle is no farther off.
_LEAST_STEP, _FARTHEST_MIDDLE = 0.1, 2.0


def last_features(model: keras.Model) -> str:
    """The layer before the head, or before all of several heads: the last one of `[batch, width]`, but for dropout.

    A head is a dense layer, or a model that ends with one. Without any it is what a last softmax is made of.
    Empty if there is neither, or no weights before the head.
    """
    ends = [_end(tensor) for tensor in _outputs(model)]
    before = [_before(end) for end in ends]
    # A model may give its features beside what it makes of them.
    heads = {id(end): found for end, found in zip(ends, before, strict=True) if not any(id(end) in b for b in before)}
    if not heads or not all(_is_head(end) for end in ends if id(end) in heads):
        logits = len(ends) == 1 and ends[0] is not _operation(_outputs(model)[0])
        return ends[0].name if logits else ""
    for layer in reversed(cast(list[Any], model.layers)):
        wide = len(getattr(getattr(layer, "output", None), "shape", ())) == 2
        if wide and all(id(layer) in found for found in heads.values()) and not isinstance(layer, _NO_FEATURES):
            return layer.name if any(map(_is_learned, (layer, *_before(layer).values()))) else ""
    return ""


def frozen_layers(model: keras.Model) -> list[str]:
    """The layers with weights that are not trained, by their names."""
    layers: list[Any] = list(cast(Any, model)._flatten_layers())
    own = [layer for layer in layers if not isinstance(layer, keras.Model)]
    return [layer.name for layer in own if not layer.trainable and layer.weights]


def takes_bytes(model: keras.Model) -> bool:
    """Whether a model that takes pictures begins by making small numbers of values from 0 to 255.

    Its first weights are given little else for 1 than for 0 then, or both are far from their middle.
    """
    shape = (1, *(side or 32 for side in cast(Any, model).inputs[0].shape[1:]))
    dark, light = (_first_seen(model, np.full(shape, value, np.float32)) for value in (0.0, 1.0))
    step = float(np.mean(np.abs(light - dark)))
    return step < _LEAST_STEP or float(np.mean(np.abs(dark))) > _FARTHEST_MIDDLE * step


def _outputs(model: Any) -> list[Any]:
    return keras.tree.flatten(getattr(model, "outputs", None) or [])


def _end(tensor: Any) -> Any:
    """The operation that an output comes from, before its activation."""
    operation = _operation(tensor)
    while _makes_classes(operation):
        operation = _operation(operation._inbound_nodes[0].input_tensors[0])
    return operation


def _operation(tensor: Any) -> Any:
    return tensor._keras_history.operation


def _makes_classes(operation: Any) -> bool:
    """Whether it makes classes of a head's numbers, and nothing else."""
    if isinstance(operation, keras.layers.Activation):
        return _activation(operation) in _OF_A_HEAD
    return isinstance(operation, keras.layers.Softmax)


def _before(operation: Any) -> dict[int, Any]:
    """All operations that lead to one, by their ids."""
    found: dict[int, Any] = {}
    ahead = [operation]
    while ahead:
        for node in ahead.pop()._inbound_nodes:
            for tensor in node.input_tensors:
                earlier = _operation(tensor)
                if id(earlier) not in found:
                    found[id(earlier)] = earlier
                    ahead.append(earlier)
    return found


def _is_head(operation: Any) -> bool:
    if isinstance(operation, keras.Model):
        return bool(last_features(operation)) or all(_is_head(_end(tensor)) for tensor in _outputs(operation))
    return isinstance(operation, keras.layers.Dense) and _activation(operation) in _OF_A_HEAD


def _activation(layer: Any) -> str:
    return getattr(layer.activation, "__name__", "")


def _is_learned(operation: Any) -> bool:
    """Whether it has weights of a training."""
    layers = operation._flatten_layers() if isinstance(operation, keras.Layer) else ()
    return any(
        layer._trainable_variables or layer._non_trainable_variables
        for layer in layers
        if not isinstance(layer, _MEASURED)
    )


def _first_seen(model: Any, value: np.ndarray) -> np.ndarray:
    """What the first layer with weights of a training is given, of a picture."""
    for layer in model.layers:
        if not _is_learned(layer):
            continue
        for node in layer._inbound_nodes:
            try:
                beginning = cast(Any, keras.Model(model.inputs[0], node.input_tensors[0]))
            except ValueError:  # it is called in another model too
                continue
            seen = cast(np.ndarray, keras.ops.convert_to_numpy(beginning(value, training=False)))
            return _first_seen(layer, seen) if isinstance(layer, keras.Model) else seen
    return value
