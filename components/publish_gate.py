"""Evidence of all tasks, ConformanceReport, Incumbent -> ModelBlessing."""

from pathlib import Path

from tfx.types.standard_artifacts import ModelBlessing

from components.artifacts import ConformanceReport as ConformanceArtifact
from components.artifacts import Evidence as EvidenceArtifact
from components.artifacts import Incumbent
from components.dsl import Evaluate, InputArtifact, OutputArtifact, Parameter, component
from piecehub.conformance import ConformanceReport
from piecehub.transfer import gate
from piecehub.transfer.evidence import Evidence


@component(Evaluate)
def PublishGate(
    evidence: InputArtifact[list[EvidenceArtifact]],
    conformance: InputArtifact[ConformanceArtifact],
    incumbent: InputArtifact[Incumbent],
    blessing: OutputArtifact[ModelBlessing],
    min_gain: Parameter[float],
    non_inferiority_margin: Parameter[float],
    min_seeds: Parameter[int],
    confidence: Parameter[float],
    incomparable_incumbent: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
) -> None:
    """Applies the recipe's rule to the evidence, and writes a stock ModelBlessing with the reasons beside it."""
    rule = gate.Rule(min_gain, non_inferiority_margin, min_seeds, confidence, incomparable_incumbent)
    verdict = gate.judge(
        [Evidence.read(Path(item.uri)) for item in evidence],
        ConformanceReport.read(Path(conformance.uri)),
        gate.read_incumbent(Path(incumbent.uri)),
        rule,
    )
    verdict.write(Path(blessing.uri))
    # The file and the property by which stock TFX (Pusher, LatestBlessedModelStrategy) knows a blessing.
    (Path(blessing.uri) / ("BLESSED" if verdict.blessed else "NOT_BLESSED")).write_bytes(b"")
    blessing.set_int_custom_property("blessed", int(verdict.blessed))
    blessing.set_string_custom_property("status", verdict.status)
