"""FullModel -> Piece."""

import json
from pathlib import Path
from typing import cast

from tfx.types.standard_artifacts import Schema

from components.artifacts import FullModel, ParentPiece, Piece, parent_folder
from components.dsl import InputArtifact, OptionalInput, OutputArtifact, Parameter, Transform, component
from piecehub.examples.features import Features
from piecehub.examples.stream import Stream
from piecehub.extraction import piece as pieces
from piecehub.extraction.roads import Road
from piecehub.facts.tables import ModelTable
from piecehub.training import full_model as full_models
from piecehub.training.building import feature_specs
from piecehub.training.decoding import decode_of


@component(Transform)
def PieceExtractor(
    full_model: InputArtifact[FullModel],
    schema: InputArtifact[Schema],
    piece: OutputArtifact[Piece],
    recipe_folder: Parameter[str],
    model: Parameter[str],
    label: Parameter[str],
    sample_weight: Parameter[str],
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
    examples = Features.of_schema(f"{schema.uri}/schema.pbtxt")
    decode = decode_of(Path(recipe_folder), built)
    builder = pieces.Builder(
        file=built.module,
        function=built.function,
        kwargs=built.arguments,
        seed=seed,
        road=cast(Road, road),
        layers=json.loads(layers),
        code_digest=code_digest,
        features=feature_specs(Stream.specs_of(examples, decode), label, sample_weight),
    )
    facts = pieces.write_piece(
        source / "weights",
        builder,
        Path(recipe_folder),
        json.loads(control_seeds),
        full_models.read_facts(source)["optimizer"],
        Path(piece.uri),
        parent_folder(parent),
    )
    piece.set_int_custom_property("parameters", facts["parameters"])
