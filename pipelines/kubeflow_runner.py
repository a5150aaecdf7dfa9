"""The pipeline as a package for Kubeflow Pipelines 2.16: one bare PipelineSpec 2.1.0 in a `.yaml` file.

TFX compiles, `pipelines/kubeflow_mend.py` mends, and `piecehub/containers/entrypoint.py` is what runs in the
containers. The pipeline root is not in the package: it is given at submission.
"""

import re
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.orchestration.pipeline import Pipeline
from tfx.types.channel import BaseChannel, Channel, UnionChannel

from piecehub.containers.executor_input import one_of_several
from piecehub.errors import EnvironmentProblem, RecipeError, no_space
from piecehub.facts.beam import ON_BEAM
from piecehub.facts.workdir import Workdir, mark_for_pods
from piecehub.store.recipe_code import bring_code
from pipelines.cost.earlier import held_most
from pipelines.data_key import parts_of, place_of
from pipelines.kubeflow_mend import Scalar, mend, refuse_parameters, tell_of_run, write_yaml
from pipelines.kubeflow_parameters import check_of, parameters_of, with_parameters
from pipelines.kubeflow_platform import INCUMBENT, PARENT, PUSHER, OnCluster
from pipelines.kubeflow_pods import ask_of_containers, ask_of_pods
from pipelines.kubeflow_requests import Request, ask_by_default, constants
from pipelines.kubeflow_tasks import (
    OwnTask,
    data_listing,
    example_writer,
    parent_lookup,
    sources_of,
    with_own_tasks,
)
from pipelines.literal_paths import refuse_patterns
from pipelines.piece_journey import Code, Places
from pipelines.pipeline import create_pipeline, parent_digest
from pipelines.recipe.node_ids import PARENT_RESOLVER, never_cached, pipeline_name
from pipelines.recipe.tables import LoadedRecipe, Recipe
from pipelines.recipe_entries import Tasks

# -P: what lies in the container's current folder must not hide an installed package.
COMMAND = ("python", "-P", "-m", "piecehub.containers.entrypoint")
_SCHEMA = "tfx.components.schema_gen.import_schema_gen.executor.Executor"
_GATE = "components.publish_gate.PublishGate_Executor"
_PAGE = "components.documentation_writer.DocumentationWriter_Executor"
# Components that need no TFX, by their executors, and the functions that do their work (piecehub/containers/light.py).
LIGHT = {
    _SCHEMA: "piecehub.examples.schema_file.bring_schema",
    _GATE: "piecehub.transfer.judging.judge_run",
    _PAGE: "piecehub.documentation.page_of_run.document_run",
    PARENT: "piecehub.store.parent.bring_parent",
    INCUMBENT: "piecehub.store.incumbent.bring_incumbent",
    PUSHER: "piecehub.signing.push_of_run.push_run_from_pod",
}
_TOUCH_ONLY_ARTIFACTS = (_SCHEMA, _GATE, _PAGE, "pipelines.recipe.submitted.SubmissionCheck_Executor")
# Of TFX's ImportSchemaGen.
_TEXT_FILES = {_SCHEMA: "schema_file"}
_PINNED_IMAGE = re.compile(r".+(@sha256:[0-9a-f]{64}|:(?!latest$)[\w][\w.-]{0,127})")


