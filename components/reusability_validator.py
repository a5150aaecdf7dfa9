"""ReusableSavedModel, and what its page will say -> ConformanceReport."""

from pathlib import Path

from components.artifacts import ConformanceReport, ReusableSavedModel
from components.dsl import Evaluate, InputArtifact, OutputArtifact, Parameter, component
from piecehub.conformance.check import check_saved_model
from piecehub.documentation import page as pages
from piecehub.documentation.person import Person


@component(Evaluate)
def ReusabilityValidator(
    reusable_model: InputArtifact[ReusableSavedModel],
    conformance: OutputArtifact[ConformanceReport],
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
    """Checks the SavedModel and its page to be; a check that falls short is a finding, which the gate reads."""
    person = Person(description, intended_use, limitations, training_data, license_id, hub_tasks)
    model = Path(reusable_model.uri) / "saved_model"
    report = check_saved_model(model, documentation=pages.draft_of(publisher, name, person, model))
    report.write(Path(conformance.uri))
    conformance.set_int_custom_property("failures", len(report.failures))
