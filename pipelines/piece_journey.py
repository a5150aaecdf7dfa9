"""The journey of one piece: extracted, exported, checked, measured on each of its tasks, judged, documented, pushed."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_node import BaseNode
from tfx.types import channel_utils

from components.documentation_writer import DocumentationWriter
from components.fine_tune_evaluator import FineTuneEvaluator
from components.hub_pusher import HubPusher
from components.incumbent_resolver import IncumbentResolver
from components.piece_extractor import PieceExtractor
from components.publish_gate import PublishGate
from components.reusability_validator import ReusabilityValidator
from components.reusable_exporter import ReusableExporter
from piecehub.containers.code import code_digest, joined, lock_digest, recipe_digest
from piecehub.facts.tables import LimitsTable, TaskTable
from pipelines.protocols import protocol_of, task_rules
from pipelines.recipe.node_ids import piece_suffixes
from pipelines.recipe.page_texts import person_of
from pipelines.recipe.tables import EXPORT_OPTIONS, DownstreamTask, Piece, Recipe


@dataclass(frozen=True)
class Places:
    """Where a run reads and writes, as the runner says; uris or folders, never part of what is computed.

    `recipe` is what components find the recipe's code in; its folder here if it is empty.
    """

    pipeline_root: str
    examples: str
    store: str
    trials: str
    training: str
    recipe: str = ""


@dataclass(frozen=True)
class Code:
    """What a component's cache must know of the code that it runs."""

    recipe_folder: str
    model_file: str

    @cached_property
    def _lock(self) -> str:
        return lock_digest()

    @cached_property
    def _recipe(self) -> str:
        """Once for all components: a recipe's folder may hold 1 GiB."""
        return recipe_digest(Path(self.recipe_folder), self.model_file)

    def of(self, module: str) -> dict[str, str]:
        """The digests that `components/<module>.py` takes."""
        return {"code_digest": code_digest(f"components.{module}"), "lock_digest": self._lock}

    def with_recipe(self, module: str) -> dict[str, str]:
        """The same for a component that also runs the recipe's code."""
        own = self.of(module)
        return own | {"code_digest": joined(own["code_digest"], self._recipe)}


@dataclass(frozen=True)
class Downstream:
    """The examples of one downstream task, which all pieces share."""

    task: DownstreamTask
    suffix: str
    schema: BaseNode
    examples: BaseNode
    anomalies: BaseNode

    @property
    def nodes(self) -> tuple[BaseNode, ...]:
        """The components that are this task's own."""
        return (self.examples, self.anomalies)


@dataclass(frozen=True)
class Shared:
    """What all pieces of a recipe have in common."""

    config: Recipe
    places: Places
    code: Code
    builder: dict[str, Any]
    parent_digest: str
    schema: BaseNode
    upstream: BaseNode | None
    trainer: BaseNode
    downstream: tuple[Downstream, ...]
    devices: str

    def upstream_of(self, downstream: Downstream) -> dict[str, Any]:
        """Upstream's examples, if there are any, and their schema, for a task that has another."""
        if self.upstream is None:
            return {}
        own = {} if downstream.schema is self.schema else {"upstream_schema": self.schema.outputs["schema"]}
        return {"upstream_examples": self.upstream.outputs["examples"], **own}

    def decoded(self, task: DownstreamTask) -> dict[str, Any]:
        """How the examples of a task and of upstream are decoded, and the code of an evaluator that does so."""
        model, names = self.config.model, (task.decode, self.config.data.decode)
        own, upstream = (model.read_by(name).to_json() if name else "" for name in names)
        code = self.code.with_recipe if own or upstream else self.code.of
        return {
            "model": own,
            "upstream_model": upstream,
            "recipe_folder": self.builder["recipe_folder"] if own or upstream else "",
            **code("fine_tune_evaluator"),
        }


def export_options(piece: Piece, parent: str = "") -> dict[str, Any]:
    """The piece's `ExportOptions` as plain JSON; `parent` is `handle@digest` of the piece to start from."""
    return {**{key: value for key, value in asdict(piece).items() if key in EXPORT_OPTIONS}, "parent": parent}


