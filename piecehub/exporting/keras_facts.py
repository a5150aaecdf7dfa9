"""What consumers must know of the layers of a Keras 3 model, and what the interface cannot carry of them."""

from collections.abc import Sequence
from typing import Any

import keras

from piecehub.exporting import hyperparameters
from piecehub.exporting.exportable import LayerFacts


def layer_facts(model: Any, layers: Sequence[Any]) -> LayerFacts:
    """What consumers must know of the layers of a Keras 3 model; `layers` are all of them, nested ones too."""
    dropouts = hyperparameters.dropouts(keras, layers)
    norms = hyperparameters.batch_normalizations(keras, layers)
    return LayerFacts(
        supports_jit=all(layer.supports_jit for layer in layers),
        half_precision=any(layer.compute_dtype in ("float16", "bfloat16") for layer in layers),
        dropout=[{"layer": layer.name, "rate": float(layer.rate)} for layer in dropouts],
        batch_normalization=[{"layer": layer.name, "momentum": float(layer.momentum)} for layer in norms],
        lost=_lost(model, layers),
    )


def _lost(model: Any, layers: Sequence[Any]) -> list[dict[str, str]]:
    """What the model has and the interface cannot carry."""
    constraints = [
        {"what": "constraint", "of": variable.path, "is": type(variable.constraint).__name__}
        for variable in model.trainable_variables
        if variable.constraint is not None
    ]
    optional = [
        {"what": "optional input", "of": layer.name, "is": "required"}
        for layer in layers
        if isinstance(layer, keras.layers.InputLayer) and layer.optional
    ]
    stateful = [
        {"what": "state at inference", "of": layer.name, "is": "kept in training only"}
        for layer in layers
        if getattr(layer, "stateful", False) is True
    ]
    activities = [
        {"what": "activity_regularizer", "of": layer.name, "is": type(layer.activity_regularizer).__name__}
        for layer in layers
        if getattr(layer, "activity_regularizer", None) is not None
    ]
    return [*constraints, *optional, *stateful, *activities]
