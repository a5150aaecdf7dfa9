"""The pipeline as a package for Kubeflow Pipelines 2.16: one bare PipelineSpec 2.1.0 in a `.yaml` file.

TFX compiles, `pipelines/kubeflow_mend.py` mends, and `components/kubeflow_entrypoint.py` is what runs in the
containers. The pipeline root is not in the package: it is given at submission.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.orchestration.pipeline import Pipeline
from tfx.types.channel import Channel

from piecehub.errors import EnvironmentProblem, RecipeError, no_space
from piecehub.facts.beam import ON_BEAM
from piecehub.facts.workdir import Workdir, mark_for_pods
from pipelines.data import examples_folder
from pipelines.kubeflow_mend import Scalar, mend, refuse_parameters, write_yaml
from pipelines.literal_paths import refuse_patterns
from pipelines.piece_journey import Places
from pipelines.pipeline import create_pipeline, examples_that_change, never_cached
from pipelines.recipe.tables import LoadedRecipe

# -P: what lies in the container's current folder must not hide an installed package.
COMMAND = ("python", "-P", "-m", "components.kubeflow_entrypoint")
_PINNED_IMAGE = re.compile(r".+(@sha256:[0-9a-f]{64}|:(?!latest$)[\w][\w.-]{0,127})")


def compile_recipe(
    loaded: LoadedRecipe, workdir: Workdir, output: Path, image: str, beam_args: Sequence[str] = ()
) -> None:
    """Writes the package of a recipe; given `beam_args`, examples and trials go to Beam.

    The recipe's folder and `workdir` stand in the package by their paths here, so the containers must see both at the
    same paths: compile in the image, with the working folder on the volume that the pods mount (kubeflow/README.md).

    Raises:
        PiecehubError: as `compile_package` and `examples_folder` do.
    """
    _refuse_words(output, image)
    refuse_patterns(workdir.root)
    mark_for_pods(workdir.root)
    places = Places(
        pipeline_root=str(workdir.artifacts.resolve()),
        examples=str(examples_folder(loaded, workdir.data.resolve())),
        store=str(workdir.store.resolve()),
        trials=str(workdir.trials.resolve()),
        training=str(workdir.training.resolve()),
    )
    # TFX's own components start Beam in any case.
    pipeline = create_pipeline(
        loaded, places, beam_args=[ON_BEAM, *beam_args] if beam_args else ["--runner=FnApiRunner"]
    )
    # Kubeflow calls ExampleGen's driver too late to ask its cache: it would not see that a folder has other records.
    seldom = [*never_cached(loaded.config), *examples_that_change(loaded.config)]
    compile_package(pipeline, output, image, never_cached=seldom)


def compile_package(
    pipeline: Pipeline,
    output: Path,
    image: str,
    *,
    never_cached: Collection[str],
    resources: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Writes the package; equal pipelines give equal bytes.

    Args:
        pipeline: the pipeline of `create_pipeline`.
        output: the package, a `.yaml` file.
        image: the image of every component, by digest or by a tag that never moves: Kubeflow's cache knows names only.
        never_cached: ids of components that run in every run.
        resources: by component id, Kubeflow's `container.resources`.

    Raises:
        RecipeError: if Kubeflow cannot run the pipeline, or a word is wrong.
        EnvironmentProblem: if `output` cannot be written.
    """
    _refuse_words(output, image)
    package = write_yaml(compile_spec(pipeline, image, never_cached=never_cached, resources=resources))
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
) -> dict[str, Any]:
    """The mended PipelineSpec, as `compile_package` writes it."""
    _refuse_unions(pipeline)
    refuse_parameters({node.id: dict(node.exec_properties) for node in pipeline.components})
    config = KubeflowV2DagRunnerConfig(default_image=image, default_commands=list(COMMAND), use_pipeline_spec_2_1=True)
    compiled = KubeflowV2DagRunner(config).run(pipeline, write_out=False)
    defaults = _defaults(pipeline)
    return mend(compiled["pipelineSpec"], never_cached=never_cached, defaults=defaults, resources=resources)


def _refuse_words(output: Path, image: str) -> None:
    if output.suffix != ".yaml":
        raise RecipeError(f"Expected a package that ends with '.yaml'. Received: '{output}'; Kubeflow reads no other.")
    if not _PINNED_IMAGE.fullmatch(image):
        raise RecipeError(
            f"Expected an image with a tag that never moves, or a digest. Received: '{image}'; Kubeflow's cache knows "
            "only the name, and would return what an older image made."
        )


def _refuse_unions(pipeline: Pipeline) -> None:
    for node in pipeline.components:
        for key, channel in node.inputs.items():
            if not isinstance(channel, Channel):
                raise RecipeError(
                    f"Expected one producer for the input '{key}' of {node.id}. Received: a union of several, which "
                    "TFX does not compile for Kubeflow; use one downstream task there."
                )


def _defaults(pipeline: Pipeline) -> dict[str, Scalar]:
    """The defaults of the runtime parameters, which TFX's compiler leaves out."""
    values = [value for node in pipeline.components for value in node.exec_properties.values()]
    found = [value for value in values if isinstance(value, RuntimeParameter)]
    return {parameter.name: parameter.default for parameter in found if parameter.default is not None}