def compile_recipe(
    loaded: LoadedRecipe,
    workdir: Workdir,
    output: Path,
    image: str,
    beam_args: Sequence[str] = (),
    cluster: OnCluster | None = None,
) -> tuple[Request, ...]:
    """Writes the package of a recipe, and returns what its pods ask for.

    The recipe's folder and `workdir` stand in the package by their paths here, so the containers must see both at the
    same paths: compile in the image, with the working folder on the volume that the pods mount (kubeflow/README.md).
    With a bucket for a store and no volume pods need no working folder.

    Args:
        loaded: the recipe.
        workdir: the working folder.
        output: the package, a `.yaml` file.
        image: as in `compile_package`.
        beam_args: for Beam, which then reads examples and runs trials; empty does so without it.
        cluster: what it uses of the cluster; nothing if None.

    Raises:
        PiecehubError: as `compile_package` does, and if the store has no such parent.
    """
    cluster = cluster or OnCluster()
    _refuse_words(output, image)
    refuse_patterns(workdir.root)
    mark_for_pods(workdir.root)
    recipe = bring_code(loaded.folder, loaded.config.model.module, cluster.code) if cluster.code else ""
    places = _places(workdir, cluster, recipe)
    data, looks = _looks_for_data(loaded, workdir, cluster, recipe)
    lookup = _lookup(loaded, places.store)
    pipeline_of = partial(
        _pipeline, loaded, places, beam_args, looks, lookup, Code(str(loaded.folder), loaded.config.model.module)
    )
    parameters = parameters_of(loaded, lambda config: _told(pipeline_of(config)), looks, lookup)
    check = check_of(loaded, parameters)
    own_tasks = [looks, *lookup, check]
    spec = compile_spec(
        pipeline_of(loaded.config),
        image,
        never_cached=[task for task in never_cached(loaded.config) if task != PARENT_RESOLVER],
        trials_folder=places.trials,
        own_tasks=own_tasks,
    )
    spec = with_parameters(spec, parameters, check)
    asked, light = loaded.config.kubeflow, {*LIGHT, *(task.executor for task in own_tasks if task.is_light)}
    tell_of_run(spec, PUSHER)
    ask_of_containers(spec["deploymentSpec"]["executors"], asked, light)
    took = held_most(workdir, pipeline_name(loaded.config), constants(spec))
    requests = ask_by_default(spec, took, light)
    document = cluster.document(spec, str(workdir.root.resolve()), data)
    _write(write_yaml(spec, ask_of_pods(document, spec, asked, light)), output)
    return requests


def _places(workdir: Workdir, cluster: OnCluster, recipe: str) -> Places:
    """Where pods read and write; `recipe` is the archive of the recipe's code, if there is one."""
    return Places(
        pipeline_root=str(workdir.artifacts.resolve()),
        examples="",
        store=cluster.store or str(workdir.store.resolve()),
        trials=f"{cluster.kept}/trials" if cluster.kept else str(workdir.trials.resolve()),
        training=f"{cluster.kept}/training" if cluster.kept else str(workdir.training.resolve()),
        recipe=recipe,
    )


def _pipeline(
    loaded: LoadedRecipe,
    places: Places,
    beam_args: Sequence[str],
    looks: OwnTask,
    lookup: Sequence[OwnTask],
    code: Code,
    config: Recipe,
) -> Pipeline:
    """The pipeline of a recipe, of which `config` may have another value than `loaded`."""
    return create_pipeline(
        replace(loaded, config=config),
        places,
        # TFX's own components start Beam in any case.
        beam_args=[ON_BEAM, *beam_args] if beam_args else ["--runner=FnApiRunner"],
        sources=sources_of(looks, parts_of(loaded.config)),
        parent_digest_then=lookup[0].value("digest") if lookup else "",
        code=code,
    )


def _told(pipeline: Pipeline) -> tuple[str, Tasks]:
    """The pipeline's name, and what each component is told."""
    return pipeline.pipeline_info.pipeline_name, {node.id: dict(node.exec_properties) for node in pipeline.components}


def _looks_for_data(loaded: LoadedRecipe, workdir: Workdir, cluster: OnCluster, recipe: str) -> tuple[str, OwnTask]:
    """Where records are, and the task that says in every run which of them are the newest."""
    if loaded.config.data.module:
        place = f"{cluster.kept}/examples" if cluster.kept else str(workdir.data.resolve())
        return place, example_writer(loaded, place, recipe)
    return place_of(loaded), data_listing(loaded)


def _lookup(loaded: LoadedRecipe, store: str) -> list[OwnTask]:
    """The task that asks in every run whether the parent may still be used, if the recipe starts from one."""
    digest = parent_digest(loaded.config, store)
    return [parent_lookup(loaded.config.model.parent, digest, store)] if digest else []


