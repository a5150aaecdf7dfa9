"""What an object offers by name beside the interface, such as `tokenize`, a vocabulary's Asset or a table.

A SavedModel takes along functions, Assets, variables, tables, callable objects, and objects and containers of these.
What else TensorFlow tracks (an optimizer, a dataset) is left out, and told in the manifest (`lost`).
"""

import re
from collections.abc import Mapping
from typing import Any, cast

import tensorflow as tf
from tensorflow.python.trackable.base import Trackable

# The interface itself, what the exporter sets, and what TensorFlow's loader sets.
INTERFACE = (
    *("variables", "trainable_variables", "regularization_losses", "signatures", "save_counter", "resources"),
    *("graph_debug_info", "tensorflow_version", "tensorflow_git_version"),
)
_Function = tf.types.experimental.GenericFunction
_AutoTrackable: Any = tf.__internal__.tracking.AutoTrackable
_Resource: Any = tf.saved_model.experimental.TrackableResource
_FUNCTIONS_OF_KERAS = re.compile(r"(train|test|predict)(_tf)?_function")
_PLAIN = (_Function, tf.saved_model.Asset, tf.Variable, _Resource)


def call_of(obj: Any) -> Any:
    """The forward pass of an object, also where it is an attribute of the object itself; None if there is none.

    Python calls what the class defines and passes the object's own `__call__` by; a SavedModel is loaded with it.
    """
    call = None if isinstance(obj, type) else getattr(obj, "__call__", None)  # noqa: B004  (`callable` asks the class)
    return call if callable(call) else None


def kept(obj: Any) -> dict[str, Any]:
    """What a low-level object offers by name and a SavedModel takes along, as it is saved."""
    return {name: _saved(value) for name, value in _attributes(obj).items() if _is_kept(value)}


def left(obj: Any) -> list[dict[str, str]]:
    """What TensorFlow tracks among the attributes of a low-level object and is not taken along, as `lost` tells it."""
    return _lost(_attributes(obj))


def kept_of_keras(model: Any) -> dict[str, Any]:
    """What somebody has put onto a Keras model by name and a SavedModel takes along, as it is saved."""
    return {name: _saved(value) for name, value in _put_onto_keras(model).items() if _is_kept(value)}


def left_of_keras(model: Any) -> list[dict[str, str]]:
    """What somebody has put onto a Keras model by name and is not taken along, as `lost` tells it."""
    return _lost(_put_onto_keras(model))


def _lost(attributes: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"what": "attribute", "of": name, "is": type(value).__name__}
        for name, value in attributes.items()
        if _holds_tracked(value) and not _is_kept(value)
    ]


def _put_onto_keras(model: Any) -> dict[str, Any]:
    """The public attributes of a Keras model without those of Keras: layers, optimizers, metrics, how it trains."""
    own = {name: value for name, value in vars(model).items() if not name.startswith("_") and name not in INTERFACE}
    return {
        name: value
        for name, value in own.items()
        if not _FUNCTIONS_OF_KERAS.fullmatch(name) and not any(_is_of_keras(leaf) for leaf in _leaves(value))
    }


def _is_of_keras(value: Any) -> bool:
    return any(kind.__module__.partition(".")[0] in ("keras", "tf_keras") for kind in type(value).__mro__)


def _attributes(obj: Any) -> dict[str, Any]:
    """The public attributes beside the interface; properties only count what these hold (`tf.Module.submodules`)."""
    names = [name for name in dir(obj) if not name.startswith("_") and name not in INTERFACE]
    return {
        name: getattr(obj, name, None) for name in names if not isinstance(getattr(type(obj), name, None), property)
    }


def _is_kept(value: Any) -> bool:
    if isinstance(value, Mapping | list | tuple):
        leaves = _leaves(value)
        return bool(leaves) and all(_is_kept(leaf) for leaf in leaves)
    if isinstance(value, _PLAIN):
        return True
    return isinstance(value, Trackable) and (call_of(value) is not None or _offers_functions(value))


def _offers_functions(obj: Any) -> bool:
    """Whether an object that is not callable was made to offer something; an optimizer only holds its state."""
    offered = [value for value in _attributes(obj).values() if _is_kept(value)]
    return any(not isinstance(value, tf.Variable | Mapping | list | tuple) for value in offered)


def _saved(value: Any) -> Any:
    """A `tf.train.Checkpoint` as a plain object, for it would bring its `save_counter`; all else as it is.

    Lists and dicts of Keras, which TensorFlow does not track, become plain ones.
    """
    if isinstance(value, Mapping):
        return {name: _saved(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_saved(member) for member in value]
    if not isinstance(value, tf.train.Checkpoint):
        return value
    plain = _AutoTrackable()
    for name in ("__call__", "variables", "trainable_variables", "regularization_losses"):
        if (found := getattr(value, name, None)) is not None:
            setattr(plain, name, found)
    for name, member in kept(value).items():
        setattr(plain, name, member)
    return plain


def _holds_tracked(value: Any) -> bool:
    return any(isinstance(leaf, (Trackable, *cast(Any, _PLAIN))) for leaf in _leaves(value))


def _leaves(value: Any) -> list[Any]:
    """What a container holds, or the value itself."""
    return tf.nest.flatten(value) if isinstance(value, Mapping | list | tuple) else [value]
