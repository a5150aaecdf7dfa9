"""What the exporter must know of a model, whatever it is made with."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from piecehub.errors import NotReusableError


@dataclass(frozen=True)
class NamedVariable:
    """A variable and its path in the model; TensorFlow's own names are not unique."""

    path: str
    variable: tf.Variable


@dataclass(frozen=True)
class WeightLoss:
    """A regularizer of one weight.

    Attributes:
        path: of the weight.
        compute: its loss, a scalar; reads the variable when called.
        config: the regularizer as Keras serializes it; empty if it cannot tell.
    """

    path: str
    compute: Callable[[], tf.Tensor]
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerFacts:
    """What consumers must know of the layers, as plain JSON values; `lost` is what the interface cannot carry."""

    supports_jit: bool = False
    half_precision: bool = False
    dropout: Sequence[Mapping[str, Any]] = ()
    batch_normalization: Sequence[Mapping[str, Any]] = ()
    lost: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class Exportable:
    """A model, ready to be traced.

    Attributes:
        name: for messages.
        made_with: `keras`, `tf_keras` or `low-level`.
        specs: of the inputs, named, in one level.
        forward: (inputs, training, hyperparameters) -> (outputs, losses of the activities). With `training=False` it
            changes no variable.
        drawing: the same, but seeds are advanced at inference too; None where `forward` leaves none behind.
        random: whether inference draws random numbers.
        masked: names of outputs that have a mask of Keras; tracing fills it.
        original: inputs -> outputs of the model as it stands, in inference mode and outside of any graph.
        variables: all state, in the model's order.
        trainable: what the model's owner trains.
        weight_losses: one for each regularized trainable weight.
        hyperparameters: their defaults.
        resources: tables and assets that the functions may use.
        autograph: whether the model's own code counts on AutoGraph.
        facts: of the layers.
        pieces: sub-pieces by attribute name, one level deep.
        function: a `tf.function` that is the forward pass already, with traces of its own; `forward` stands aside then.
        has_training: whether the forward pass knows a training mode.
        batch: the number of examples that the model was built for, if it was built for one.
        members: more attributes of the object to save.
        signatures: more signatures of the SavedModel, traced; they stand in place of ours of the same name.
    """

    name: str
    made_with: str
    specs: Any
    forward: Callable[[Any, bool, Mapping[str, tf.Tensor]], tuple[Any, list[tf.Tensor]]]
    original: Callable[[Any], Any]
    variables: Sequence[NamedVariable]
    trainable: Sequence[NamedVariable]
    weight_losses: Sequence[WeightLoss] = ()
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    resources: Sequence[Any] = ()
    autograph: bool = False
    facts: LayerFacts = LayerFacts()
    pieces: Mapping[str, "Exportable"] = field(default_factory=dict)
    function: Any = None
    has_training: bool = True
    members: Mapping[str, Any] = field(default_factory=dict)
    signatures: Mapping[str, Any] = field(default_factory=dict)
    drawing: Callable[[Any, bool, Mapping[str, tf.Tensor]], tuple[Any, list[tf.Tensor]]] | None = None
    random: bool = False
    batch: int | None = None
    masked: set[str] = field(default_factory=set)


def require_trainable(exportable: Exportable) -> Exportable:
    """`exportable`; raises NotReusableError if nobody could fine-tune it."""
    if not exportable.trainable:
        raise NotReusableError(
            f"Expected a piece with trainable weights. Received: '{exportable.name}', which has none; "
            "unfreeze it, choose a later layer, or export it by export_preprocessor."
        )
    return exportable


def parameters_of(name: str, call: Any) -> list[str]:
    """The names of a forward pass' parameters.

    Raises:
        NotReusableError: if not exactly one of them is required.
    """
    found = [p for p in inspect.signature(call).parameters.values() if p.name != "self"]
    required = [
        p.name for p in found if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(required) != 1:
        raise NotReusableError(
            f"Expected `__call__` of '{name}' to require one positional argument. Received: {len(required)}; pass "
            "several tensors as one list or dict, and give all else a default."
        )
    return [p.name for p in found]
