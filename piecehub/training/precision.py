"""Keras' dtype policy, while a full model is built and trained: a piece is exported as it is without, in float32."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers that are made inside compute by `policy`; afterwards the one before is back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
