"""ReusableSavedModel, blessing, documentation -> PushedModel."""

from pathlib import Path

from tfx.types.standard_artifacts import ModelBlessing, PushedModel

from components.artifacts import ConformanceReport, Documentation, Evidence, Incumbent, ReusableSavedModel
from components.dsl import Deploy, InputArtifact, OutputArtifact, Parameter, component, note
from piecehub.signing.push_of_run import push_run


@component(Deploy)
def HubPusher(
    reusable_model: InputArtifact[ReusableSavedModel],
    conformance: InputArtifact[ConformanceReport],
    evidence: InputArtifact[list[Evidence]],
    blessing: InputArtifact[ModelBlessing],
    incumbent: InputArtifact[Incumbent],
    documentation: InputArtifact[Documentation],
    pushed_model: OutputArtifact[PushedModel],
    publisher: Parameter[str],
    name: Parameter[str],
    store_folder: Parameter[str],
    image: Parameter[str],
    cluster_run: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
) -> None:
    """Publishes what is blessed and conforms, and nothing else, signed if the run has a key. Idempotent."""
    facts = push_run(
        reusable_model=Path(reusable_model.uri),
        conformance=Path(conformance.uri),
        evidence=[Path(item.uri) for item in evidence],
        blessing=Path(blessing.uri),
        incumbent=Path(incumbent.uri),
        documentation=Path(documentation.uri),
        pushed_model=Path(pushed_model.uri),
        publisher=publisher,
        name=name,
        store_folder=store_folder,
        image=image,
        cluster_run=cluster_run,
    )
    note(pushed_model, facts)
