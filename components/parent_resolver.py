"""Store -> ParentPiece."""

from pathlib import Path

from components.artifacts import ParentPiece
from components.dsl import OutputArtifact, Parameter, Process, component
from piecehub.store.parent import write_parent


@component(Process)
def ParentResolver(
    parent: OutputArtifact[ParentPiece],
    handle: Parameter[str],
    digest: Parameter[str],
    store_folder: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
) -> None:
    """Brings the published piece that the recipe starts from into the run. Never cached: the store may have changed."""
    write_parent(Path(store_folder), handle, digest, Path(parent.uri))
    parent.set_string_custom_property("handle", handle)
    parent.set_string_custom_property("saved_model_digest", digest)
