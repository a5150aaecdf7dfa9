"""Whether examples are what a loaded piece was traced for, and a head can read what it gives. Imports TensorFlow."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from piecehub.errors import DataError, PieceError


def refuse_misfit(task: str, piece: Any, inputs: Any, output: str) -> None:
    """Passes if a trace of the piece takes such inputs and gives features, or if no trace is known.

    Args:
        task: the name of the task, for the sentence.
        piece: a loaded SavedModel.
        inputs: examples as the piece is called with them, a tensor or a dict of tensors.
        output: the key of what the head reads, where the piece returns a dict.

    Raises:
        DataError: if dtype, shape or names of the inputs are others.
        PieceError: if there is no such output, or it is no `[batch, features]`.
    """
    traces = getattr(piece.__call__, "concrete_functions", ())
    fitting = [trace for trace in traces if _fits(inputs, _first_argument(trace))]
    if traces and not fitting:
        taken = " or ".join(dict.fromkeys(_text(_first_argument(trace)) for trace in traces))
        raise DataError(
            f"Expected examples of '{task}' as the piece takes them, {taken}. Received: {_text(inputs)}; name a task "
            "of such examples, or a piece that takes these."
        )
    for trace in fitting:
        _refuse_outputs(trace.structured_outputs, output)


def _refuse_outputs(given: Any, output: str) -> None:
    names = sorted(given) if isinstance(given, Mapping) else []
    if output not in (names or [""]):
        raise PieceError(
            f"Expected which output of the piece downstream models read: {', '.join(names) or 'it has one'}. "
            f"Received: {repr(output) if output else 'none'}; name one by --output, or by 'features' in a recipe."
        )
    features = given[output] if output else given
    if isinstance(features, tf.TensorSpec) and features.shape.rank not in (None, 2):
        raise PieceError(
            f"Expected features for a linear head, [batch, width]. Received: {_text(features)}; name another output, "
            "or a piece that pools or flattens it."
        )


def _first_argument(concrete: Any) -> Any:
    args, kwargs = concrete.structured_input_signature
    return args[0] if args else next(iter(kwargs.values()), None)


def _fits(inputs: Any, spec: Any) -> bool:
    if isinstance(inputs, Mapping) or isinstance(spec, Mapping):
        both = isinstance(inputs, Mapping) and isinstance(spec, Mapping) and set(inputs) == set(spec)
        return both and all(_fits(inputs[name], spec[name]) for name in spec)
    # What is no dense tensor is left to the call, which knows what may be made of it.
    return not isinstance(spec, tf.TensorSpec) or spec.is_compatible_with(inputs)


def _text(found: Any) -> str:
    """Tensors or specs for a person: `float32 [batch, 8]`, `{ids: int32 [batch, ?]}`."""
    if isinstance(found, Mapping):
        return "{" + ", ".join(f"{name}: {_text(found[name])}" for name in sorted(found)) + "}"
    if not hasattr(found, "shape"):
        return type(found).__name__
    if found.shape.rank is None:
        return f"{found.dtype.name} of any shape"
    sizes = ["batch", *("?" if size is None else str(size) for size in found.shape[1:])][: found.shape.rank]
    return f"{found.dtype.name} [{', '.join(sizes)}]"
