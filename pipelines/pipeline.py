"""The journey of the data, top to bottom: examples, full model, pieces, SavedModels, evidence, verdicts, store.

One training may have several pieces (`[[piece]]`): each takes the second half of the way by itself
(`pipelines/piece_journey.py`), and the examples of a downstream task are read once for all of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfx.components import ExampleValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline

from components.example_ingester import ExampleIngester
from components.full_model_trainer import FullModelTrainer
from components.parent_resolver import ParentResolver
from piecehub.facts.handle import Handle
from piecehub.facts.tables import TrainTable
from piecehub.store.catalog import Store
from piecehub.store.data import part_fingerprint
from piecehub.training.checkpoint import checkpoint_digest
from pipelines.data_key import parts_of
from pipelines.piece_journey import Code, Downstream, Places, Shared, journey
from pipelines.recipe.node_ids import pipeline_name, task_suffixes
from pipelines.recipe.tables import DownstreamTask, LoadedRecipe, Recipe
from pipelines.recipe.words import camel_case

# Where a part lies, and what tells that somebody changed it; on Kubeflow a task of the run says so.
Source = tuple[str | RuntimeParameter, str | RuntimeParameter]


@dataclass(frozen=True)
class _Reading:
    """How examples come in: from the source of each part."""

    sources: Mapping[str, Source]
    code: Code

    def examples(self, part: str, splits: Sequence[str], node_id: str) -> BaseNode:
        """The component that reads the examples of a part."""
        folder, fingerprint = self.sources[part]
        return ExampleIngester(
            source_folder=folder,
            splits=json.dumps(splits),
            input_fingerprint=fingerprint,
            **self.code.of("example_ingester"),
        ).with_id(node_id)

    def downstream(self, schema: BaseNode, task: DownstreamTask, suffix: str) -> Downstream:
        """The examples of one downstream task, held against the schema."""
        examples = self.examples(task.name, ("pool", "test"), f"DownstreamExamples{suffix}")
        return Downstream(task, suffix, schema, examples, _held_against(schema, examples, f"Downstream{suffix}"))


def create_pipeline(
    loaded: LoadedRecipe,
    places: Places,
    metadata: object | None = None,
    beam_args: Sequence[str] = (),
    devices: str = "",
    sources: Mapping[str, Source] | None = None,
    parent_digest_then: str | RuntimeParameter = "",
    code: Code | None = None,
) -> Pipeline:
    """The recipe as a TFX pipeline.

    Args:
        loaded: the recipe.
        places: where it reads and writes.
        metadata: a connection config, which Kubeflow does without.
        beam_args: for components of TFX that start Beam.
        devices: what the full model is trained on (piecehub/training/devices.py), and trials run on.
        sources: by part, where its examples lie; in the folder of `places` if None.
        parent_digest_then: what says, when it runs, which content the parent has; what the store says now if empty.
        code: the digests of this recipe's code, for who makes the pipeline several times.
    """
    config, folder = loaded.config, str(loaded.folder)
    if code is None or code.model_file != config.model.module:
        code = Code(folder, config.model.module)

    # Upstream examples, if there are any, held against the curated schema.
    read = _Reading(sources or _in_folder(config, places.examples), code)
    schema = ImportSchemaGen(schema_file=str(_path(loaded, config.data.schema)))
    upstream: dict[str, BaseNode] = {}
    if config.data.upstream:
        upstream["examples"] = read.examples("upstream", ("train", "eval"), "UpstreamExamples")
        upstream["anomalies"] = _held_against(schema, upstream["examples"], "Upstream")

    # Train the full model, from random weights, a checkpoint, or a published piece.
    digest = parent_digest(config, places.store)
    parent = _parent(config, places, parent_digest_then or digest, code)
    builder = {
        "recipe_folder": places.recipe or folder,
        "model": config.model.read_by(config.data.decode).to_json(),
        **{key: node.outputs["parent"] for key, node in parent.items()},
    }
    trainer = FullModelTrainer(
        schema=schema.outputs["schema"],
        label=config.data.label,
        resume_folder=places.training,
        devices=devices,
        train=TrainTable.of(config.train).to_json(),
        checkpoint=config.model.checkpoint,
        checkpoint_digest=checkpoint_digest(loaded.folder, config.model.checkpoint),
        **{key: node.outputs[key] for key, node in upstream.items()},
        **builder,
        **code.with_recipe("full_model_trainer"),
    )

    # The examples of each downstream task, and from there on each piece by itself.
    schemas = {_path(loaded, config.data.schema): schema, **_own_schemas(loaded)}
    downstream = [
        read.downstream(schemas[_path(loaded, task.schema)], task, suffix)
        for suffix, task in zip(task_suffixes(config), config.task, strict=True)
    ]
    reads = upstream.get("examples")
    shared = Shared(config, places, code, builder, digest, schema, reads, trainer, tuple(downstream), devices)
    return Pipeline(
        pipeline_name=pipeline_name(config),
        pipeline_root=places.pipeline_root,
        components=[
            *(*schemas.values(), *upstream.values(), *parent.values(), trainer),
            *(node for task in downstream for node in task.nodes),
            *(node for piece in config.piece for node in journey(piece, shared)),
        ],
        enable_cache=True,
        metadata_connection_config=metadata,
        beam_pipeline_args=list(beam_args),
    )


def _in_folder(config: Recipe, folder: str) -> dict[str, Source]:
    """Examples in a folder of somebody's own may change; what recipes wrote has its content for a name."""
    places = {part: (f"{folder}/{part}", splits) for part, splits in parts_of(config).items()}
    if config.data.module:
        return {part: (place, Path(folder).name) for part, (place, _) in places.items()}
    return {part: (place, part_fingerprint(place, splits)) for part, (place, splits) in places.items()}


def parent_digest(config: Recipe, store: str) -> str:
    """The content digest of the published piece to start from; empty if the recipe names none."""
    if not config.model.parent:
        return ""
    return Store.open(store).usable(Handle.parse(config.model.parent)).digest


def _parent(config: Recipe, places: Places, digest: str | RuntimeParameter, code: Code) -> dict[str, BaseNode]:
    """The component that brings the published piece to start from, if the recipe names one."""
    if not digest:
        return {}
    return {
        "parent": ParentResolver(
            handle=config.model.parent, digest=digest, store_folder=places.store, **code.of("parent_resolver")
        )
    }


def _path(loaded: LoadedRecipe, file: str) -> Path:
    """Where a file of the recipe lies: one path, however it is written, so that one file is read by one component."""
    return (loaded.folder / file).resolve()


def _own_schemas(loaded: LoadedRecipe) -> dict[Path, BaseNode]:
    """A component for each schema file of a task that is not the one of `[data]`, by that file."""
    config = loaded.config
    paths = {_path(loaded, task.schema) for task in config.task} - {_path(loaded, config.data.schema)}
    stems = [camel_case(path.stem) for path in sorted(paths)]
    return {
        path: ImportSchemaGen(schema_file=str(path)).with_id(
            f"ImportSchemaGen{stem}{number if stem in stems[:number] else ''}"
        )
        for number, (path, stem) in enumerate(zip(sorted(paths), stems, strict=True))
    }


def _held_against(schema: BaseNode, examples: BaseNode, prefix: str) -> BaseNode:
    return ExampleValidator(statistics=examples.outputs["statistics"], schema=schema.outputs["schema"]).with_id(
        f"{prefix}Anomalies"
    )
