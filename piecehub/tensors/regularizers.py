"""Regularizers as facts: what Keras says of the one on a variable."""

from typing import Any, cast

import keras


def regularizer_config(variable: Any) -> dict[str, Any]:
    """The regularizer of a variable as Keras serializes it; empty for a function, which may hold anything."""
    if not isinstance(variable.regularizer, keras.regularizers.Regularizer):
        return {}
    try:
        return dict(cast(Any, keras.regularizers.serialize(variable.regularizer)))
    except (TypeError, ValueError, NotImplementedError):
        return {}  # a class of the user's own without a config
