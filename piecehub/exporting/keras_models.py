"""Keras 3 models and layers, ready to be traced.

The forward pass runs in a `keras.StatelessScope`, with every variable read once before it: recurrent layers would read
theirs inside a while loop, which cannot be differentiated a second time after loading (tensorflow#51535), and would
advance their seeds at inference. Embedding tables alone are read in place, since only then their gradients are sparse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from piecehub.errors import NotReusableError
from piecehub.exporting import hyperparameters
from piecehub.exporting.export_options import ExportOptions
from piecehub.exporting.exportable import Exportable, NamedVariable, WeightLoss, parameters_of
from piecehub.exporting.keras_facts import layer_facts
from piecehub.exporting.keras_specs import fixed_batch, input_specs
from piecehub.exporting.layer_names import named_layers
from piecehub.exporting.masks import masked_outputs
from piecehub.exporting.members import kept_of_keras, left_of_keras
from piecehub.exporting.swapped import swapped
from piecehub.tensors.regularizers import regularizer_config

_SEED = "seed_generator_state"  # as keras.random.SeedGenerator calls its variable


def adapt(model: Any, inputs: Any, options: ExportOptions, tables: Sequence[Any]) -> Exportable:
    """What the exporter must know of a Keras 3 model or layer.

    Args:
        model: built.
        inputs: specs of its inputs, or None where it can tell them itself.
        options: of the export.
        tables: those that stand for its own while it is traced.

    Raises:
        NotReusableError: if it is not built, cannot tell its inputs, or lacks what the options name.
    """
    if not model.built:
        raise NotReusableError(
            f"Expected a model that is built. Received: '{model.name}', which is not; call it on data once."
        )
    stand_ins = {id(variable): _stand_in(variable) for variable in model.variables}
    parameters_of(model.name, model.call)
    resources = [*tables, *tf.train.TrackableView(model).descendants()]
    layers = named_layers(model._flatten_layers(), options.sub_pieces)
    pieces = {
        name: _exportable(layer, None, _of_layer(options, layer), resources, stand_ins)
        for name, layer in layers.items()
    }
    whole = _exportable(model, inputs, options, resources, stand_ins)
    facts = replace(whole.facts, lost=[*whole.facts.lost, *left_of_keras(model)])
    return replace(whole, pieces=pieces, members=kept_of_keras(model), facts=facts)


def _of_layer(options: ExportOptions, layer: Any) -> ExportOptions:
    """The options of a sub-piece: it offers those hyperparameters that it has."""
    layers = list(layer._flatten_layers())
    return replace(options, hyperparameters=hyperparameters.present(keras, layers, options.hyperparameters))


def _exportable(
    model: Any, inputs: Any, options: ExportOptions, resources: Sequence[Any], stand_ins: Mapping[int, tf.Variable]
) -> Exportable:
    layers = list(model._flatten_layers())
    masked: set[str] = set()
    return Exportable(
        name=model.name,
        made_with="keras",
        specs=input_specs(model, inputs),
        forward=_forward(model, layers, stand_ins, masked),
        drawing=_forward(model, layers, stand_ins, masked, draws=True),
        masked=masked,
        batch=fixed_batch(model),
        original=lambda batch: model(batch, training=False),
        variables=[NamedVariable(variable.path, stand_ins[id(variable)]) for variable in model.variables],
        trainable=[NamedVariable(variable.path, stand_ins[id(variable)]) for variable in model.trainable_variables],
        weight_losses=[
            WeightLoss(
                variable.path, _weight_loss(variable.regularizer, stand_ins[id(variable)]), regularizer_config(variable)
            )
            for variable in model.trainable_variables
            if variable.regularizer is not None
        ],
        hyperparameters=hyperparameters.defaults(keras, layers, options.hyperparameters),
        resources=resources,
        facts=layer_facts(model, layers),
    )


def _stand_in(variable: Any) -> tf.Variable:
    """The variable to save: the model's own, or a copy where its flag `trainable` would mislead gradient tapes.

    TensorFlow sets that flag for good when it makes a variable, and tapes watch a loaded variable only if it is set;
    Keras goes by a flag of its own.
    """
    own = variable.value
    if own.trainable == variable.trainable or not variable.trainable:
        return own
    return tf.Variable(own, trainable=True, name=variable.name)


def _forward(
    model: Any, layers: Sequence[Any], stand_ins: Mapping[int, tf.Variable], masked: set[str], *, draws: bool = False
) -> Any:
    """The forward pass, which notes outputs with a mask; `draws` says that seeds are advanced at inference too."""
    in_place = {id(weight) for layer in layers if isinstance(layer, keras.layers.Embedding) for weight in layer.weights}
    read_once = [v for v in model.variables if id(v) not in in_place or stand_ins[id(v)] is not v.value]
    # On a machine with a GPU these layers bake cuDNN's operations in, which load nowhere else.
    no_cudnn = [(layer, "use_cudnn", False) for layer in layers if hasattr(layer, "use_cudnn")]

    def forward(inputs: Any, training: bool, values: Mapping[str, tf.Tensor]) -> tuple[Any, list[tf.Tensor]]:
        scope = _Scope(model, read_once, stand_ins, training)
        with swapped(no_cudnn), hyperparameters.routed(keras, layers, values), scope:
            outputs = model(inputs, training=training)
        scope.write_back(draws)
        masked.update(masked_outputs(outputs))
        return outputs, list(scope.losses)

    return forward


class _Scope(keras.StatelessScope):
    """Variables are read once, and written once after the forward pass, if it is one of training.

    Trainable weights are the exception: where a layer assigns one (SpectralNormalization), what follows must read it
    again, since gradients belong to what was read, and do not pass through an assignment.
    """

    def __init__(
        self, model: Any, read_once: Sequence[Any], stand_ins: Mapping[int, tf.Variable], training: bool
    ) -> None:
        reads = [(variable, tf.convert_to_tensor(stand_ins[id(variable)])) for variable in read_once]
        super().__init__(state_mapping=reads, collect_losses=True)
        self._stand_ins = stand_ins
        self._training = training
        self._trainable = {id(variable) for variable in model.trainable_variables}
        self._updated: dict[int, Any] = {}

    def add_update(self, update: tuple[Any, Any]) -> None:
        """Notes an assignment to a variable."""
        variable, value = update
        if id(variable) in self._trainable and self._training:
            own = self._stand_ins[id(variable)]
            own.assign(value)
            value = tf.convert_to_tensor(own)
        else:
            self._updated[id(variable)] = variable
        super().add_update((variable, value))

    def write_back(self, draws: bool) -> None:
        """Writes the new state, also of variables that Keras does not list (of a stateful recurrent layer)."""
        for key, variable in self._updated.items():
            if self._training or (draws and variable.name == _SEED):
                self._stand_ins.get(key, variable.value).assign(self.get_current_value(variable))


def _weight_loss(regularizer: Any, variable: tf.Variable) -> Any:
    return lambda: regularizer(tf.convert_to_tensor(variable))
