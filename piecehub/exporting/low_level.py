"""Low-level TensorFlow that implements the interface itself (tensorflow/hub, docs/reusable_saved_models.md).

    class MyMulModel(tf.train.Checkpoint):      # or tf.Module, or any trackable object
        variables, trainable_variables, regularization_losses
        __call__(inputs, ...)                   # a tf.function, or to be traced as one

    obj = tf.train.Checkpoint()                 # the same, as TensorFlow Hub's own examples write it
    obj.__call__ = tf.function(...)

Its members are put onto an object of our own: `tf.train.Checkpoint` would add its `save_counter` to what is shared.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import tensorflow as tf
from tensorflow.python.trackable.base import Trackable

from piecehub.errors import NotReusableError
from piecehub.exporting import members
from piecehub.exporting.export_options import ExportOptions
from piecehub.exporting.exportable import Exportable, LayerFacts, NamedVariable, WeightLoss, parameters_of
from piecehub.tensors import specs

_Function = tf.types.experimental.GenericFunction


def adapt(obj: Any, inputs: Any, options: ExportOptions) -> Exportable:
    """What the exporter must know of an object that implements the interface.

    Args:
        obj: callable, with `variables`, `trainable_variables` and `regularization_losses` where it has any.
        inputs: specs of its inputs; None if its `__call__` has traces or an input signature.
        options: of the export.

    Raises:
        NotReusableError: if it does not keep the interface, or options are asked that only Keras layers can give.
    """
    require_plain(options)
    name = type(obj).__name__
    variables = _list(obj, "variables")
    trainable = _list(obj, "trainable_variables")
    _require_subset(name, variables, trainable)
    call = members.call_of(obj)
    function = call if isinstance(call, _Function) else None
    parameters = parameters_of(name, call)
    has_training = "training" in parameters
    found = specs.named(inputs) if inputs is not None else traced_specs(name, function)
    return Exportable(
        name=name,
        made_with="low-level",
        specs=found,
        forward=lambda batch, training, _: (call(batch, training=training) if has_training else call(batch), []),
        original=call,
        variables=_named(variables),
        trainable=_named(trainable),
        weight_losses=[_weight_loss(name, loss) for loss in _list(obj, "regularization_losses")],
        resources=[*tf.train.TrackableView(obj).descendants()] if isinstance(obj, Trackable) else [],
        autograph=True,
        function=function,
        has_training=has_training,
        members=members.kept(obj),
        signatures=_signatures(name, obj),
        facts=LayerFacts(lost=members.left(obj)),
    )


def require_plain(options: ExportOptions) -> None:
    """Raises NotReusableError if the options ask for what only the layers of Keras can give."""
    if options.hyperparameters or options.return_losses or options.sub_pieces or options.frozen != "refuse":
        raise NotReusableError(
            "Expected no hyperparameters, return_losses, sub_pieces or policy for frozen layers. Received: some, for a "
            "low-level object; give its `__call__` such arguments, and the object such attributes."
        )


def _list(obj: Any, name: str) -> list[Any]:
    return list(getattr(obj, name, None) or [])


def _named(variables: Sequence[tf.Variable]) -> list[NamedVariable]:
    return [NamedVariable(variable.name.removesuffix(":0"), variable) for variable in variables]


def _require_subset(name: str, variables: Sequence[Any], trainable: Sequence[Any]) -> None:
    known = {id(variable) for variable in variables}
    bad = [v for v in [*variables, *trainable] if not isinstance(v, tf.Variable)]
    stray = [v.name for v in trainable if not bad and (id(v) not in known or not v.trainable)]
    if bad or stray:
        raise NotReusableError(
            f"Expected the trainable variables of '{name}' to be tf.Variables with trainable=True that also stand in "
            f"`variables`. Received: {', '.join(stray) or f'a {type(bad[0]).__name__}'}; mend the lists."
        )


def traced_specs(name: str, function: Any) -> Any:
    """The specs of the first argument of a tf.function that has been traced, or has an input signature."""
    signature = getattr(function, "input_signature", None)
    if signature:
        return specs.named(signature[0])
    traces = function._list_all_concrete_functions() if function else []
    if not traces:
        raise NotReusableError(
            f"Expected the specs of the inputs of '{name}'. Received: none, and its `__call__` was never traced; "
            "pass `inputs`, such as tf.TensorSpec([None])."
        )
    args, _ = traces[0].structured_input_signature
    return specs.named(args[0])


def _weight_loss(name: str, loss: Any) -> WeightLoss:
    if not callable(loss):
        raise NotReusableError(
            f"Expected the regularization losses of '{name}' to be functions without arguments. Received: a "
            f"{type(loss).__name__}; wrap it in a tf.function."
        )
    return WeightLoss("", cast(Any, loss))


def _signatures(name: str, obj: Any) -> dict[str, Any]:
    """The signatures that an object has of its own: `{name: a traced function}`, as a loaded SavedModel has."""
    found = getattr(obj, "signatures", None) or {}
    bad = [] if isinstance(found, Mapping) else [type(found).__name__]
    bad = bad or [key for key, function in found.items() if not _is_traced(function)]
    if bad:
        raise NotReusableError(
            f"Expected `signatures` of '{name}' to map names to traced functions. Received: {bad[0]}; give each "
            "tf.function an input_signature, or leave `signatures` out."
        )
    return {str(key): function for key, function in found.items()}


def _is_traced(function: Any) -> bool:
    if not isinstance(function, _Function):
        return isinstance(function, tf.types.experimental.ConcreteFunction)
    return bool(getattr(function, "input_signature", None) or cast(Any, function)._list_all_concrete_functions())
