"""Store -> ParentPiece."""

from pathlib import Path

from components.artifacts import ParentPiece
from components.dsl import OutputArtifact, Parameter, Process, component, note
from piecehub.store.parent import bring_parent


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
    note(parent, bring_parent(Path(parent.uri), handle, digest, store_folder))
