"""The object to save: ours, with the interface and nothing else.

Not the model itself: attached, it would be saved with all its state. Not `tf.train.Checkpoint`, which adds a variable
of its own; not `tf.Module`, whose `variables` cannot be set.
"""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf
from tensorflow.python.saved_model import save_context

from piecehub.errors import NotReusableError
from piecehub.exporting.export_options import ExportOptions
from piecehub.exporting.exportable import Exportable, NamedVariable, WeightLoss
from piecehub.exporting.replicas import container
from piecehub.exporting.reusable_call import all_traces, forward_function, inference_arguments, named_outputs
from piecehub.tensors import specs


@dataclass(frozen=True)
class Traced:
    """A traced object, and what it turned out to hold.

    Attributes:
        root: to save.
        outputs: specs of `root(inputs, training=False)`.
        variables: `root.variables`, with paths.
        trainable: `root.trainable_variables`, with paths.
        weight_losses: those behind `root.regularization_losses`.
        traces: of `root.__call__` at inference; all that an object had of its own.
    """

    root: Any
    outputs: Any
    variables: Sequence[NamedVariable]
    trainable: Sequence[NamedVariable]
    weight_losses: Sequence[WeightLoss]
    traces: Sequence[Any]


def trace(exportable: Exportable, options: ExportOptions) -> Traced:
    """Traces a model for both values of `training` (and of `return_losses`), and puts the interface onto an object.

    Raises:
        NotReusableError: if a pattern of `options.trainable` names nothing, outputs are nested too deep, or a low-level
            object does not list the variables that it uses.
    """
    # As `tf.saved_model.save` traces: it would trace all functions again otherwise.
    with save_context.save_context(tf.saved_model.SaveOptions()):
        try:
            return _traced(exportable, options, _chosen(exportable, options))
        except (tf.errors.OpError, TypeError, ValueError, KeyError) as error:
            raise NotReusableError(
                f"Expected '{exportable.name}' to be traced for batches of any size. Received: {_reason(error)}; mend "
                "it, or pass `inputs` as it takes them."
            ) from error


def _traced(exportable: Exportable, options: ExportOptions, trainable: Sequence[NamedVariable]) -> Traced:
    function = exportable.function or forward_function(exportable, options)
    traces = all_traces(exportable, options, function)
    weight_losses = _chosen_losses(exportable, trainable)
    losses = [_zero_arguments(loss) for loss in weight_losses]
    variables = _with_captured(exportable, [*traces, *(loss.get_concrete_function() for loss in losses)])
    root = tf.__internal__.tracking.AutoTrackable()
    for name, member in exportable.members.items():
        setattr(root, name, member)
    root.__call__ = function
    root.variables = [named.variable for named in variables]
    root.trainable_variables = [named.variable for named in trainable]
    root.regularization_losses = losses
    root.resources = _captured_resources(exportable, traces)
    for name, piece in exportable.pieces.items():
        own = {id(named.variable) for named in piece.variables}
        shared = [named for named in trainable if id(named.variable) in own]
        setattr(root, name, _traced(piece, replace(options, return_losses=False), shared).root)
    outputs = specs.of_tensors(traces[0].structured_outputs)
    of_inference = traces if exportable.function is not None else traces[:1]
    return Traced(root, outputs, variables, trainable, weight_losses, of_inference)


def _reason(error: Exception) -> str:
    """What went wrong, out of messages in which Keras and AutoGraph quote code before they come to it."""
    lines = [re.sub(r"\x1b\[\d*m", "", line).strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("in user code", "Exception encountered", "File "))]
    named = [line for line in said if re.match(r"\w+(Error|Exception)?: ", line)]
    return [*named, *said, type(error).__name__][0].rstrip(".")