def journey(piece: Piece, shared: Shared) -> list[BaseNode]:
    """The components of one piece, in the order of the data."""
    config, places, code = shared.config, shared.places, shared.code
    suffix = piece_suffixes(config)[config.piece.index(piece)]
    full_model = shared.trainer.outputs["full_model"]
    parent = f"{config.model.parent}@{shared.parent_digest}" if config.model.parent else ""

    # Take the piece out of the full model, export it, check the export.
    extractor = PieceExtractor(
        full_model=full_model,
        schema=shared.schema.outputs["schema"],
        label=config.data.label,
        sample_weight=config.train.sample_weight,
        road=piece.road,
        layers=json.dumps(piece.layers),
        control_seeds=json.dumps(config.seeds()),
        seed=config.train.seed,
        **shared.builder,
        **code.with_recipe("piece_extractor"),
    ).with_id(f"PieceExtractor{suffix}")
    exporter = ReusableExporter(
        piece=extractor.outputs["piece"],
        options=json.dumps(export_options(piece, parent), sort_keys=True),
        **shared.builder,
        **code.with_recipe("reusable_exporter"),
    ).with_id(f"ReusableExporter{suffix}")
    reusable_model = exporter.outputs["reusable_model"]
    named = {"publisher": config.recipe.publisher, "name": piece.name}
    told = asdict(person_of(config, piece))
    validator = ReusabilityValidator(
        reusable_model=reusable_model, **named, **told, **code.of("reusability_validator")
    ).with_id(f"ReusabilityValidator{suffix}")

    # Evidence: how well the piece fine-tunes on each downstream task.
    evaluators = [
        FineTuneEvaluator(
            reusable_model=reusable_model,
            piece=extractor.outputs["piece"],
            examples=downstream.examples.outputs["examples"],
            schema=downstream.schema.outputs["schema"],
            anomalies=downstream.anomalies.outputs["anomalies"],
            upstream_label=config.data.label,
            task=TaskTable.of(downstream.task).to_json(),
            limits=LimitsTable.of(config.evaluation).to_json(),
            features=piece.features,
            parent=config.model.parent,
            protocol=json.dumps(asdict(protocol_of(config, downstream.task)), sort_keys=True),
            trials_folder=places.trials,
            devices=shared.devices,
            **shared.upstream_of(downstream),
            **shared.decoded(downstream.task),
        ).with_id(f"FineTuneEvaluator{suffix}{downstream.suffix}")
        for downstream in shared.downstream
        if downstream.task in config.tasks_of(piece)
    ]
    evidence = [evaluator.outputs["evidence"] for evaluator in evaluators]
    evidence = evidence[0] if len(evidence) == 1 else channel_utils.union(evidence)

    # The verdict, against what the store holds now; the page; the push.
    resolver = IncumbentResolver(**named, store_folder=places.store, **code.of("incumbent_resolver")).with_id(
        f"IncumbentResolver{suffix}"
    )
    judged = {
        "evidence": evidence,
        "conformance": validator.outputs["conformance"],
        "incumbent": resolver.outputs["incumbent"],
    }
    gate = PublishGate(
        **judged,
        full_model=full_model,
        **asdict(config.gate),
        tasks=json.dumps(task_rules(config), sort_keys=True),
        **code.of("publish_gate"),
    ).with_id(f"PublishGate{suffix}")
    writer = DocumentationWriter(
        full_model=full_model,
        piece=extractor.outputs["piece"],
        reusable_model=reusable_model,
        blessing=gate.outputs["blessing"],
        **judged,
        **named,
        **told,
        **code.of("documentation_writer"),
    ).with_id(f"DocumentationWriter{suffix}")
    pusher = HubPusher(
        reusable_model=reusable_model,
        blessing=gate.outputs["blessing"],
        documentation=writer.outputs["documentation"],
        store_folder=places.store,
        image="",  # and no run: a package of Kubeflow says which
        cluster_run="",
        **judged,
        **named,
        **code.of("hub_pusher"),
    ).with_id(f"HubPusher{suffix}")
    return [extractor, exporter, validator, *evaluators, resolver, gate, writer, pusher]
