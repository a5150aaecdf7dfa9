"""What a restored function was traced for, and inputs and arguments made to fit it.

A restored function takes just the dtypes that it was traced with
(tensorflow/python/saved_model/function_deserialization.py): a float64 array, or the float16 output of a mixed-precision
layer, is refused. Casts which keep the meaning are made by `exact`.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from piecehub.consume.exact import as_dtype, as_ragged, effort
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

    Raises:
        ConsumerError: if that would change what a value means.
    """
    dtypes = {
        name: spec.dtype
        for trace in traces
        for name, spec in trace.arguments.items()
        if isinstance(spec, tf.TensorSpec)
    }
    return {
        name: as_dtype(value, dtypes[name], f"in the argument '{name}'") if name in dtypes else value
        for name, value in arguments.items()
    }


def fit_inputs(inputs: Any, traces: Sequence[Trace]) -> Any:
    """Inputs as tensors of the traced structure and dtypes; as they are where no trace is known.

    The trace with the inputs' own dtypes is preferred to one that needs a cast, and a sure cast to one that may fail.

    Raises:
        ConsumerError: if they cannot be fitted without changing their meaning.
    """
    specs = [trace.inputs for trace in traces]
    if len(specs) > 1:
        specs.sort(key=lambda spec: _effort(inputs, spec))
    refusals: list[ConsumerError] = []
    for spec in specs:
        try:
            return _fit(inputs, spec)
        except ConsumerError as refusal:
            refusals.append(refusal)
    if refusals:
        raise refusals[0]
    return inputs


def _effort(inputs: Any, spec: Any) -> int:
    """Of the input that is furthest from its spec's dtype."""
    return max((effort(value, wanted.dtype) for value, wanted in _pairs(inputs, spec)), default=0)


def _pairs(inputs: Any, spec: Any) -> Iterator[tuple[Any, Any]]:
    """Each input with its spec, as far as the structures agree."""
    if isinstance(spec, Mapping):
        if not isinstance(inputs, Mapping):
            inputs = dict.fromkeys(list(spec)[:1], inputs)
        for name in set(spec) & set(inputs):
            yield from _pairs(inputs[name], spec[name])
    elif isinstance(spec, list | tuple):
        for one, wanted in zip(inputs if isinstance(inputs, list | tuple) else (), spec, strict=False):
            yield from _pairs(one, wanted)
    else:
        yield inputs, spec


def _fit(inputs: Any, spec: Any) -> Any:
    if isinstance(spec, Mapping):
        return _fit_dict(inputs, spec)
    if isinstance(spec, list | tuple):
        return _fit_list(inputs, spec)
    return as_ragged(inputs, spec) if isinstance(spec, tf.RaggedTensorSpec) else as_dtype(inputs, spec.dtype)


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
    fitted = [_fit(one, spec) for one, spec in zip(inputs, specs, strict=True)]
    return tf.nest.pack_sequence_as(specs, tf.nest.flatten(fitted), expand_composites=False)


def specs_of_shapes(shapes: Any, traces: Sequence[Trace]) -> Any:
    """Specs of inputs of these shapes: those of a trace that takes such, else of the first; float32 without traces.

    Args:
        shapes: a shape with its first axis, or a list or dict of them.
        traces: of the function.

    Raises:
        ConsumerError: if the shapes have another structure than the inputs.
    """
    if not traces:
        return tf.TensorSpec(shapes, tf.float32)
    reshaped = [(trace.inputs, _reshaped(trace.inputs, shapes)) for trace in traces]
    fits = (new for spec, new in reshaped if _is_compatible(spec, new))
    return next(fits, reshaped[0][1])


def _reshaped(spec: Any, shapes: Any) -> Any:
    if isinstance(spec, Mapping):
        shapes = shapes if isinstance(shapes, Mapping) or len(spec) != 1 else dict.fromkeys(spec, shapes)
        if isinstance(shapes, Mapping) and set(shapes) == set(spec):
            return {name: _reshaped(one, shapes[name]) for name, one in spec.items()}
        raise ConsumerError(f"Expected a dict of {', '.join(sorted(spec))} as input shapes. Received: {shapes}.")
    if isinstance(spec, list | tuple):
        if isinstance(shapes, list | tuple) and len(shapes) == len(spec):
            return [_reshaped(one, shape) for one, shape in zip(spec, shapes, strict=True)]
        raise ConsumerError(f"Expected a list of {len(spec)} input shapes. Received: {shapes}.")
    if isinstance(spec, tf.RaggedTensorSpec):
        ragged: Any = spec
        return tf.RaggedTensorSpec(shapes, ragged.dtype, ragged.ragged_rank, ragged.row_splits_dtype)
    return type(spec)(shapes, spec.dtype)


def _is_compatible(spec: Any, other: Any) -> bool:
    pairs = zip(tf.nest.flatten(spec), tf.nest.flatten(other), strict=True)
    return all(one.shape.is_compatible_with(another.shape) for one, another in pairs)


def with_shape(outputs: Any, shapes: Any) -> Any:
    """The outputs with known shapes; each is checked when it is computed.

    Args:
        outputs: a tensor, or a list or dict of them.
        shapes: each without its first axis, in the structure of the outputs.

    Raises:
        ConsumerError: if the shapes have another structure or rank than the outputs.
    """
    try:
        if isinstance(outputs, Mapping):
            return {name: with_shape(output, shapes[name]) for name, output in outputs.items()}
        if isinstance(outputs, list | tuple):
            return [with_shape(output, shape) for output, shape in zip(outputs, shapes, strict=True)]
        return tf.ensure_shape(outputs, [None, *shapes])
    except ConsumerError:
        raise
    except (KeyError, TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        raise ConsumerError(
            "Expected `output_shape` with a shape for each output, without its first axis. "
            f"Received: {shapes}; leave it out, or take the shapes of the piece's page."
        ) from error
