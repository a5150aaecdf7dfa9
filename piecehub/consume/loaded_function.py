"""One function of a loaded object as a consumer calls it: arguments fitted, losses and outputs taken apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from piecehub.consume import loading
from piecehub.consume.traces import Trace, fit_arguments, fit_inputs, specs_of_shapes, takes, traces_of, with_shape
from piecehub.errors import ConsumerError

_LOSSES = "losses"  # the key under which a piece with `return_losses=True` gives its losses of activations
_OUTPUTS = "outputs"  # and the one of its output, where that has no name of its own


@dataclass(frozen=True)
class Choice:
    """What a consumer asks of a loaded object, in JSON values."""

    arguments: Mapping[str, Any]
    output_key: str | None
    piece: str | None
    signature: str | None
    signature_outputs_as_dict: bool
    output_shape: Any


@dataclass(frozen=True)
class LoadedFunction:
    """A function of a loaded object, with what is known of it.

    Attributes:
        owner: the object whose variables it uses.
        can_train: whether it has a training mode at all; signatures have none (tensorflow_hub/keras_layer.py).
        takes_training: whether it has the argument `training`.
        gives_losses: whether it can give its losses of activations beside the outputs.
    """

    callee: loading.Callee
    choice: Choice
    traces: tuple[Trace, ...]
    takes_training: bool
    gives_losses: bool

    @property
    def owner(self) -> Any:
        """The object whose variables and regularization losses count."""
        return self.callee.owner

    @property
    def is_signature(self) -> bool:
        """Whether it is for inference only."""
        return self.callee.is_signature

    def fit(self, inputs: Any) -> Any:
        """Inputs as tensors of the traced structure and dtypes."""
        return fit_inputs(inputs, self.traces)

    def specs_of(self, shapes: Any) -> Any:
        """The specs of inputs of these shapes, with the traced structure and dtypes; float32 where none is known."""
        return specs_of_shapes(shapes, self.traces)

    def __call__(self, inputs: Any, *, training: bool, losses: bool) -> Any:
        """What the function gives for fitted inputs; `losses` asks for those of activations too, where it has them."""
        arguments = fit_arguments(self.choice.arguments, self.traces)
        if self.takes_training:
            arguments["training"] = training
        if losses and self.gives_losses:
            arguments["return_losses"] = True
        if self.is_signature and isinstance(inputs, Mapping):
            return self.callee.function(**inputs, **arguments)
        return self.callee.function(inputs, **arguments)

    def split_losses(self, outputs: Any) -> tuple[Any, Any]:
        """The outputs of a call with `losses=True` as those of one without, and the losses (None where it has none)."""
        if not self.gives_losses:
            return outputs, None
        named = {name: output for name, output in outputs.items() if name != _LOSSES}
        plain = next((trace.outputs for trace in self.traces if not trace.arguments.get("return_losses")), {})
        if isinstance(plain, list | tuple):
            return [named[f"output_{index}"] for index in range(len(plain))], outputs[_LOSSES]
        return (named if isinstance(plain, Mapping) else named[_OUTPUTS]), outputs[_LOSSES]

    def choose(self, outputs: Any) -> Any:
        """The output that was asked for, or all, in the shapes that were told.

        Raises:
            ConsumerError: if there is no output of that name, or other shapes were told.
        """
        shape = self.choice.output_shape
        return self._choose(outputs) if shape is None else with_shape(self._choose(outputs), shape)

    def _choose(self, outputs: Any) -> Any:
        key = self.choice.output_key
        if key is None:
            return outputs
        if not isinstance(outputs, Mapping) or key not in outputs:
            received = ", ".join(sorted(outputs)) if isinstance(outputs, Mapping) else "outputs without names"
            raise ConsumerError(f"Expected the output '{key}'. Received: {received}; choose another `output_key`.")
        return outputs[key]


def loaded_function(loaded: loading.Loaded, choice: Choice) -> LoadedFunction:
    """The function that is asked for.

    Raises:
        NotReusableError: if the object is not callable and no signature is named.
        ConsumerError: if it cannot be called so.
    """
    callee = loading.find_callee(loaded.root, choice.piece, choice.signature)
    traces = traces_of(callee.function)
    _check_outputs(choice)
    _check_arguments(choice.arguments, traces)
    fit_arguments(choice.arguments, traces)  # what they refuse is told now
    return LoadedFunction(
        callee,
        choice,
        traces,
        takes_training=not callee.is_signature and takes(callee.function, "training"),
        gives_losses="return_losses" not in choice.arguments
        and any("return_losses" in trace.arguments for trace in traces),
    )


def input_dtype(function: LoadedFunction) -> str:
    """The dtype of the single input; float32 where there are several, or where it is not known."""
    specs = tf.nest.flatten([trace.inputs for trace in function.traces[:1]])
    return specs[0].dtype.name if len(specs) == 1 else "float32"


def _check_outputs(choice: Choice) -> None:
    if choice.signature and (choice.output_key is None) != choice.signature_outputs_as_dict:
        raise ConsumerError(
            f"Expected either `output_key` or `signature_outputs_as_dict=True` for the signature '{choice.signature}'. "
            f"Received: {'both' if choice.output_key else 'neither'}; a signature gives a dict."
        )
    if choice.signature_outputs_as_dict and not choice.signature:
        raise ConsumerError(
            "Expected a `signature` beside `signature_outputs_as_dict=True`. Received: none; leave that out."
        )


def _check_arguments(arguments: Mapping[str, Any], traces: tuple[Trace, ...]) -> None:
    known = {name for trace in traces for name in trace.arguments} - {"training"}
    unknown = set(arguments) - known if traces else set(arguments) & {"training"}
    if unknown:
        raise ConsumerError(
            f"Expected `arguments` among those of the piece ({', '.join(sorted(known)) or 'it has none'}). "
            f"Received: {', '.join(sorted(unknown))}; `training` comes from the model."
        )