def serving(exportable: Exportable, traced: Traced) -> Any:
    """The serving signature: named tensors around `root(inputs, training=False)`; None where a signature cannot be.

    Signatures take and give dense tensors only, so a model of ragged or sparse ones has none.
    """
    flat = [*specs.flat_tensors(exportable.specs), *specs.flat_tensors(traced.outputs)]
    if not all(isinstance(spec, tf.TensorSpec) for spec in flat):
        return None
    by_name = {spec.name: spec for spec in specs.flat_tensors(exportable.specs)}

    def serve(**tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = tf.nest.pack_sequence_as(exportable.specs, [tensors[name] for name in by_name])
        return named_outputs(traced.root.__call__(inputs, **inference_arguments(exportable)))

    with save_context.save_context(tf.saved_model.SaveOptions()):
        return tf.function(serve, autograph=False).get_concrete_function(**by_name)


def infer(exportable: Exportable, traced: Traced, inputs: Any) -> Any:
    """What `root(inputs, training=False)` gives; outside of the context of `trace` it would be traced once more."""
    with save_context.save_context(tf.saved_model.SaveOptions()):
        return traced.root.__call__(inputs, **inference_arguments(exportable))


def _zero_arguments(loss: WeightLoss) -> Any:
    """A tf.function without arguments: a closure, since tf.function would turn default arguments into inputs."""
    if isinstance(loss.compute, tf.types.experimental.GenericFunction):
        function = loss.compute
    else:
        function = tf.function(lambda: _scalar(loss.compute()), input_signature=[])
    concrete: Any = function.get_concrete_function()
    outputs = concrete.structured_outputs
    if not (tf.is_tensor(outputs) or isinstance(outputs, tf.TensorSpec)) or outputs.shape.rank != 0:
        raise NotReusableError(
            f"Expected a regularization loss to return one scalar. Received: {outputs}; reduce it to one."
        )
    return function


def _scalar(loss: Any) -> tf.Tensor:
    """A loss as a float32 scalar, where it is one number."""
    loss = tf.cast(loss, tf.float32)
    return tf.reshape(loss, []) if loss.shape.num_elements() == 1 else loss


def _chosen(exportable: Exportable, options: ExportOptions) -> list[NamedVariable]:
    """The trainable variables that a consumer is advised to train."""
    if not options.trainable:
        return list(exportable.trainable)
    paths = [named.path for named in exportable.trainable]
    if idle := [pattern for pattern in options.trainable if not fnmatch.filter(paths, pattern)]:
        raise NotReusableError(
            f"Expected each pattern of `trainable` to name a weight of: {', '.join(paths)}. Received: "
            f"{', '.join(idle)}, which names none; mend it."
        )
    return [named for named in exportable.trainable if _matches(named.path, options)]


def _matches(path: str, options: ExportOptions) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in options.trainable)


def _chosen_losses(exportable: Exportable, trainable: Sequence[NamedVariable]) -> list[WeightLoss]:
    """The regularizers, without those of weights that a consumer is advised to leave: of a fixed weight, a constant."""
    left = {named.path for named in exportable.trainable} - {named.path for named in trainable}
    return [loss for loss in exportable.weight_losses if loss.path not in left]


def _with_captured(exportable: Exportable, traces: Sequence[Any]) -> list[NamedVariable]:
    """The model's variables, then those that only its functions know (of a tf.Module in a layer, say)."""
    known = {id(named.variable) for named in exportable.variables}
    used = [container(variable) for concrete in traces for variable in concrete.graph.variables]
    captured = {id(variable): variable for variable in used if id(variable) not in known}
    if captured and exportable.made_with == "low-level":
        raise NotReusableError(
            f"Expected `variables` of '{exportable.name}' to list every variable that it uses. Received: no "
            f"{', '.join(v.name for v in captured.values())}; add them."
        )
    return [*exportable.variables, *(NamedVariable(v.name.removesuffix(":0"), v) for v in captured.values())]


def _captured_resources(exportable: Exportable, traces: Sequence[Any]) -> list[Any]:
    """The tables and assets that the functions do use."""
    captured = {id(outer) for concrete in traces for outer, _ in concrete.graph.captures}
    found = {id(x): x for x in exportable.resources if id(_handle(x)) in captured}
    return list(found.values())


def _handle(resource: Any) -> Any:
    """The tensor by which functions capture a table or an asset."""
    if isinstance(resource, tf.saved_model.Asset):
        return resource.asset_path
    is_table = isinstance(resource, tf.saved_model.experimental.TrackableResource)
    return resource.resource_handle if is_table else None
