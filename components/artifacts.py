"""The artifact types of piecehub, each with the files that it holds.

Beside the payload every artifact carries `provenance.json` (piecehub/facts/provenance.py). The type names follow the
form that Kubeflow Pipelines demands, `<top-level module>.<Class>`: at run time the name is the import path, so every
type is also a name of the package `components`. No type has PROPERTIES, which do not compile for Kubeflow: facts are
custom properties.
"""

from pathlib import Path

from tfx.types import artifact


class FullModel(artifact.Artifact):
    """The full model that was trained.

    weights/                checkpoint of all variables, in the model's order
    facts.json              accuracy, history, the optimizer's configuration
    learning_curves.svg     loss and accuracy by epoch
    preview.json            the same curves, for the run page
    """

    TYPE_NAME = "components.FullModel"


class Piece(artifact.Artifact):
    """The part of the full model that is shared, in a form that holds every kind of model.

    weights/            checkpoint of the piece
    builder.json        how to build it again: file, function, arguments, road, layers
    controls/seed-K/    re-initialised weights, for the from-scratch control
    facts.json          specs of input and output, regularizers, the optimizer's configuration
    """

    TYPE_NAME = "components.Piece"


class ParentPiece(artifact.Artifact):
    """The published piece that a recipe starts from.

    saved_model/        its SavedModel, unpacked
    """

    TYPE_NAME = "components.ParentPiece"


class ReusableSavedModel(artifact.Artifact):
    """The piece, exported through TensorFlow Hub's Reusable SavedModel interface.

    saved_model/        the SavedModel: what is published, and nothing else
    """

    TYPE_NAME = "components.ReusableSavedModel"


class ConformanceReport(artifact.Artifact):
    """What the validator found about a SavedModel.

    conformance.json    every check with its outcome (piecehub/facts/conformance_report.py)
    """

    TYPE_NAME = "components.ConformanceReport"


class Incumbent(artifact.Artifact):
    """The newest published version of the same name, as it stood when the run began.

    incumbent.json      {"handle": "publisher/name/version" or null, "version": 0 if there is none, "digest"}
    evidence/<task>/    the evidence that was published with it
    """

    TYPE_NAME = "components.Incumbent"


class Evidence(artifact.Artifact):
    """How well the piece fine-tunes on one downstream task, beside from scratch, or beside its parent if it has one.

    evidence.json       cells, contrasts and protocol (piecehub/transfer/evidence.py)
    predictions.parquet one row a test example, mode, shots and seed
    guidance.json       what it says to a consumer (piecehub/transfer/guidance.py)
    accuracy.svg, .png  the metric by number of examples; preview.json holds the same numbers, for the run page
    learning.svg, .png  the training loss by step
    saving.svg, .png    how many examples from scratch are worth those with the piece
    """

    TYPE_NAME = "components.Evidence"


class Documentation(artifact.Artifact):
    """The model page.

    documentation.md    Markdown with TensorFlow Hub's metadata header
    """

    TYPE_NAME = "components.Documentation"


def parent_folder(parent: ParentPiece | None) -> Path | None:
    """The SavedModel of the piece that a recipe starts from; None if it starts from none."""
    return Path(parent.uri) / "saved_model" if parent else None
