"""tf_keras (Keras 2) models and layers, ready to be traced.

Recurrent layers are traced without the kernels that need a GPU (those put cuDNN's operations and a random name into the
graph), and with the weights of their cells read once before the loop (see piecehub/exporting/keras_models.py).
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import tensorflow as tf

from piecehub.errors import NotReusableError
from piecehub.exporting import hyperparameters
from piecehub.exporting.export_options import ExportOptions
from piecehub.exporting.exportable import Exportable, LayerFacts, NamedVariable, WeightLoss, parameters_of
from piecehub.exporting.keras_specs import fixed_batch
from piecehub.exporting.layer_names import named_layers
from piecehub.exporting.masks import masked_outputs
from piecehub.exporting.members import kept_of_keras, left_of_keras
from piecehub.exporting.swapped import swapped
from piecehub.tensors import specs


def adapt(model: Any, inputs: Any, options: ExportOptions, tables: Sequence[Any]) -> Exportable:
    """What the exporter must know of a tf_keras model or layer (arguments as in `keras_models.adapt`).

    Raises:
        NotReusableError: if it is not built, cannot tell its inputs, or lacks what the options name.
    """
    import tf_keras

    if not model.built:
        raise NotReusableError(
            f"Expected a model that is built. Received: '{model.name}', which is not; call it on data once."
        )
    parameters_of(model.name, model.call)
    resources = [*tables, *tf.train.TrackableView(model).descendants()]
    layers = named_layers(list(model._flatten_layers()), options.sub_pieces)
    pieces = {
        name: _exportable(tf_keras, layer, None, _of_layer(tf_keras, options, layer), resources)
        for name, layer in layers.items()
    }
    whole = _exportable(tf_keras, model, inputs, options, resources)
    facts = replace(whole.facts, lost=[*whole.facts.lost, *left_of_keras(model)])
    return replace(whole, pieces=pieces, members=kept_of_keras(model), facts=facts)


def _of_layer(tf_keras: Any, options: ExportOptions, layer: Any) -> ExportOptions:
    """The options of a sub-piece: it offers those hyperparameters that it has."""
    layers = list(layer._flatten_layers())
    return replace(options, hyperparameters=hyperparameters.present(tf_keras, layers, options.hyperparameters))


def _exportable(tf_keras: Any, model: Any, inputs: Any, options: ExportOptions, resources: Sequence[Any]) -> Exportable:
    layers = list(model._flatten_layers())
    masked: set[str] = set()
    return Exportable(
        name=model.name,
        made_with="tf_keras",
        specs=_input_specs(model, inputs),
        forward=_forward(tf_keras, model, layers, masked),
        masked=masked,
        batch=fixed_batch(model),
        original=lambda batch: _call(tf_keras, model, batch, False),
        variables=_named(model.variables),
        trainable=_named(model.trainable_variables),
        weight_losses=[_weight_loss(layer, compute) for layer in layers for compute in layer._callable_losses],
        hyperparameters=hyperparameters.defaults(tf_keras, layers, options.hyperparameters),
        resources=resources,
        autograph=True,
        facts=_facts(tf_keras, model, layers),
    )


def _named(variables: Sequence[Any]) -> list[NamedVariable]:
    """Vocabularies also stand among the weights of tf_keras; they are no variables."""
    return [NamedVariable(v.name.removesuffix(":0"), v) for v in variables if isinstance(v, tf.Variable)]


def _input_specs(model: Any, inputs: Any) -> Any:
    if inputs is not None:
        return specs.named(inputs)
    if hasattr(model, "save_spec"):
        args, _ = model.save_spec() or ([None], {})
        found = args[0]
    else:
        found = _layer_specs(model)
    if found is None:
        raise NotReusableError(
            f"Expected the specs of the inputs of '{model.name}'. Received: none, and it cannot tell them itself; "
            "pass `inputs`, such as tf.TensorSpec([None, 8])."
        )
    stateful = any(getattr(layer, "stateful", False) for layer in model._flatten_layers())  # its state has the size
    return specs.named(found if stateful else tf.nest.map_structure(_of_any_batch, found))


def _of_any_batch(spec: Any) -> Any:
    if not isinstance(spec, tf.TensorSpec) or not spec.shape.rank:
        return spec
    return tf.TensorSpec([None, *spec.shape[1:]], spec.dtype, name=spec.name)


def _layer_specs(layer: Any) -> Any:
    """The specs of a layer that stands in a functional model; None of any other."""
    try:
        symbolic = specs.one_level(layer.input, "input")
    except AttributeError:
        return None
    return tf.nest.map_structure(lambda tensor: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype), symbolic)


def _forward(tf_keras: Any, model: Any, layers: Sequence[Any], masked: set[str]) -> Any:
    def forward(inputs: Any, training: bool, values: Mapping[str, tf.Tensor]) -> tuple[Any, list[tf.Tensor]]:
        with _unrolled_reads(tf_keras, layers), hyperparameters.routed(tf_keras, layers, values):
            outputs = _call(tf_keras, model, inputs, training)
        masked.update(masked_outputs(outputs))
        losses = [loss for layer in layers for loss in layer._eager_losses]
        model._clear_losses()  # tensors of this graph would be in the way of the model's next user
        return outputs, losses

    return forward


def _call(tf_keras: Any, model: Any, inputs: Any, training: bool) -> Any:
    if "training" in inspect.signature(model.call).parameters:
        return model(inputs, training=training)
    with tf_keras.src.backend.learning_phase_scope(int(training)):
        return model(inputs)


@contextmanager
def _unrolled_reads(tf_keras: Any, layers: Sequence[Any]) -> Iterator[None]:
    recurrent = [layer for layer in layers if isinstance(layer, tf_keras.layers.RNN)]
    no_gpu = [(layer, "_could_use_gpu_kernel", False) for layer in recurrent if hasattr(layer, "_could_use_gpu_kernel")]
    cells = [cell for layer in recurrent for cell in layer.cell._flatten_layers()]
    reads = [
        (cell, name, tf.convert_to_tensor(value))
        for cell in cells
        for name, value in vars(cell).items()
        if isinstance(value, tf.Variable)
    ]
    with swapped([*no_gpu, *reads]):
        yield


def _weight_loss(layer: Any, compute: Any) -> WeightLoss:
    """Which weight a regularizer reads can only be told by tracing it."""
    read = tf.function(compute, input_signature=[]).get_concrete_function().variables
    path = read[0].name.removesuffix(":0") if read else layer.name
    regularizer: Any = getattr(layer, f"{path.rpartition('/')[2]}_regularizer", None)
    known = hasattr(regularizer, "get_config")
    config = {"class_name": type(regularizer).__name__, "config": regularizer.get_config()} if known else {}
    return WeightLoss(path, compute, config)


def _facts(tf_keras: Any, model: Any, layers: Sequence[Any]) -> LayerFacts:
    dropouts = hyperparameters.dropouts(tf_keras, layers)
    norms = hyperparameters.batch_normalizations(tf_keras, layers)
    constraints = [
        {"what": "constraint", "of": v.name.removesuffix(":0"), "is": type(v.constraint).__name__}
        for v in model.trainable_variables
        if getattr(v, "constraint", None) is not None
    ]
    activities = [
        {"what": "activity_regularizer", "of": layer.name, "is": type(layer.activity_regularizer).__name__}
        for layer in layers
        if getattr(layer, "activity_regularizer", None) is not None
    ]
    return LayerFacts(
        half_precision=any(layer.compute_dtype in ("float16", "bfloat16") for layer in layers),
        dropout=[{"layer": layer.name, "rate": float(layer.rate)} for layer in dropouts],
        batch_normalization=[{"layer": layer.name, "momentum": float(layer.momentum)} for layer in norms],
        lost=[*constraints, *activities],
    )
