"""Piece -> ReusableSavedModel."""

import json
from pathlib import Path

from components.artifacts import ParentPiece, Piece, ReusableSavedModel, parent_folder
from components.dsl import InputArtifact, OptionalInput, OutputArtifact, Parameter, Transform, component
from piecehub.exporting import reusable


@component(Transform)
def ReusableExporter(
    piece: InputArtifact[Piece],
    reusable_model: OutputArtifact[ReusableSavedModel],
    recipe_folder: Parameter[str],
    model: Parameter[str],
    options: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
    parent: OptionalInput[ParentPiece] = None,
) -> None:
    """Exports the piece through the Reusable SavedModel interface, in a fresh process.

    `model` says which of the recipe's code builds it: the door compares that code's digest.
    """
    del model
    facts = reusable.export_in_fresh_process(
        Path(piece.uri),
        Path(recipe_folder),
        Path(reusable_model.uri) / "saved_model",
        json.loads(options),
        parent_folder(parent),
    )
    reusable_model.set_string_custom_property("saved_model_digest", facts.digest)
    reusable_model.set_int_custom_property("trainable_variables", len(facts.trainable_variables))
    reusable_model.set_int_custom_property("regularization_losses", facts.regularization_losses)
