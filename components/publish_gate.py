"""Evidence of all tasks, ConformanceReport, Incumbent, FullModel -> ModelBlessing."""

import json
from pathlib import Path

from tfx.types.standard_artifacts import ModelBlessing

from components.artifacts import ConformanceReport as ConformanceArtifact
from components.artifacts import Evidence as EvidenceArtifact
from components.artifacts import FullModel, Incumbent
from components.dsl import Evaluate, InputArtifact, OutputArtifact, Parameter, component
from piecehub.facts.conformance_report import ConformanceReport
from piecehub.transfer import gate, plot_gains
from piecehub.transfer.evidence import Evidence
from piecehub.transfer.rule import Rule


@component(Evaluate)
def PublishGate(
    evidence: InputArtifact[list[EvidenceArtifact]],
    conformance: InputArtifact[ConformanceArtifact],
    incumbent: InputArtifact[Incumbent],
    full_model: InputArtifact[FullModel],
    blessing: OutputArtifact[ModelBlessing],
    min_gain: Parameter[float],
    non_inferiority_margin: Parameter[float],
    min_seeds: Parameter[int],
    confidence: Parameter[float],
    incomparable_incumbent: Parameter[str],
    min_tasks: Parameter[int],
    mode: Parameter[str],
    tasks: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
) -> None:
    """Applies the recipe's rule to the evidence, and writes a stock ModelBlessing with the reasons beside it."""
    rule = Rule(
        min_gain,
        non_inferiority_margin,
        min_seeds,
        confidence,
        incomparable_incumbent,
        min_tasks,
        json.loads(tasks),
        mode,
    )
    evidences = [Evidence.read(Path(item.uri)) for item in evidence]
    verdict = gate.judge(
        evidences,
        ConformanceReport.read(Path(conformance.uri)),
        gate.read_incumbent(Path(incumbent.uri)),
        rule,
        json.loads((Path(full_model.uri) / "facts.json").read_text(encoding="utf-8")),
    )
    verdict.write(Path(blessing.uri))
    plot_gains.write(evidences, rule, Path(blessing.uri))
    # The file and the property by which stock TFX (Pusher, LatestBlessedModelStrategy) knows a blessing.
    (Path(blessing.uri) / ("BLESSED" if verdict.blessed else "NOT_BLESSED")).write_bytes(b"")
    blessing.set_int_custom_property("blessed", int(verdict.blessed))
    blessing.set_string_custom_property("status", verdict.status)
