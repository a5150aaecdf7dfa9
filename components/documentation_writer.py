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
from components.dsl import InputArtifact, OutputArtifact, Parameter, Process, component
from piecehub.documentation import page as pages


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
    person = pages.Person(description, intended_use, limitations, training_data, license_id, hub_tasks)
    sources = pages.Sources(
        full_model=Path(full_model.uri),
        piece=Path(piece.uri),
        reusable_model=Path(reusable_model.uri),
        conformance=Path(conformance.uri),
        evidence=[Path(item.uri) for item in evidence],
        blessing=Path(blessing.uri),
        incumbent=Path(incumbent.uri),
    )
    pages.write(publisher, name, person, sources, Path(documentation.uri))
