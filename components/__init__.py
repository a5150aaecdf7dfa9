"""TFX components of piecehub: doors that unwrap artifacts, call one function and note facts.

Kubeflow imports the artifact types from here by their `TYPE_NAME`. A door imports TFX and the rooms of `piecehub`; its
own import path is its name in ML Metadata for ever. `dsl.py` is what every door goes through: read it first.
"""

from components.artifacts import (
    ConformanceReport,
    Documentation,
    Evidence,
    FullModel,
    Incumbent,
    ParentPiece,
    Piece,
    ReusableSavedModel,
)

__all__ = [
    "ConformanceReport",
    "Documentation",
    "Evidence",
    "FullModel",
    "Incumbent",
    "ParentPiece",
    "Piece",
    "ReusableSavedModel",
]
