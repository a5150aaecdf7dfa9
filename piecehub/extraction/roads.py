"""The roads to a piece (TensorFlow Hub, "Exporting a SavedModel").

whole   the full model, without its optimizer
take    a Keras model that the recipe built first, as a layer of the full one
cut     from the inputs of the trained model to the output of a named layer, or of several
core    the model that the recipe's function returned beside the pretrainer that is trained
as_is   a SavedModel in a folder, which the recipe's model holds as its one `ReusableLayer`
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf

from piecehub.errors import ConsumerError, PieceError
from piecehub.facts.nearest import nearest
from piecehub.tensors import specs
from piecehub.training.building import Built, Specs, blank, knows_its_input, model_input, spec_facts

Road = Literal["cut", "take", "whole", "core", "as_is"]

# By its name in Keras: the code of an export is not that of the hub's client, which every edit of it would run again.
_REUSABLE_LAYER = "piecehub>ReusableLayer"
# What a ReusableLayer calls in place of the whole.
_CHOICES = ("arguments", "output_key", "piece", "signature")

# Their stubs lack what is needed here.
_RaggedTensor: Any = tf.RaggedTensor
_RaggedTensorSpec: Any = tf.RaggedTensorSpec


@dataclass(frozen=True)
class Found:
    """A piece where it lies in its full model, whose variables it shares, with specs of what it is called with."""

    model: keras.Model
    inputs: Specs


def find_piece(built: Built, road: Road, layers: Sequence[str]) -> Found:
    """The piece by the road that the recipe names; `layers` are one for `take`, one or more for `cut`, else none.

    Raises:
        PieceError: if the road does not lead to a piece in this model.
    """
    match road:
        case "cut":
            model = cut_piece(built.full, *layers)
        case "take":
            model = take_piece(built.full, *layers)
        case "whole":
            return Found(built.full, built.inputs)
        case "as_is":
            saved_model_in(built.full)
            return Found(built.full, built.inputs)
        case "core":
            model = take_core(built)
    return Found(model, _inputs_of(model, built))


def cut_piece(full: keras.Model, *layer_names: str) -> keras.Model:
    """The model from the inputs of `full` to the output of its layer; it shares the variables.

    Several layers give a dict of outputs by the layers' names. A layer that is used more than once is cut at its first
    use that follows from the inputs of `full`.

    Raises:
        PieceError: if there is no such layer, or nothing leads from the inputs to it.

    Example:
        >>> images = keras.Input((4,))
        >>> features = keras.layers.Dense(3, name="features")(images)
        >>> full = keras.Model(images, keras.layers.Dense(2, name="logits")(features))
        >>> piecehub.cut_piece(full, "features").output_shape
        (None, 3)
    """
    outputs = {name: _output_in(full, name) for name in layer_names}
    return keras.Model(model_input(full), outputs if len(outputs) > 1 else outputs[layer_names[0]], name="piece")


def take_piece(full: keras.Model, layer_name: str) -> keras.Model:
    """The Keras model that is the layer `layer_name` of `full`; raises PieceError if it is none."""
    layer = _layer(full, layer_name)
    if not isinstance(layer, keras.Model):
        raise PieceError(
            f"Expected the layer '{layer_name}' to be a keras.Model that the recipe built first. Received: a "
            f"{type(layer).__name__}; name such a layer, or take the road 'cut'."
        )
    return layer


def take_core(built: Built) -> keras.Model:
    """The core that the recipe's function returned beside its pretrainer.

    Raises:
        PieceError: if it returned none, or one that the pretrainer does not hold, so training would pass it by.
    """
    if built.core is None:
        raise PieceError(
            f"Expected the recipe's function to return (core, pretrainer). Received: '{built.full.name}' alone; return "
            "both, or take another road."
        )
    trained = {id(variable) for variable in built.full.variables}
    left_out = [variable.path for variable in built.core.variables if id(variable) not in trained]
    if left_out:
        raise PieceError(
            f"Expected a core whose weights are all the pretrainer's too. Received: '{left_out[0]}', which "
            f"'{built.full.name}' does not hold; use the core inside it."
        )
    return built.core


def saved_model_in(full: keras.Model) -> Path:
    """The folder of the SavedModel that a model holds as its one layer.

    Raises:
        PieceError: if it is another model, so that the SavedModel alone would not be what the model is.
    """
    layers: list[Any] = [layer for layer in full.layers if not isinstance(layer, keras.layers.InputLayer)]
    expected = "Expected a model of one piecehub.ReusableLayer, of a folder and without a choice in it"
    if len(layers) != 1 or keras.saving.get_registered_name(type(layers[0])) != _REUSABLE_LAYER:
        kinds = ", ".join(type(layer).__name__ for layer in layers)
        raise PieceError(f"{expected}, for the road 'as_is'. Received: {kinds or 'no layer'}; take another road.")
    try:
        config = layers[0].get_config()
    except ConsumerError as error:
        raise PieceError(error.sentence) from error
    chosen = [key for key in _CHOICES if config[key]]
    if chosen or not Path(config["handle"]).is_dir():
        raise PieceError(f"{expected}. Received: {', '.join(chosen) or config['handle']}; take another road.")
    return Path(config["handle"])


def _output_in(full: keras.Model, layer_name: str) -> Any:
    """The output of a layer's first use that follows from the inputs of `full`."""
    layer, fault = _layer(full, layer_name), "it is called on nothing"
    for node in getattr(layer, "_inbound_nodes", []):
        output = node.outputs[0] if len(node.outputs) == 1 else list(node.outputs)
        try:
            keras.Model(model_input(full), output)
        except (AttributeError, ValueError) as error:
            fault = " ".join(str(error).split())
        else:
            return output
    raise PieceError(
        f"Expected a layer whose output follows from the inputs of '{full.name}'. Received: '{layer_name}' "
        f"({fault}); choose one of its own layers."
    )


