"""TFX components of piecehub: doors that unwrap artifacts, call one function and note facts.

Kubeflow imports the artifact types from here by their `TYPE_NAME`. A door imports TFX and the rooms of `piecehub`; its
own import path is its name in ML Metadata for ever. `dsl.py` is what every door goes through: read it first.

A user may have a folder `components` without `__init__.py`, whose modules are found here too, and without TFX.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

__path__ = pkgutil.extend_path(__path__, __name__)
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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'components' has no attribute '{name}'")
    return getattr(importlib.import_module("components.artifacts"), name)