def compile_package(
    pipeline: Pipeline,
    output: Path,
    image: str,
    *,
    never_cached: Collection[str],
    resources: Mapping[str, Mapping[str, Any]] | None = None,
    trials_folder: str = "",
) -> None:
    """Writes the package; equal pipelines give equal bytes.

    Args:
        pipeline: the pipeline of `create_pipeline`.
        output: the package, a `.yaml` file.
        image: the image of every component, by digest or by a tag that never moves: Kubeflow's cache knows names only.
        never_cached: ids of components that run in every run.
        resources: by component id, Kubeflow's `container.resources`.
        trials_folder: where failures that no retry mends are marked; empty for nowhere.

    Raises:
        RecipeError: if Kubeflow cannot run the pipeline, or a word is wrong.
        EnvironmentProblem: if `output` cannot be written.
    """
    _refuse_words(output, image)
    spec = compile_spec(pipeline, image, never_cached=never_cached, resources=resources, trials_folder=trials_folder)
    _write(write_yaml(spec), output)


def _write(package: bytes, output: Path) -> None:
    beside = output.with_name(output.name + ".part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(package)
        beside.replace(output)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise no_space(error, output.parent) or EnvironmentProblem(
            f"Expected a package file that can be written. Received: '{output}' ({error.strerror}); give another."
        ) from error


def compile_spec(
    pipeline: Pipeline,
    image: str,
    *,
    never_cached: Collection[str],
    resources: Mapping[str, Mapping[str, Any]] | None = None,
    trials_folder: str = "",
    own_tasks: Sequence[OwnTask] = (),
) -> dict[str, Any]:
    """The mended PipelineSpec, as `compile_package` writes it, with `own_tasks`, of which it takes parameters."""
    refuse_parameters({node.id: dict(node.exec_properties) for node in pipeline.components})
    config = KubeflowV2DagRunnerConfig(default_image=image, default_commands=list(COMMAND), use_pipeline_spec_2_1=True)
    with _unions_taken_apart(pipeline):
        compiled = KubeflowV2DagRunner(config).run(pipeline, write_out=False)
    return mend(
        with_own_tasks(compiled["pipelineSpec"], own_tasks, image, COMMAND),
        never_cached=never_cached,
        defaults=_defaults(pipeline),
        resources=resources,
        light=LIGHT,
        never_again=_TOUCH_ONLY_ARTIFACTS,
        trials_folder=trials_folder,
        text_files=_TEXT_FILES,
    )


def _refuse_words(output: Path, image: str) -> None:
    if output.suffix != ".yaml":
        raise RecipeError(f"Expected a package that ends with '.yaml'. Received: '{output}'; Kubeflow reads no other.")
    if not _PINNED_IMAGE.fullmatch(image):
        raise RecipeError(
            f"Expected an image with a tag that never moves, or a digest. Received: '{image}'; Kubeflow's cache knows "
            "only the name, and would return what an older image made."
        )


@contextmanager
def _unions_taken_apart(pipeline: Pipeline) -> Generator[None]:
    """While this lasts, an input that several components make is an input from each, which is all that TFX compiles.

    In the container they are one again (piecehub/containers/executor_input.py).
    """
    whole = {node: dict(node.inputs) for node in pipeline.components}
    try:
        for node, inputs in whole.items():
            node.inputs.clear()
            node.inputs.update(_apart(node.id, inputs))
        yield
    finally:
        for node, inputs in whole.items():
            node.inputs.clear()
            node.inputs.update(inputs)


def _apart(node: str, inputs: Mapping[str, BaseChannel]) -> dict[str, BaseChannel]:
    found: dict[str, BaseChannel] = {}
    for key, channel in inputs.items():
        several = list(channel.channels) if isinstance(channel, UnionChannel) else [channel]
        if not all(isinstance(one, Channel) for one in several):
            raise RecipeError(
                f"Expected outputs of components for the input '{key}' of {node}. Received: what TFX works out while "
                "it runs, which Kubeflow cannot; pass the outputs themselves."
            )
        if isinstance(channel, UnionChannel):
            found |= {one_of_several(key, number): one for number, one in enumerate(several)}
        else:
            found[key] = channel
    return found


def _defaults(pipeline: Pipeline) -> dict[str, Scalar]:
    """The defaults of the runtime parameters, which TFX's compiler leaves out."""
    values = [value for node in pipeline.components for value in node.exec_properties.values()]
    found = [value for value in values if isinstance(value, RuntimeParameter)]
    return {parameter.name: parameter.default for parameter in found if parameter.default is not None}
