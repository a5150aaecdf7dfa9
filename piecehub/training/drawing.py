"""A Keras model that somebody trained, with its weights drawn anew: what its layers' own initializers give.

So a recipe has both of a model that lies in a file: its trained weights, from `[model] checkpoint`, and random ones of
any seed, which the controls start from.
"""

from collections.abc import Mapping
from itertools import count
from typing import Any, cast

import keras

# What these have learned of data is no training: a control keeps it.
_LEARNED_OF_DATA = (keras.layers.Normalization,)
_LARGEST_SEED = 2**31 - 1


def draw_weights(model: keras.Model, *, seed: int, custom_objects: Mapping[str, Any] | None = None) -> keras.Model:
    """Gives `model` the weights that its layers draw when they are made, by `seed`; returns it.

    Moving statistics of BatchNorm begin anew; mean and variance of a `Normalization` layer, and vocabularies, stay.

    Args:
        model: built, of Keras' own layers or others that can be made of their configuration.
        seed: equal seeds give equal weights, others others, whatever seeds the layers were made with.
        custom_objects: the model's own classes by name, but for those that are registered with Keras.

    Raises:
        ValueError: as Keras raises it, if the model cannot be made of its configuration.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> first = piecehub.draw_weights(model, seed=0).get_weights()[0]
        >>> again = piecehub.draw_weights(model, seed=0).get_weights()[0]
        >>> bool((first == again).all())
        True
    """
    with keras.saving.custom_object_scope(dict(custom_objects or {})):
        config = cast(dict[str, Any], keras.saving.serialize_keras_object(model))
        keras.utils.set_random_seed(seed)
        # Python that it holds, such as a Lambda layer, was run when it was built.
        drawn: Any = keras.saving.deserialize_keras_object(_reseeded(config, seed, count()), safe_mode=False)
    layers: list[Any] = list(cast(Any, model)._flatten_layers())
    kept = {id(weight) for layer in layers if isinstance(layer, _LEARNED_OF_DATA) for weight in layer.weights}
    for weight, value in zip(cast(list[Any], model.weights), cast(list[Any], drawn.weights), strict=True):
        if id(weight) not in kept:
            weight.assign(value)
    return model


def _reseeded(config: Any, seed: int, numbers: "count[int]") -> Any:
    """The configuration with another seed in each place that has one: equal seeds would draw equal weights."""
    if isinstance(config, Mapping):
        items = cast(Mapping[str, Any], config).items()
        return {
            key: _seed(value, seed, numbers) if key == "seed" else _reseeded(value, seed, numbers)
            for key, value in items
        }
    if isinstance(config, list | tuple):
        values = (_reseeded(value, seed, numbers) for value in cast(list[Any], config))
        return type(config)(values)
    return config


def _seed(value: Any, seed: int, numbers: "count[int]") -> Any:
    plain = value is None or isinstance(value, int)
    return (seed * 1_000_003 + next(numbers)) % _LARGEST_SEED if plain else _reseeded(value, seed, numbers)
