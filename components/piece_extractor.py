"""FullModel -> Piece."""

import json
from pathlib import Path
from typing import cast

from components.artifacts import FullModel, Piece
from components.dsl import InputArtifact, OutputArtifact, Parameter, Transform, component
from piecehub.modeling import full_model as full_models
from piecehub.modeling import piece as pieces
from piecehub.modeling.recipe_modules import get_function, load_module


@component(Transform)
def PieceExtractor(
    full_model: InputArtifact[FullModel],
    piece: OutputArtifact[Piece],
    recipe_folder: Parameter[str],
    model_file: Parameter[str],
    model_function: Parameter[str],
    model_arguments: Parameter[str],
    seed: Parameter[int],
    road: Parameter[str],
    layer: Parameter[str],
    control_seeds: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
) -> None:
    """Cuts the piece out of the full model, or takes the one that was built first, and writes its controls."""
    source = Path(full_model.uri)
    builder = pieces.Builder(
        model_file, model_function, json.loads(model_arguments), seed, cast(pieces.Road, road), layer, code_digest
    )
    build = get_function(load_module(Path(recipe_folder), model_file), model_function)
    facts = pieces.write_piece(
        full_models.restore(build, builder.kwargs, seed, source),
        builder,
        Path(recipe_folder),
        json.loads(control_seeds),
        full_models.read_facts(source)["optimizer"],
        Path(piece.uri),
    )
    piece.set_int_custom_property("parameters", facts["parameters"])
