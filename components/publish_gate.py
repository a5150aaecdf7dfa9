"""Evidence of all tasks, ConformanceReport, Incumbent, FullModel -> ModelBlessing."""

from pathlib import Path

from tfx.types.standard_artifacts import ModelBlessing

from components.artifacts import ConformanceReport, Evidence, FullModel, Incumbent
from components.dsl import Evaluate, InputArtifact, OutputArtifact, Parameter, component, note
from piecehub.transfer.judging import judge_run


@component(Evaluate)
def PublishGate(
    evidence: InputArtifact[list[Evidence]],
    conformance: InputArtifact[ConformanceReport],
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
    facts = judge_run(
        evidence=[Path(item.uri) for item in evidence],
        conformance=Path(conformance.uri),
        incumbent=Path(incumbent.uri),
        full_model=Path(full_model.uri),
        blessing=Path(blessing.uri),
        min_gain=min_gain,
        non_inferiority_margin=non_inferiority_margin,
        min_seeds=min_seeds,
        confidence=confidence,
        incomparable_incumbent=incomparable_incumbent,
        min_tasks=min_tasks,
        mode=mode,
        tasks=tasks,
    )
    note(blessing, facts)
