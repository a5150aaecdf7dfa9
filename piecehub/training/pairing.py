"""A batch of decoded features as Keras' `fit` takes it: `(x, y)`, or `(x, y, sample_weight)`."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from piecehub.errors import TrainingError
from piecehub.training.building import knows_its_input, model_input

# Decoded features of a batch, by name -> what `model.fit` takes of it.
Pairing = Callable[[Mapping[str, Any]], tuple[Any, ...]]

_RaggedTensor: Any = tf.RaggedTensor  # its stub lacks what is needed here


def pairing(model: Any, specs: Mapping[str, Any], label: str, weight: str = "") -> Pairing:
    """How a batch becomes inputs in the form that `model` takes, labels `[batch]`, and weights `[batch]`.

    Features are found by the names of the model's inputs; if there is one of each, names need not agree.

    Args:
        model: the full model, built.
        specs: of a batch of decoded features, by name.
        label: the feature that is the class; empty if there is none, and `y` is 0.
        weight: the feature that says how much an example counts; empty if all count alike.

    Raises:
        TrainingError: if the label, the weight or an input has no feature.
    """
    features = [name for name in specs if name not in (label, weight)]
    names = _input_names(model, features)
    wanted = features if len(names) == len(features) == 1 else names
    missing = [name for name in (*wanted, *filter(None, (label, weight))) if name not in specs]
    if missing or not wanted:
        raise TrainingError(
            f"Expected a feature for each input of the full model, and the label. Received: no "
            f"'{(*missing, 'input')[0]}' among {', '.join(sorted(specs))}; name inputs like features."
        )
    as_dict = _takes_dict(model, len(wanted))

    def pair(batch: Mapping[str, Any]) -> tuple[Any, ...]:
        chosen = [batch[name] for name in wanted]
        x = dict(zip(names, chosen, strict=True)) if as_dict else chosen[0] if len(chosen) == 1 else tuple(chosen)
        y = one_each(batch[label]) if label else tf.zeros([_count(chosen[0])], tf.float32)
        return (x, y, tf.cast(one_each(batch[weight]), tf.float32)) if weight else (x, y)

    return pair


def one_each(values: Any) -> Any:
    """`[batch]` of `[batch, 1]`: a schema's `shape { dim { size: 1 } }` says the same as `shape {}`."""
    one = values.shape.rank is not None and values.shape.rank > 1 and values.shape[1:].num_elements() == 1
    return tf.reshape(values, [-1]) if one else values


def _input_names(model: Any, features: list[str]) -> list[str]:
    """The names of the model's inputs; a subclassed model is called on all features, as it was built (`building`)."""
    if not knows_its_input(model):
        return features
    given = model_input(model)
    return list(given) if isinstance(given, dict) else [tensor.name for tensor in model.inputs]


def _takes_dict(model: Any, inputs: int) -> bool:
    return isinstance(model_input(model), dict) if knows_its_input(model) else inputs > 1


def _count(tensor: Any) -> Any:
    """How many examples a batch has."""
    if isinstance(tensor, _RaggedTensor):
        return tensor.nrows()
    return tensor.dense_shape[0] if isinstance(tensor, tf.SparseTensor) else tf.shape(tensor)[0]
