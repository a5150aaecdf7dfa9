"""Everything known about the piece -> Documentation."""

from pathlib import Path

from tfx.types.standard_artifacts import ModelBlessing

from components.artifacts import (
    ConformanceReport,
    Documentation,
    Evidence,
    FullModel,
    Incumbent,
    Piece,
    ReusableSavedModel,
)
from components.dsl import InputArtifact, OutputArtifact, Parameter, Process, component, note
from piecehub.documentation.page_of_run import document_run


@component(Process)
def DocumentationWriter(
    full_model: InputArtifact[FullModel],
    piece: InputArtifact[Piece],
    reusable_model: InputArtifact[ReusableSavedModel],
    conformance: InputArtifact[ConformanceReport],
    evidence: InputArtifact[list[Evidence]],
    blessing: InputArtifact[ModelBlessing],
    incumbent: InputArtifact[Incumbent],
    documentation: OutputArtifact[Documentation],
    publisher: Parameter[str],
    name: Parameter[str],
    description: Parameter[str],
    intended_use: Parameter[str],
    limitations: Parameter[str],
    training_data: Parameter[str],
    license_id: Parameter[str],
    hub_tasks: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
) -> None:
    """Writes the model page: what only a person knows from the recipe, every number from the artifacts."""
    facts = document_run(
        full_model=Path(full_model.uri),
        piece=Path(piece.uri),
        reusable_model=Path(reusable_model.uri),
        conformance=Path(conformance.uri),
        evidence=[Path(item.uri) for item in evidence],
        blessing=Path(blessing.uri),
        incumbent=Path(incumbent.uri),
        documentation=Path(documentation.uri),
        publisher=publisher,
        name=name,
        description=description,
        intended_use=intended_use,
        limitations=limitations,
        training_data=training_data,
        license_id=license_id,
        hub_tasks=hub_tasks,
    )
    note(documentation, facts)
