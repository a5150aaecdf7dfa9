"""ReusableSavedModel, blessing, documentation -> PushedModel."""

from pathlib import Path

from tfx.types.standard_artifacts import ModelBlessing, PushedModel

from components.artifacts import ConformanceReport, Documentation, Evidence, Incumbent, ReusableSavedModel
from components.dsl import Deploy, InputArtifact, OutputArtifact, Parameter, component
from piecehub.signing.attest import attest_run
from piecehub.store.push import Candidate, push


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
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
) -> None:
    """Publishes what is blessed and conforms, and nothing else, signed if the run has a key. Idempotent."""
    candidate = Candidate(
        reusable_model=Path(reusable_model.uri),
        conformance=Path(conformance.uri),
        evidence=[Path(item.uri) for item in evidence],
        blessing=Path(blessing.uri),
        incumbent=Path(incumbent.uri),
        documentation=Path(documentation.uri),
    )
    attest = attest_run(candidate.reusable_model / "saved_model", candidate.documentation)
    outcome = push(candidate, publisher, name, Path(store_folder), Path(pushed_model.uri), attest)
    pushed_model.set_int_custom_property("pushed", int(outcome.pushed))
    pushed_model.set_string_custom_property("handle", outcome.handle)
    pushed_model.set_string_custom_property("pushed_version", outcome.handle.rpartition("/")[2])
    pushed_model.set_string_custom_property("saved_model_digest", outcome.digest)
    pushed_model.set_string_custom_property("why", outcome.why[:2000])
