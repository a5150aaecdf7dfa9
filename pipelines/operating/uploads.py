"""A package as a version of a pipeline on a server: uploaded once, whoever asks how often."""

import json
from dataclasses import dataclass
from typing import Any

from pipelines.operating.connection import Server
from pipelines.operating.package import Package


@dataclass(frozen=True)
class Version:
    """A version on a server.

    Attributes:
        pipeline_id: of the pipeline.
        version_id: its own.
        name: as the server shows it.
        is_new: whether it was uploaded just now.
    """

    pipeline_id: str
    version_id: str
    name: str
    is_new: bool


def upload(server: Server, package: Package) -> Version:
    """Uploads a package, unless the server has it; a pipeline that is not there is made first.

    With a new pipeline the server makes a version, which has the pipeline's name; ours comes after it.
    """
    pipeline_id = pipeline_id_of(server, package.name)
    if not pipeline_id:
        made = server.ask(
            "upload_pipeline",
            pipeline_package_path=str(package.file),
            pipeline_name=package.name,
            namespace=server.namespace,
        )
        pipeline_id = str(made.pipeline_id)
    if standing := version_of(server, pipeline_id, package):
        return standing
    made = server.ask(
        "upload_pipeline_version",
        pipeline_package_path=str(package.file),
        pipeline_version_name=package.version,
        pipeline_id=pipeline_id,
    )
    return Version(pipeline_id, str(made.pipeline_version_id), package.version, True)


def pipeline_id_of(server: Server, name: str) -> str:
    """The id of the pipeline of that name, which the SDK's own call finds in no namespace; empty if there is none."""
    found = server.each("list_pipelines", "pipelines", namespace=server.namespace, filter=_named(name))
    return next((str(pipeline.pipeline_id) for pipeline in found if pipeline.display_name == name), "")


def version_of(server: Server, pipeline_id: str, package: Package) -> Version | None:
    """The version that a package is on the server, or None."""
    found = server.each(
        "list_pipeline_versions", "pipeline_versions", pipeline_id=pipeline_id, filter=_named(package.version)
    )
    same: Any = next((version for version in found if version.display_name == package.version), None)
    return Version(pipeline_id, str(same.pipeline_version_id), package.version, False) if same else None


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})
