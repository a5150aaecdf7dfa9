"""TFX components of piecehub: doors that unwrap artifacts, call one function and note facts.

Kubeflow imports the artifact types from here by their `TYPE_NAME`.
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
