"""ReusableSavedModel, upstream and downstream examples -> Evidence."""

from functools import partial
from pathlib import Path

from tfx.types.standard_artifacts import ExampleAnomalies, Examples, ModelEvaluation, Schema

from components.artifacts import Evidence, Piece, ReusableSavedModel
from components.dsl import Evaluate, InputArtifact, OptionalInput, OutputArtifact, Parameter, component
from piecehub.examples.anomalies import refuse_anomalies
from piecehub.examples.features import Features
from piecehub.examples.stream import Decode, Stream
from piecehub.extraction.piece import control_kind, input_names
from piecehub.facts.beam import beam_arguments
from piecehub.facts.tables import LimitsTable, ModelTable, TaskTable
from piecehub.training.decoding import decode_of
from piecehub.transfer import evaluation as evaluations
from piecehub.transfer.devices import find_gpus
from piecehub.transfer.evidence import PREDICTIONS
from piecehub.transfer.kinds import check_kind
from piecehub.transfer.leakage import find_leakage, find_overlap, refuse_leakage, refuse_overlap
from piecehub.transfer.metrics import write_metrics
from piecehub.transfer.on_beam import run_trials_on_beam
from piecehub.transfer.pool import Budget, run_trials
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.spill import rows_folder, spilled
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
    protocol: Parameter[str],
    limits: Parameter[str],
    upstream_label: Parameter[str],
    features: Parameter[str],
    parent: Parameter[str],
    recipe_folder: Parameter[str],
    model: Parameter[str],
    upstream_model: Parameter[str],
    trials_folder: Parameter[str],
    devices: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
    upstream_examples: OptionalInput[Examples] = None,
    upstream_schema: OptionalInput[Schema] = None,
) -> None:
    """Measures how well the piece fine-tunes on one downstream task: evidence, no verdict.

    Without `upstream_examples` nobody looks whether the full model has seen the task's. `upstream_schema` is left out
    where it is the task's own: Kubeflow hands no artifact to a task under two names.
    `task`, `protocol` and `limits` are JSON (piecehub/facts/tables.py, piecehub/transfer/protocol.py). So are `model`
    and `upstream_model`, which say how the recipe decodes the task's examples and upstream's; empty where it does not.
    `devices` are told by the runner (piecehub/transfer/devices.py).
    """
    asked, most = TaskTable.from_json(task), LimitsTable.from_json(limits)
    refuse_anomalies(Path(anomalies.uri))
    own = f"{schema.uri}/schema.pbtxt"
    upstream_own = f"{upstream_schema.uri}/schema.pbtxt" if upstream_schema else own
    decode, upstream_decode = (_decode(recipe_folder, table) for table in (model, upstream_model))
    beam_args = beam_arguments()
    with rows_folder(Path(trials_folder)) as rows:
        pool, test = (
            spilled(stream.finite_arrays(), len(stream), rows, stream.split)
            for stream in (_stream(examples, split, own, decode) for split in ("pool", "test"))
        )
        overlap = find_overlap(pool, test, {asked.label})
        refuse_overlap(overlap, asked.name, most.max_leakage)
        leakage = None
        if upstream_examples is not None:
            upstream = _stream(upstream_examples, "train", upstream_own, upstream_decode)
            leakage = find_leakage(upstream.as_arrays(), pool, test, {asked.label, upstream_label}, len(upstream))
            refuse_leakage(leakage, asked.name, most.max_leakage)
        inputs, kind = input_names(Path(piece.uri)), check_kind(asked.kind)
        downstream = task_from_features(asked.name, asked.label, pool, test, inputs, kind, asked.slices)
        found = evaluations.evaluate(
            evaluations.Subject(
                Path(reusable_model.uri) / "saved_model",
                Path(piece.uri) / "controls",
                output=features,
                parent=parent,
                control_kind=control_kind(Path(piece.uri)),
            ),
            downstream,
            Protocol.from_json(protocol),
            evaluations.Means(
                Path(trials_folder),
                budget=Budget(most.max_seconds or None, most.max_trials or None),
                runner=partial(run_trials_on_beam, beam_args=beam_args) if beam_args else run_trials,
                gpus=find_gpus(devices),
            ),
            Path(evidence.uri),
            leakage,
            overlap,
        )
    if not found.complete:
        return
    write_metrics(Path(evidence.uri) / PREDICTIONS, Path(evaluation.uri), found.kind, downstream.slices)
    gain = found.contrast("fine_tuning", "from_scratch")
    evidence.set_float_custom_property("gain_over_parent" if parent else "gain_over_scratch", gain.estimate)
    evidence.set_float_custom_property("gain_low", gain.low)
    evidence.set_float_custom_property("gain_high", gain.high)


def _stream(examples: Examples, split: str, schema: str, decode: Decode | None) -> Stream:
    return Stream.open(examples.uri, split, Features.of_schema(schema), decode)


def _decode(recipe_folder: str, table: str) -> Decode | None:
    return decode_of(Path(recipe_folder), ModelTable.from_json(table)) if table else None
