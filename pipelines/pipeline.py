"""The journey of the data, top to bottom: examples, full model, piece, SavedModel, evidence, verdict, store."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tfx import v1 as tfx
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types import channel_utils

from components.code import code_digest, lock_digest
from components.documentation_writer import DocumentationWriter
from components.fine_tune_evaluator import FineTuneEvaluator
from components.full_model_trainer import FullModelTrainer
from components.hub_pusher import HubPusher
from components.incumbent_resolver import IncumbentResolver
from components.piece_extractor import PieceExtractor
from components.publish_gate import PublishGate
from components.reusability_validator import ReusabilityValidator
from components.reusable_exporter import ReusableExporter
from piecehub.transfer.protocol import Protocol
from pipelines.config import LoadedRecipe, Recipe

# The store is a side input: what reads or writes it runs in every run, whatever the cache knows.
NEVER_CACHED = ("IncumbentResolver", "HubPusher")


@dataclass(frozen=True)
class Places:
    """Where a run reads and writes, as the runner says; uris or folders, never part of what is computed."""

    pipeline_root: str
    examples: str
    store: str
    trials: str


def create_pipeline(
    loaded: LoadedRecipe, places: Places, metadata: object | None = None, beam_args: Sequence[str] = ()
) -> tfx.dsl.Pipeline:
    """The recipe as a TFX pipeline; `metadata` is a connection config, which Kubeflow does without."""
    config, folder = loaded.config, str(loaded.folder)
    lock = lock_digest()

    def digests(module: str, *, recipe: bool = False) -> dict[str, str]:
        code = code_digest(f"components.{module}", *((folder, config.model.module) if recipe else ()))
        return {"code_digest": code, "lock_digest": lock}

    # Upstream examples, held against the curated schema.
    upstream = _examples(places.examples, "upstream", ("train", "eval"), "UpstreamExamples")
    schema = tfx.components.ImportSchemaGen(schema_file=str(loaded.folder / config.data.schema))
    upstream_statistics, upstream_anomalies = _held_against(schema, upstream, "Upstream")

    # Train the full model, cut the piece, export it, check the export.
    builder = {
        "recipe_folder": folder,
        "model_file": config.model.module,
        "model_function": config.model.function,
        "model_arguments": json.dumps(config.model.arguments, sort_keys=True),
        "seed": config.train.seed,
    }
    trainer = FullModelTrainer(
        examples=upstream.outputs["examples"],
        schema=schema.outputs["schema"],
        anomalies=upstream_anomalies.outputs["anomalies"],
        label=config.data.label,
        epochs=config.train.epochs,
        batch_size=config.train.batch_size,
        learning_rate=config.train.learning_rate,
        optimizer=config.train.optimizer,
        **builder,
        **digests("full_model_trainer", recipe=True),
    )
    extractor = PieceExtractor(
        full_model=trainer.outputs["full_model"],
        road=config.piece.road,
        layer=config.piece.layer,
        control_seeds=json.dumps(config.evaluation.seeds),
        **builder,
        **digests("piece_extractor", recipe=True),
    )
    exporter = ReusableExporter(
        piece=extractor.outputs["piece"],
        recipe_folder=folder,
        model_file=config.model.module,
        **digests("reusable_exporter", recipe=True),
    )
    validator = ReusabilityValidator(
        reusable_model=exporter.outputs["reusable_model"], **digests("reusability_validator")
    )

    # Evidence: how well the piece fine-tunes on each downstream task.
    evaluation: list[BaseNode] = []
    evaluators: list[FineTuneEvaluator] = []
    for suffix, task in zip(_suffixes(config), config.task, strict=True):
        examples = _examples(places.examples, task.name, ("pool", "test"), f"DownstreamExamples{suffix}")
        statistics, anomalies = _held_against(schema, examples, f"Downstream{suffix}")
        evaluator = FineTuneEvaluator(
            reusable_model=exporter.outputs["reusable_model"],
            piece=extractor.outputs["piece"],
            examples=examples.outputs["examples"],
            schema=schema.outputs["schema"],
            anomalies=anomalies.outputs["anomalies"],
            task=task.name,
            label=config.data.label,
            protocol=json.dumps(asdict(protocol_of(config)), sort_keys=True),
            trials_folder=places.trials,
            **digests("fine_tune_evaluator"),
        ).with_id(f"FineTuneEvaluator{suffix}")
        evaluation += [examples, statistics, anomalies, evaluator]
        evaluators.append(evaluator)
    evidence = [e.outputs["evidence"] for e in evaluators]
    evidence = evidence[0] if len(evidence) == 1 else channel_utils.union(evidence)

    # The verdict, against what the store holds now; the page; the push.
    named = {"publisher": config.recipe.publisher, "name": config.recipe.name}
    resolver = IncumbentResolver(**named, store_folder=places.store, **digests("incumbent_resolver"))
    judged = {
        "evidence": evidence,
        "conformance": validator.outputs["conformance"],
        "incumbent": resolver.outputs["incumbent"],
    }
    gate = PublishGate(**judged, **asdict(config.gate), **digests("publish_gate"))
    writer = DocumentationWriter(
        full_model=trainer.outputs["full_model"],
        piece=extractor.outputs["piece"],
        reusable_model=exporter.outputs["reusable_model"],
        blessing=gate.outputs["blessing"],
        description=config.documentation.description,
        intended_use=config.documentation.intended_use,
        limitations=config.documentation.limitations,
        training_data=config.documentation.training_data,
        license_id=config.documentation.license,
        hub_tasks=json.dumps(config.documentation.hub_tasks),
        **judged,
        **named,
        **digests("documentation_writer"),
    )
    pusher = HubPusher(
        reusable_model=exporter.outputs["reusable_model"],
        blessing=gate.outputs["blessing"],
        documentation=writer.outputs["documentation"],
        store_folder=places.store,
        **judged,
        **named,
        **digests("hub_pusher"),
    )
    return tfx.dsl.Pipeline(
        pipeline_name=config.recipe.name.replace("/", "-"),
        pipeline_root=places.pipeline_root,
        components=[
            *(upstream, schema, upstream_statistics, upstream_anomalies),
            *(trainer, extractor, exporter, validator),
            *(*evaluation, resolver, gate, writer, pusher),
        ],
        enable_cache=True,
        metadata_connection_config=metadata,
        beam_pipeline_args=list(beam_args),
    )


def protocol_of(config: Recipe) -> Protocol:
    """The evaluation protocol that the recipe states."""
    return Protocol(**asdict(config.evaluation))


def _suffixes(config: Recipe) -> list[str]:
    """Nothing for a single task, else each task's name in CamelCase, as Kubeflow wants component ids."""
    if len(config.task) == 1:
        return [""]
    return ["".join(word.capitalize() for word in task.name.split("-")) for task in config.task]


def _examples(base: str, part: str, splits: Sequence[str], node_id: str) -> BaseNode:
    patterns = [tfx.proto.Input.Split(name=split, pattern=f"{split}/*") for split in splits]
    generator = tfx.components.ImportExampleGen(
        input_base=str(Path(base) / part), input_config=tfx.proto.Input(splits=patterns)
    )
    return generator.with_id(node_id)


def _held_against(schema: BaseNode, examples: BaseNode, prefix: str) -> tuple[BaseNode, BaseNode]:
    statistics = tfx.components.StatisticsGen(examples=examples.outputs["examples"]).with_id(f"{prefix}Statistics")
    anomalies = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    ).with_id(f"{prefix}Anomalies")
    return statistics, anomalies
