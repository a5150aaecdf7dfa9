"""What a restored function was traced for, and inputs and arguments made to fit it.

A restored function takes just the dtypes that it was traced with
(tensorflow/python/saved_model/function_deserialization.py): a float64 array, or the float16 output of a mixed-precision
layer, is refused. Casts which keep the meaning are made here.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from piecehub.errors import ConsumerError


@dataclass(frozen=True)
class Trace:
    """One combination of arguments that a function takes.

    Attributes:
        inputs: the specs of the inputs: one, or a list or dict of them.
        arguments: of the others, by name, the spec of a tensor or the one Python value that was traced.
        outputs: the specs of the outputs; None where they are not known.
    """

    inputs: Any
    arguments: Mapping[str, Any]
    outputs: Any


def traces_of(function: Callable[..., Any]) -> tuple[Trace, ...]:
    """The traces of a restored function or signature; none for a function that Python itself runs."""
    if not hasattr(function, "concrete_functions"):
        structured = getattr(function, "structured_input_signature", None)
        return (Trace(structured[1], {}, function.structured_outputs),) if structured else ()  # pyright: ignore[reportFunctionMemberAccess]
    names = list(inspect.signature(function).parameters)
    return tuple(_trace(concrete, names) for concrete in function.concrete_functions)  # pyright: ignore[reportFunctionMemberAccess]


def _trace(concrete: Any, names: list[str]) -> Trace:
    args, kwargs = concrete.structured_input_signature
    arguments = dict(zip(names, args, strict=False)) | kwargs
    return Trace(arguments.pop(names[0]), arguments, concrete.structured_outputs)


def takes(function: Callable[..., Any], argument: str) -> bool:
    """Whether the function has a parameter of that name."""
    return argument in inspect.signature(function).parameters


def fit_arguments(arguments: Mapping[str, Any], traces: Sequence[Trace]) -> dict[str, Any]:
    """Arguments as the traces want them: a Python number becomes a tensor where a tensor was traced.

    Otherwise each number would be a new combination, and be refused.
    """
    dtypes = {
        name: spec.dtype
        for trace in traces
        for name, spec in trace.arguments.items()
        if isinstance(spec, tf.TensorSpec)
    }
    return {
        name: tf.cast(tf.convert_to_tensor(value), dtypes[name]) if name in dtypes else value
        for name, value in arguments.items()
    }


def fit_inputs(inputs: Any, traces: Sequence[Trace]) -> Any:
    """Inputs as tensors of the traced structure and dtypes; as they are where no trace is known.

    The trace with the inputs' own dtypes is preferred to one that needs a cast.

    Raises:
        ConsumerError: if they cannot be fitted without changing their meaning.
    """
    specs = [trace.inputs for trace in traces]
    refusals: list[ConsumerError] = []
    for spec in sorted(specs, key=lambda spec: not _has_dtypes(inputs, spec)):
        try:
            return _fit(inputs, spec)
        except ConsumerError as refusal:
            refusals.append(refusal)
    if refusals:
        raise refusals[0]
    return inputs


def _has_dtypes(inputs: Any, spec: Any) -> bool:
    leaves, wanted = tf.nest.flatten(inputs), tf.nest.flatten(spec)
    dtypes = [getattr(leaf, "dtype", None) for leaf in leaves]
    return len(leaves) == len(wanted) and all(d == s.dtype for d, s in zip(dtypes, wanted, strict=True))


def _fit(inputs: Any, spec: Any) -> Any:
    if isinstance(spec, Mapping):
        return _fit_dict(inputs, spec)
    if isinstance(spec, list | tuple):
        return _fit_list(inputs, spec)
    return _fit_ragged(inputs, spec) if isinstance(spec, tf.RaggedTensorSpec) else _fit_tensor(inputs, spec)


def _fit_dict(inputs: Any, specs: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(inputs, Mapping) and len(specs) == 1:
        inputs = {next(iter(specs)): inputs}
    if not isinstance(inputs, Mapping) or set(inputs) != set(specs):
        received = f"a dict of {', '.join(sorted(inputs))}" if isinstance(inputs, Mapping) else type(inputs).__name__
        raise ConsumerError(
            f"Expected a dict of {', '.join(sorted(specs))} as input. Received: {received}; name them so."
        )
    return {name: _fit(inputs[name], spec) for name, spec in specs.items()}


def _fit_list(inputs: Any, specs: "list[Any] | tuple[Any, ...]") -> Any:
    if not isinstance(inputs, list | tuple) or len(inputs) != len(specs):
        received = f"{len(inputs)}" if isinstance(inputs, list | tuple) else type(inputs).__name__
        raise ConsumerError(f"Expected a list of {len(specs)} inputs. Received: {received}; pass them as one list.")
    return type(specs)(_fit(one, spec) for one, spec in zip(inputs, specs, strict=True))


def _fit_tensor(value: Any, spec: Any) -> Any:
    return _cast(value if tf.is_tensor(value) else tf.convert_to_tensor(value, dtype_hint=spec.dtype), spec.dtype)


def _fit_ragged(value: Any, spec: Any) -> tf.RaggedTensor:
    if not tf.is_tensor(value):
        value = tf.ragged.constant(value, ragged_rank=spec.ragged_rank)
    if not isinstance(value, tf.RaggedTensor):
        value = tf.RaggedTensor.from_tensor(value, ragged_rank=spec.ragged_rank)  # pyright: ignore[reportAttributeAccessIssue]
    return _cast(value, spec.dtype).with_row_splits_dtype(spec.row_splits_dtype)


def _cast(tensor: Any, dtype: tf.DType) -> Any:
    own = tf.as_dtype(tensor.dtype)
    if own == dtype:
        return tensor
    loses = (
        tf.string in (own, dtype) or dtype == tf.bool or (dtype.is_integer and not (own.is_integer or own == tf.bool))
    )
    if loses:
        raise ConsumerError(
            f"Expected {dtype.name} inputs, as the SavedModel was traced. Received: {own.name}; convert them first."
        )
    return tf.cast(tensor, dtype)
