"""Keras 3 variables that share the storage of a loaded object's `tf.Variable`s, with its regularization bound to them.

Regularization is bound to variables, not added as losses: a layer that is applied twice still counts each loss once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakSet, WeakValueDictionary

import keras
import tensorflow as tf

from piecehub.errors import NotReusableError

Loss = Callable[..., Any]


def unique(variables: Sequence[tf.Variable], without: Sequence[tf.Variable] = ()) -> list[tf.Variable]:
    """The variables in their order, each once, without those of the other list."""
    known = {id(variable) for variable in without}
    return [v for v in {id(v): v for v in variables}.values() if id(v) not in known]


class SharedVariable(keras.Variable):
    """A variable of a loaded object, the same for all layers of that object: one weight, so an optimizer steps once.

    Attributes:
        tuned_by: the layers that may train it, while they live.
        losses: what regularizes it, each once, with the layers that count it.
    """

    def __init__(self, variable: tf.Variable, name: str) -> None:
        super().__init__(variable, dtype=variable.dtype.name, autocast=False, name=name)  # pyright: ignore[reportArgumentType]
        self.tuned_by: WeakSet[keras.layers.Layer] = WeakSet()
        self.losses: dict[int, tuple[Loss, WeakSet[keras.layers.Layer]]] = {}

    def follow_layers(self) -> None:
        """Is trainable while one of the layers is that may train it."""
        self.trainable = any(layer.trainable for layer in self.tuned_by)

    def regularization(self, _: Any = None) -> tf.Tensor:
        """As Keras calls a regularizer; the loaded losses read their variables themselves."""
        counted = [loss() for loss, layers in self.losses.values() if any(layer.trainable for layer in layers)]
        return tf.add_n(counted) if counted else tf.constant(0.0)


# By the `id` of the loaded variable, which its Keras variable keeps alive.
_SHARED: WeakValueDictionary[int, SharedVariable] = WeakValueDictionary()


def share(variables: Sequence[tf.Variable], names: Mapping[int, str]) -> list[SharedVariable]:
    """The Keras variable of each, with its dtype and storage, never cast by a mixed-precision policy.

    Args:
        variables: to share.
        names: by the `id` of a variable; its own name where there is none.
    """
    valid = _valid([names.get(id(variable), variable.name) for variable in variables])
    return [_shared(variable, name) for variable, name in zip(variables, valid, strict=True)]


def _shared(variable: tf.Variable, name: str) -> SharedVariable:
    found = _SHARED.get(id(variable))
    if found is None:
        found = _SHARED[id(variable)] = SharedVariable(variable, name)
    return found


def untrained(variable: SharedVariable) -> keras.Variable:
    """The same storage for a layer that does not train it, while another one does."""
    dtype: Any = variable.dtype
    return keras.Variable(variable.value, dtype=dtype, trainable=False, autocast=False, name=variable.name)


def _valid(names: Sequence[str]) -> list[str]:
    """Names without slashes, which Keras refuses, and unique, since Keras keeps state by its path."""
    valid: dict[str, None] = {}
    for name in names:
        base = name.partition(":")[0].replace("/", "_")
        repeats = (f"{base}_{count}" for count in range(1, len(names) + 1))
        valid[base if base not in valid else next(other for other in repeats if other not in valid)] = None
    return list(valid)


def bind_regularization(losses: Sequence[Any], variables: Sequence[SharedVariable], layer: keras.layers.Layer) -> None:
    """Binds each loss to one trainable variable that it reads; to the first if it reads none, so it counts once.

    Raises:
        NotReusableError: if a loss is not callable.
    """
    for loss in losses if variables else ():
        if not callable(loss):
            raise NotReusableError(
                "Expected `regularization_losses` to hold functions without arguments. "
                f"Received: {type(loss).__name__}; ask the publisher for a conforming SavedModel."
            )
        read = {id(variable) for variable in _read_variables(loss)}
        bound = next((variable for variable in variables if id(variable.value) in read), variables[0])
        bound.losses.setdefault(id(loss), (loss, WeakSet()))[1].add(layer)
        bound.regularizer = bound.regularization


def _read_variables(loss: Loss) -> Sequence[tf.Variable]:
    """The variables that a loss reads, without computing it: under `tf.distribute` only a replica could do that."""
    concrete = getattr(loss, "concrete_functions", None) or [tf.function(loss).get_concrete_function()]
    return concrete[0].variables
