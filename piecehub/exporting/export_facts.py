"""What an export made, in a few numbers and lists."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piecehub.facts.content import content_digest, list_files
from piecehub.facts.piece_manifest import PieceManifest


@dataclass(frozen=True)
class ExportFacts:
    """What was exported, as plain JSON values.

    Attributes:
        digest: content digest of the SavedModel's folder.
        input: specs of the input in its structure, `{"shape": [null, …], "dtype": …}`.
        output: the same for the output.
        variables: their paths in the model, in the order of `obj.variables`.
        trainable_variables: the paths of those that a consumer may train.
        regularization_losses: how many there are.
        size_bytes: of all files.
    """

    digest: str
    input: Any
    output: Any
    variables: list[str]
    trainable_variables: list[str]
    regularization_losses: int
    size_bytes: int


def facts_of(manifest: PieceManifest, folder: Path) -> ExportFacts:
    """The facts of a SavedModel's folder, whose manifest this is."""
    files = list_files(folder)
    return ExportFacts(
        digest=content_digest(files),
        input=manifest.input,
        output=manifest.output,
        variables=list(manifest.variables),
        trainable_variables=list(manifest.trainable_variables),
        regularization_losses=len(manifest.regularizers),
        size_bytes=sum(file.size_bytes for file in files),
    )
