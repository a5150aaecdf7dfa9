"""The piece: the part of the full model that is shared, and all that is needed to build it again.

    weights/             checkpoint of the piece
    builder.json         {schema, file, function, kwargs, seed, road, layer, code_digest}: how to build it again
    controls/seed-K/     re-initialised weights, for the control that learns from scratch
    facts.json           specs of input and output, variables, regularizers, optimizer's configuration, …

Two roads lead to a piece (TensorFlow Hub, "Exporting a SavedModel"): `cut` it out of the trained model at the output of
a named layer, or `take` a Keras model that the recipe built first, as a layer of the full one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from piecehub.errors import PieceError
from piecehub.modeling import full_model, recipe_modules, weights
from piecehub.modeling.whole_folder import whole_folder

Road = Literal["cut", "take"]


@dataclass(frozen=True)
class Builder:
    """How to build the piece again: `function(seed=seed, **kwargs)` of the recipe's `file`, then `road` to `layer`."""

    file: str
    function: str
    kwargs: dict[str, Any]
    seed: int
    road: Road
    layer: str
    code_digest: str


def cut_piece(full: keras.Model, layer_name: str) -> keras.Model:
    """The model from the inputs of `full` to the output of its layer; it shares the variables.

    Raises:
        PieceError: if there is no such layer, or nothing leads from the inputs to it.
    """
    layer = _layer(full, layer_name)
    try:
        return keras.Model(model_input(full), layer.output, name="piece")
    except (AttributeError, ValueError) as error:
        raise PieceError(
            f"Expected a layer whose output follows from the inputs of '{full.name}'. Received: '{layer_name}' "
            f"({error}); choose one of its own layers."
        ) from error


def take_piece(full: keras.Model, layer_name: str) -> keras.Model:
    """The Keras model that is the layer `layer_name` of `full`; raises PieceError if it is none."""
    layer = _layer(full, layer_name)
    if not isinstance(layer, keras.Model):
        raise PieceError(
            f"Expected the layer '{layer_name}' to be a keras.Model that the recipe built first. Received: a "
            f"{type(layer).__name__}; name such a layer, or take the road 'cut'."
        )
    return layer


def piece_of(full: keras.Model, road: Road, layer_name: str) -> keras.Model:
    """The piece by the road that the recipe names."""
    return {"cut": cut_piece, "take": take_piece}[road](full, layer_name)


def write_piece(
    full: keras.Model,
    builder: Builder,
    recipe_folder: Path,
    control_seeds: Sequence[int],
    optimizer: Mapping[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """Writes the piece of a trained `full` model, with its controls, into `folder`; returns the facts.

    Args:
        full: the trained model (`full_model.restore`).
        builder: how it was built, and where its piece lies.
        recipe_folder: the recipe, to build the controls.
        control_seeds: a control for each.
        optimizer: the configuration of the optimizer that trained `full`, for the documentation.
        folder: empty, or not there yet.
    """
    piece = piece_of(full, builder.road, builder.layer)
    facts = {**piece_facts(piece), "optimizer": dict(optimizer), "control_seeds": list(control_seeds)}
    with whole_folder(folder) as whole:
        weights.save(piece, whole / "weights")
        for seed in control_seeds:
            weights.save(_build_piece(builder, recipe_folder, seed), control_weights(whole, seed))
        _write_json(whole / "builder.json", {"schema": 1, **asdict(builder)})
        _write_json(whole / "facts.json", {"schema": 1, **facts})
    return facts


def read_builder(folder: Path) -> Builder:
    """What `builder.json` of a piece says."""
    value = json.loads((folder / "builder.json").read_text(encoding="utf-8"))
    value.pop("schema")
    return Builder(**value)


def read_facts(folder: Path) -> dict[str, Any]:
    """What `facts.json` of a piece says (see `piece_facts`)."""
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def rebuild_piece(folder: Path, recipe_folder: Path) -> keras.Model:
    """The piece that `write_piece` wrote to `folder`, with its weights."""
    builder = read_builder(folder)
    piece = _build_piece(builder, recipe_folder, builder.seed)
    weights.load(piece, folder / "weights")
    return piece


def control_weights(folder: Path, seed: int) -> Path:
    """Where the checkpoint of a control lies; its variables are in the order of the piece's."""
    return folder / "controls" / f"seed-{seed}"


def piece_facts(piece: keras.Model) -> dict[str, Any]:
    """What a consumer must know of a piece, as plain JSON."""
    layers = [layer for layer in piece._flatten_layers() if not isinstance(layer, keras.Model)]
    return {
        "input": spec_facts(model_input(piece)),
        "output": spec_facts(piece.output),
        "variables": [variable.path for variable in piece.variables],
        "trainable_variables": [variable.path for variable in piece.trainable_variables],
        "parameters": piece.count_params(),
        "regularizers": [
            {"variable": v.path, "regularizer": keras.regularizers.serialize(v.regularizer)}
            for v in piece.trainable_variables
            if v.regularizer is not None
        ],
        "dropout": [{"layer": x.name, "rate": x.rate} for x in layers if isinstance(x, keras.layers.Dropout)],
        "batch_normalization": [
            {"layer": x.name, "momentum": x.momentum} for x in layers if isinstance(x, keras.layers.BatchNormalization)
        ],
    }


def spec_facts(tensors: Any) -> Any:
    """Shapes and dtypes of Keras tensors, in their structure: `{"shape": [null, 8, 8, 1], "dtype": "float32"}`."""
    return keras.tree.map_structure(lambda t: {"shape": list(t.shape), "dtype": t.dtype}, tensors)


def _build_piece(builder: Builder, recipe_folder: Path, seed: int) -> keras.Model:
    module = recipe_modules.load_module(recipe_folder, builder.file)
    build = recipe_modules.get_function(module, builder.function)
    return piece_of(full_model.build_full_model(build, builder.kwargs, seed), builder.road, builder.layer)


def _layer(full: keras.Model, name: str) -> keras.Layer:
    names = [layer.name for layer in full.layers]
    if name not in names:
        raise PieceError(
            f"Expected a layer of '{full.name}': {', '.join(names)}. Received: '{name}'; name one of them."
        )
    return full.get_layer(name)


def model_input(model: keras.Model) -> Any:
    """The model's input in its structure: a tensor, a list of more than one, or a dict."""
    inputs = model.input
    return inputs[0] if isinstance(inputs, list | tuple) and len(inputs) == 1 else inputs


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