def no_such_layer(model: str, names: Sequence[str], wanted: str) -> str:
    """What is said of a layer that a model does not have."""
    meant = nearest(wanted, names)
    remedy = f"did you mean '{meant}'?" if meant else "name one of them."
    return f"Expected a layer of '{model}': {', '.join(names)}. Received: '{wanted}'; {remedy}"


def _layer(full: keras.Model, name: str) -> keras.Layer:
    names = [layer.name for layer in full.layers]
    if name not in names:
        raise PieceError(no_such_layer(full.name, names, name))
    return full.get_layer(name)


def _inputs_of(piece: keras.Model, built: Built) -> Specs:
    """What `piece` is called with: by its Input, or as seen while the full model runs on a blank example."""
    if knows_its_input(piece):
        return spec_facts(model_input(piece))
    seen: list[Any] = []
    with _watched(piece, seen):
        built.full(blank(built.inputs), training=False)
    if not seen:
        raise PieceError(
            f"Expected the full model to call the piece '{piece.name}'. Received: no call; use the piece inside it."
        )
    return specs.facts(tf.nest.map_structure(_of_a_batch, seen[0]))


def _of_a_batch(example: Any) -> Any:
    """The spec of a batch of any size, of which a blank example was seen."""
    if isinstance(example, _RaggedTensor):
        undefined = [None] * (example.ragged_rank + 1)
        return _RaggedTensorSpec([*undefined, *example.shape[len(undefined) :]], example.dtype, example.ragged_rank)
    shape = [None, *example.shape[1:]]
    return (tf.SparseTensorSpec if isinstance(example, tf.SparseTensor) else tf.TensorSpec)(shape, example.dtype)


@contextmanager
def _watched(piece: Any, seen: list[Any]) -> Iterator[None]:
    """While this lasts, what `piece` is called with is put into `seen`."""
    call = piece.call

    def watching(inputs: Any, *arguments: Any, **keywords: Any) -> Any:
        seen.append(inputs)
        return call(inputs, *arguments, **keywords)

    piece.call = watching
    try:
        yield
    finally:
        del piece.call
