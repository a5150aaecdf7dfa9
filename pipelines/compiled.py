"""A recipe's pipeline as TFX's IR, as the runner on this machine runs it: its examples are written, its code tried."""

# The generated protos have no types.
# pyright: reportAttributeAccessIssue=false

from pathlib import Path

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.compiler import compiler
from tfx.proto.orchestration import pipeline_pb2

from piecehub.facts.progress import phase
from piecehub.facts.workdir import Workdir
from pipelines import preflight
from pipelines.data import examples_folder
from pipelines.piece_journey import Places
from pipelines.pipeline import create_pipeline
from pipelines.recipe.node_ids import never_cached, pipeline_name
from pipelines.recipe.tables import LoadedRecipe

RUNNER = "FnApiRunner"  # by name: DirectRunner tries to download a binary in every run


def tried(loaded: LoadedRecipe, workdir: Workdir) -> None:
    """Tries the recipe's code out; errors are those of `preflight.check`."""
    with phase("trying the recipe's code"):
        preflight.check(loaded, workdir.store_place)


def checked(loaded: LoadedRecipe, workdir: Workdir) -> Path:
    """The folder of the recipe's examples, written if no run did before, once the recipe's code was tried out."""
    tried(loaded, workdir)
    with phase("looking for the examples"):
        return examples_folder(loaded, workdir.data.resolve())


def compiled(loaded: LoadedRecipe, workdir: Workdir, examples: Path, devices: str) -> pipeline_pb2.Pipeline:
    """The IR of a recipe whose examples lie in a folder; what sees the store is marked as never cached."""
    places = Places(
        pipeline_root=str(workdir.artifacts.resolve() / pipeline_name(loaded.config)),
        examples=str(examples),
        store=workdir.store_place,
        trials=str(workdir.trials.resolve()),
        training=str(workdir.training.resolve()),
    )
    connection = mlmd.ConnectionConfig()  # that of TFX makes the folder, though nobody may run there yet
    connection.sqlite.filename_uri = str(workdir.metadata.resolve())
    connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    with phase("joining the components"):
        pipeline = create_pipeline(loaded, places, connection, [f"--runner={RUNNER}"], devices)
        ir = compiler.Compiler().compile(pipeline)
    for node in ir.nodes:
        if node.pipeline_node.node_info.id in never_cached(loaded.config):
            node.pipeline_node.execution_options.caching_options.enable_cache = False
    return ir
