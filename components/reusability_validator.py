"""ReusableSavedModel -> ConformanceReport."""

from pathlib import Path

from components.artifacts import ConformanceReport, ReusableSavedModel
from components.dsl import Evaluate, InputArtifact, OutputArtifact, Parameter, component
from piecehub.conformance.check import check_saved_model


@component(Evaluate)
def ReusabilityValidator(
    reusable_model: InputArtifact[ReusableSavedModel],
    conformance: OutputArtifact[ConformanceReport],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
) -> None:
    """Checks the SavedModel against the interface; a check that falls short is a finding, which the gate reads."""
    report = check_saved_model(Path(reusable_model.uri) / "saved_model")
    report.write(Path(conformance.uri))
    conformance.set_int_custom_property("failures", len(report.failures))
