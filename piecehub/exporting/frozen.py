"""The policy for frozen layers.

A layer with `trainable = False` is traced in inference mode for ever (BatchNormalization), drops its regularizers, and
its weights cannot be declared trainable. So a frozen layer is refused unless the exporter is told what is meant.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from piecehub.errors import NotReusableError

_FEW = 5  # that are named in one sentence


@contextmanager
def frozen_layers(model: Any, policy: str) -> Iterator[None]:
    """Applies `ExportOptions.frozen` to a Keras 3 or tf_keras model; the block sees it so, afterwards it is as before.

    Raises:
        NotReusableError: if a layer with weights is frozen and the policy is `refuse`.
    """
    frozen = [layer for layer in model._flatten_layers() if not layer.trainable and layer.weights]
    if frozen and policy == "refuse":
        names = [layer.name for layer in frozen[:_FEW]]
        more = f" and {len(frozen) - _FEW} more" if len(frozen) > _FEW else ""
        raise NotReusableError(
            f"Expected no frozen layers with weights. Received: {', '.join(names)}{more}; set frozen = 'unfreeze' "
            "(`--frozen unfreeze`) to let consumers train them, or 'keep' to leave them frozen for ever."
        )
    if policy != "unfreeze":
        yield
        return
    flags = [(layer, layer.trainable) for layer in model._flatten_layers()]
    weights = [(weight, weight.trainable) for weight in model.weights if isinstance(weight, keras.Variable)]
    for layer in frozen:
        layer.trainable = True
    try:
        yield
    finally:
        _restore(flags, weights)


def _restore(flags: list[tuple[Any, bool]], weights: list[tuple[Any, bool]]) -> None:
    """Outer layers first: setting one sets all inside it. Keras 3 also has flags of single weights (LoRA)."""
    for layer, trainable in flags:
        layer.trainable = trainable
    for weight, trainable in weights:
        if weight.trainable != trainable:
            weight.trainable = trainable
