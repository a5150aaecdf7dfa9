"""FullModel -> Piece."""

import json
from pathlib import Path
from typing import cast

from components.artifacts import FullModel, ParentPiece, Piece, parent_folder
from components.dsl import InputArtifact, OptionalInput, OutputArtifact, Parameter, Transform, component
from piecehub.extraction import piece as pieces
from piecehub.extraction.roads import Road
from piecehub.facts.tables import ModelTable
from piecehub.training import full_model as full_models


@component(Transform)
def PieceExtractor(
    full_model: InputArtifact[FullModel],
    piece: OutputArtifact[Piece],
    recipe_folder: Parameter[str],
    model: Parameter[str],
    seed: Parameter[int],
    road: Parameter[str],
    layers: Parameter[str],
    control_seeds: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
    parent: OptionalInput[ParentPiece] = None,
) -> None:
    """Finds the piece in the full model by the recipe's road, and writes it with its controls."""
    source, built = Path(full_model.uri), ModelTable.from_json(model)
    facts = full_models.read_facts(source)
    builder = pieces.Builder(
        file=built.module,
        function=built.function,
        kwargs=built.arguments,
        seed=seed,
        road=cast(Road, road),
        layers=json.loads(layers),
        code_digest=code_digest,
        features=facts["features"],
    )
    found = pieces.write_piece(
        source / "weights",
        builder,
        Path(recipe_folder),
        json.loads(control_seeds),
        facts["optimizer"],
        Path(piece.uri),
        parent_folder(parent),
    )
    piece.set_int_custom_property("parameters", found["parameters"])
