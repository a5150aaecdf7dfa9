"""Keras 3 variables that share the storage of a loaded object's `tf.Variable`s, with its regularization bound to them.

Regularization is bound to variables, not added as losses: a layer that is applied twice still counts each loss once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from piecehub.errors import NotReusableError

Loss = Callable[..., Any]


def unique(variables: Sequence[tf.Variable], without: Sequence[tf.Variable] = ()) -> list[tf.Variable]:
    """The variables in their order, each once, without those of the other list."""
    known = {id(variable) for variable in without}
    return [v for v in {id(v): v for v in variables}.values() if id(v) not in known]


def share(variables: Sequence[tf.Variable], names: Mapping[int, str], *, trainable: bool) -> list[keras.Variable]:
    """One `keras.Variable` for each, with its dtype and storage, never cast by a mixed-precision policy.

    Args:
        variables: to share.
        names: by the `id` of a variable; its own name where there is none.
        trainable: whether they may be trained.
    """
    return [
        keras.Variable(v, dtype=v.dtype.name, trainable=trainable, autocast=False, name=name)
        for v, name in zip(variables, _valid([names.get(id(v), v.name) for v in variables]), strict=True)
    ]


def _valid(names: Sequence[str]) -> list[str]:
    """Names without slashes, which Keras refuses, and unique, since Keras keeps state by its path."""
    valid: list[str] = []
    for name in names:
        base = name.partition(":")[0].replace("/", "_")
        repeats = (f"{base}_{count}" for count in range(1, len(names) + 1))
        valid.append(base if base not in valid else next(other for other in repeats if other not in valid))
    return valid


def bind_regularization(losses: Sequence[Any], variables: Sequence[keras.Variable]) -> None:
    """Binds each loss to one trainable variable that it reads; to the first if it reads none, so it counts once.

    Raises:
        NotReusableError: if a loss is not callable.
    """
    bound: dict[int, list[Loss]] = {}
    for loss in losses if variables else ():
        if not callable(loss):
            raise NotReusableError(
                "Expected `regularization_losses` to hold functions without arguments. "
                f"Received: {type(loss).__name__}; ask the publisher for a conforming SavedModel."
            )
        read = {id(variable) for variable in _read_variables(loss)}
        first = next((index for index, variable in enumerate(variables) if id(variable.value) in read), 0)
        bound.setdefault(first, []).append(loss)
    for index, functions in bound.items():
        variables[index].regularizer = _regularizer(functions)


def _read_variables(loss: Loss) -> Sequence[tf.Variable]:
    """The variables that a loss reads, without computing it: under `tf.distribute` only a replica could do that."""
    concrete = getattr(loss, "concrete_functions", None) or [tf.function(loss).get_concrete_function()]
    return concrete[0].variables


def _regularizer(functions: Sequence[Loss]) -> Callable[[Any], tf.Tensor]:
    """As Keras calls it, with the variable; the loaded functions read their variables themselves."""
    return lambda _: tf.add_n([function() for function in functions])
