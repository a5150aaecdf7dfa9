"""The piece: the part of the full model that is shared, and all that is needed to build it again.

    weights/             checkpoint of the piece
    builder.json         {schema, file, function, kwargs, seed, road, layers, code_digest, features}: how to build it
    controls/seed-K/     re-initialised weights, for the control that learns from scratch
    facts.json           specs of input and output, variables, regularizers, optimizer's configuration, …

`roads.py` tells how a piece is found in its full model. A piece that starts from a published one, its parent, keeps the
parent's weights in its controls too, since no seed re-initialises those: what they then show is the parent, with
whatever the recipe put on top of it re-initialised.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf

from piecehub.extraction.roads import Found, Road, find_piece, saved_model_in
from piecehub.facts.controls import control_folder
from piecehub.tensors import approximate_controls, specs
from piecehub.tensors.regularizers import regularizer_config
from piecehub.tensors.whole_folder import whole_folder
from piecehub.training import recipe_modules, weights
from piecehub.training.building import (
    Built,
    Specs,
    build_models,
    knows_its_input,
    model_output,
    spec_facts,
    tensor_specs,
)

_CONTROLS = "controls"


@dataclass(frozen=True)
class Builder:
    """How to build the piece again: `function(seed=seed, **kwargs)` of the recipe's `file`, then `road` to `layers`.

    `features` are specs to call a full model with that has no Input. Where a parent's SavedModel lies is no part of it.
    """

    file: str
    function: str
    kwargs: dict[str, Any]
    seed: int
    road: Road
    layers: Sequence[str]
    code_digest: str
    features: Specs | None = None

    def build(self, recipe_folder: Path, seed: int, parent: Path | None = None) -> Built:
        """The full model by the recipe's code, with the weights of `seed`."""
        module = recipe_modules.load_module(recipe_folder, self.file)
        build = recipe_modules.get_function(module, self.function)
        return build_models(build, {**self.kwargs, **parent_keyword(parent)}, seed, self.features)

    def find(self, built: Built) -> Found:
        """The piece in a full model."""
        return find_piece(built, self.road, self.layers)


def parent_keyword(parent: Path | None) -> dict[str, str]:
    """What a recipe's function gets of the published piece that it starts from: its SavedModel's folder."""
    return {"parent": str(parent)} if parent else {}


def write_piece(
    full_weights: Path,
    builder: Builder,
    recipe_folder: Path,
    control_seeds: Sequence[int],
    optimizer: Mapping[str, Any],
    folder: Path,
    parent: Path | None = None,
) -> dict[str, Any]:
    """Writes the piece of a trained full model, with its controls, into `folder`; returns the facts.

    Args:
        full_weights: the checkpoint of the full model.
        builder: how it is built, and where its piece lies.
        recipe_folder: the recipe.
        control_seeds: a control for each.
        optimizer: the configuration of the optimizer that trained the full model, for the documentation.
        folder: empty, or not there yet.
        parent: the SavedModel of the published piece that it starts from, if it does.
    """
    built = builder.build(recipe_folder, builder.seed, parent)
    weights.load(built.full, full_weights)
    piece = builder.find(built)
    facts = {**piece_facts(piece), "optimizer": dict(optimizer), "control_seeds": list(control_seeds)}
    with whole_folder(folder) as whole:
        weights.save(piece.model, whole / "weights")
        _write_controls(builder, control_seeds, recipe_folder, parent, piece, whole)
        _write_json(whole / "builder.json", {"schema": 1, **asdict(builder)})
        _write_json(whole / "facts.json", {"schema": 1, **facts})
    return facts


def _write_controls(
    builder: Builder, seeds: Sequence[int], recipe_folder: Path, parent: Path | None, piece: Found, folder: Path
) -> None:
    """A control for each seed: as the recipe builds it, or drawn where a SavedModel is all that there is."""
    if builder.road == "as_is":
        approximate_controls.write_controls(saved_model_in(piece.model), seeds, folder / _CONTROLS)
        return
    for seed in seeds:
        control = builder.find(builder.build(recipe_folder, seed, parent))
        weights.save(control.model, control_weights(folder, seed))


def read_builder(folder: Path) -> Builder:
    """What `builder.json` of a piece says."""
    value = json.loads((folder / "builder.json").read_text(encoding="utf-8"))
    value.pop("schema")
    return Builder(**value)


def read_facts(folder: Path) -> dict[str, Any]:
    """What `facts.json` of a piece says (see `piece_facts`)."""
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def rebuild_piece(folder: Path, recipe_folder: Path, parent: Path | None = None) -> keras.Model:
    """The piece that `write_piece` wrote to `folder`, with its weights."""
    builder = read_builder(folder)
    piece = builder.find(builder.build(recipe_folder, builder.seed, parent)).model
    weights.load(piece, folder / "weights")
    return piece


def input_names(folder: Path) -> list[str]:
    """The keys of the dict that the piece in `folder` takes; none if it takes no dict."""
    inputs = read_facts(folder)["input"]
    return sorted(inputs) if isinstance(inputs, dict) and not specs.is_fact(inputs) else []


def export_specs(piece: keras.Model, folder: Path) -> Any:
    """The TensorSpecs of the input of the piece in `folder`, if the model cannot tell its own; else None."""
    return None if knows_its_input(piece) else tensor_specs(read_facts(folder)["input"])


def control_weights(folder: Path, seed: int) -> Path:
    """Where the checkpoint of a control lies; its variables are in the order of the piece's."""
    return control_folder(folder / _CONTROLS, seed)


def control_kind(folder: Path) -> Literal["exact", "approximate"]:
    """Whether the controls of the piece in `folder` are what the code gives that initialises it."""
    return "approximate" if read_builder(folder).road == "as_is" else "exact"


def piece_facts(piece: Found) -> dict[str, Any]:
    """What a consumer must know of a piece, as plain JSON."""
    model = piece.model
    layers = [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model)]
    return {
        "input": piece.inputs,
        "output": _output_specs(piece),
        "variables": [variable.path for variable in model.variables],
        "trainable_variables": [variable.path for variable in model.trainable_variables],
        "parameters": model.count_params(),
        "regularizers": [
            {"variable": v.path, "regularizer": regularizer_config(v)}
            for v in model.trainable_variables
            if v.regularizer is not None
        ],
        "dropout": [{"layer": x.name, "rate": x.rate} for x in layers if isinstance(x, keras.layers.Dropout)],
        "batch_normalization": [
            {"layer": x.name, "momentum": x.momentum} for x in layers if isinstance(x, keras.layers.BatchNormalization)
        ],
    }


def _output_specs(piece: Found) -> Specs:
    """Specs of what the piece returns: as Keras knows them, or as TensorFlow traces them."""
    if knows_its_input(piece.model):
        return spec_facts(model_output(piece.model))
    traced = tf.function(lambda inputs: piece.model(inputs, training=False))
    return spec_facts(traced.get_concrete_function(tensor_specs(piece.inputs)).structured_outputs)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
