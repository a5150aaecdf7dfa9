"""`__call__` of a Reusable SavedModel: a tf.function with just the parameters that a model offers, fully traced.

(inputs, training=False, return_losses=False, *, dropout_rate=…, batch_norm_momentum=…)
"""

import inspect
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from piecehub.errors import NotReusableError
from piecehub.exporting.export_options import ExportOptions
from piecehub.exporting.exportable import Exportable
from piecehub.tensors import specs


def inference_arguments(exportable: Exportable) -> dict[str, Any]:
    """Keyword arguments of the trace with `training=False`: hyperparameters as tensors, as they were traced."""
    values = {name: tf.constant(value, tf.float32) for name, value in exportable.hyperparameters.items()}
    return {"training": False, **values} if exportable.has_training else values


def standard_outputs(outputs: Any) -> Any:
    """Outputs as the interface wants them: one level of plain lists or dicts, floats of 32 bits."""
    return tf.nest.map_structure(_full_precision, specs.one_level(_plain(outputs), "output"))


def named_outputs(outputs: Any) -> dict[str, tf.Tensor]:
    """Outputs by name: their own keys, by position, or `outputs`."""
    if isinstance(outputs, dict):
        return outputs
    if isinstance(outputs, list | tuple):
        return {f"output_{index}": output for index, output in enumerate(outputs)}
    return {"outputs": outputs}


def forward_function(exportable: Exportable, options: ExportOptions) -> Any:
    """`__call__` as a tf.function with the parameters that this model offers."""
    signature = _signature(exportable, options)

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = bound.arguments
        inputs, training = values.pop("inputs"), values.pop("training", False)
        return_losses = values.pop("return_losses", False)
        outputs, losses = exportable.forward(inputs, training, values)
        outputs = standard_outputs(outputs)
        return _with_losses(outputs, losses) if return_losses else outputs

    call.__signature__ = signature  # what `tf.function` and, after loading, `hub.KerasLayer` go by
    return tf.function(call, autograph=exportable.autograph)


def _signature(exportable: Exportable, options: ExportOptions) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("inputs", kind)]
    if exportable.has_training:
        parameters.append(inspect.Parameter("training", kind, default=False))
    if options.return_losses:
        parameters.append(inspect.Parameter("return_losses", kind, default=False))
    only = inspect.Parameter.KEYWORD_ONLY
    parameters += [inspect.Parameter(name, only, default=value) for name, value in exportable.hyperparameters.items()]
    return inspect.Signature(parameters)


def all_traces(exportable: Exportable, options: ExportOptions, function: Any) -> list[Any]:
    """All permissible combinations, inference first; a function with traces of its own keeps those."""
    ready = exportable.function is not None
    if ready and function.input_signature is not None:
        return [function.get_concrete_function()]
    if ready and function._list_all_concrete_functions():
        return function._list_all_concrete_functions()
    values = {name: tf.TensorSpec([], tf.float32, name=name) for name in exportable.hyperparameters}
    modes = [{"training": training} for training in (False, True)] if exportable.has_training else [{}]
    if options.return_losses:
        modes = [{**mode, "return_losses": flag} for flag in (False, True) for mode in modes]
    return [function.get_concrete_function(exportable.specs, **mode, **values) for mode in modes]


def _plain(outputs: Any) -> Any:
    """Dicts and lists of Keras, which are classes of its own, as plain ones."""
    if isinstance(outputs, dict):
        return {name: _plain(output) for name, output in outputs.items()}
    return [_plain(output) for output in outputs] if isinstance(outputs, list | tuple) else outputs


def _full_precision(tensor: Any) -> Any:
    """Half and double precision as float32: a consumer cannot change the dtype of a loaded function."""
    return tf.cast(tensor, tf.float32) if tensor.dtype in (tf.float16, tf.bfloat16, tf.float64) else tensor


def _with_losses(outputs: Any, losses: Sequence[tf.Tensor]) -> dict[str, Any]:
    named = named_outputs(outputs)
    if "losses" in named:
        raise NotReusableError(
            "Expected no output named 'losses'. Received: one; rename it, or leave return_losses out."
        )
    flat = [tf.reduce_sum(tf.cast(loss, tf.float32)) for loss in losses]
    return {**named, "losses": tf.add_n(flat) if flat else tf.constant(0.0)}
