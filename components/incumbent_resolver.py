"""Store -> Incumbent."""

from pathlib import Path

from components.artifacts import Incumbent
from components.dsl import OutputArtifact, Parameter, Process, component
from piecehub.store.incumbent import write_incumbent


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
    found = write_incumbent(Path(store_folder), publisher, name, Path(incumbent.uri))
    incumbent.set_int_custom_property("version", found.version)
