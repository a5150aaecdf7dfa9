"""ReusableSavedModel, downstream examples -> Evidence."""

from pathlib import Path

from tfx.types.standard_artifacts import ExampleAnomalies, Examples, ModelEvaluation, Schema

from components.artifacts import Evidence, Piece, ReusableSavedModel
from components.dsl import Evaluate, InputArtifact, OutputArtifact, Parameter, component
from piecehub.anomalies import refuse_anomalies
from piecehub.modeling.examples import feature_spec_of, read_split
from piecehub.modeling.piece import input_names
from piecehub.transfer import evidence as evidences
from piecehub.transfer.metrics import write_metrics
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.tasks import task_from_features


@component(Evaluate)
def FineTuneEvaluator(
    reusable_model: InputArtifact[ReusableSavedModel],
    piece: InputArtifact[Piece],
    examples: InputArtifact[Examples],
    schema: InputArtifact[Schema],
    anomalies: InputArtifact[ExampleAnomalies],
    evidence: OutputArtifact[Evidence],
    evaluation: OutputArtifact[ModelEvaluation],
    task: Parameter[str],
    label: Parameter[str],
    features: Parameter[str],
    parent: Parameter[str],
    protocol: Parameter[str],
    trials_folder: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
) -> None:
    """Measures how well the piece fine-tunes on one downstream task: evidence, no verdict."""
    refuse_anomalies(Path(anomalies.uri))
    spec = feature_spec_of(f"{schema.uri}/schema.pbtxt")
    pool, test = (read_split(examples.uri, split, spec) for split in ("pool", "test"))
    found = evidences.evaluate(
        Path(reusable_model.uri) / "saved_model",
        Path(piece.uri) / "controls",
        task_from_features(task, label, pool, test, input_names(Path(piece.uri))),
        Protocol.from_json(protocol),
        Path(trials_folder),
        Path(evidence.uri),
        output=features,
        parent=parent,
    )
    write_metrics(Path(evidence.uri) / evidences.PREDICTIONS, Path(evaluation.uri))
    gain = found.contrast("fine_tuning", "from_scratch")
    evidence.set_float_custom_property("gain_over_parent" if parent else "gain_over_scratch", gain.estimate)
    evidence.set_float_custom_property("gain_low", gain.low)
    evidence.set_float_custom_property("gain_high", gain.high)
