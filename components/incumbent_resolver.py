"""Store -> Incumbent."""

from pathlib import Path

from components.artifacts import Incumbent
from components.dsl import OutputArtifact, Parameter, Process, component, note
from piecehub.store.incumbent import bring_incumbent


@component(Process)
def IncumbentResolver(
    incumbent: OutputArtifact[Incumbent],
    publisher: Parameter[str],
    name: Parameter[str],
    store_folder: Parameter[str],
    code_digest: Parameter[str],
    lock_digest: Parameter[str],
) -> None:
    """Brings the newest published version's evidence into the run. Never cached: the store may have changed."""
    note(incumbent, bring_incumbent(Path(incumbent.uri), publisher, name, store_folder))
