"""A Keras 3 layer for any Reusable SavedModel: what `hub.KerasLayer`, a tf_keras layer, is in Keras 2.

    layer = ReusableLayer("https://…/publisher/name/1", trainable=True)
    model = keras.Sequential([keras.Input((8, 8, 1)), layer, keras.layers.Dense(5)])

The rules are those of tensorflow/hub, docs/reusable_saved_models.md and tensorflow_hub/keras_layer.py; where Keras 3
has a rule of its own (tracking of variables, safe mode), that one is kept. `docs/consume.md` is for its users.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras.src.saving import serialization_lib  # only this tells whether safe mode holds; Keras' TFSMLayer asks it too

from piecehub.consume import loading
from piecehub.consume.loaded_function import Choice, LoadedFunction, input_dtype, loaded_function
from piecehub.consume.shared_weights import SharedVariable, bind_regularization, share, unique, untrained
from piecehub.errors import ConsumerError
from piecehub.facts import piece_manifest
from piecehub.facts.piece_manifest import PieceManifest


@dataclass(frozen=True)
class _Untrained:
    """Untrainable variables by the `id` of the shared ones, made when they are needed; Keras does not look into it."""

    made: dict[int, keras.Variable]

    def of(self, variable: Any) -> keras.Variable:
        """The one that stands for a shared variable."""
        if id(variable) not in self.made:
            self.made[id(variable)] = untrained(variable)
        return self.made[id(variable)]


class _OwnConfig(dict[str, Any]):
    """A config that never left this process, so nobody else wrote it: `clone_model` needs no unsafe mode."""


@keras.saving.register_keras_serializable(package="piecehub")
class ReusableLayer(keras.layers.Layer):
    """Calls a Reusable SavedModel with its pretrained weights, and fine-tunes them if `trainable`.

    Not trainable by default (G20). As with `hub.KerasLayer`, the piece runs in training mode (dropout on, BatchNorm by
    the batch) only if the layer is trainable *and* called for training; `layer.trainable` may be set later. Its weight
    regularization counts while it is trainable, once, however often the layer is applied.

    Inputs are cast to the dtypes that the SavedModel was traced for, where that keeps their meaning; a global
    mixed-precision policy does not change what the SavedModel computes. XLA is declared (`supports_jit`) only where the
    piece's manifest does.

    Args:
        handle: a URL, a path, `publisher/name/version` of the store in `.piecehub`, or an object that is loaded
            already. `.keras` files need one of the first three: they name the handle, and hold the weights.
        trainable: whether the piece's `trainable_variables` are trained.
        arguments: more keyword arguments of the piece, JSON values; a number becomes a tensor where a tensor is wanted.
        output_key: which output to give, where the outputs are a dict.
        piece: the name of a sub-object to call in place of the whole.
        signature: the name of a signature to call, for inference only (G24); needs `output_key` or the next.
        signature_outputs_as_dict: whether all outputs of the signature are wanted.
        output_shape: of the chosen outputs, each without its first axis, where the traces leave sizes open.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        StoreError: if nothing can be loaded from the handle.
        NotReusableError: if the object is not callable and no signature is named.
        ConsumerError: if it cannot do what is asked.

    Example:
        >>> layer = piecehub.ReusableLayer("my_piece", trainable=True)
        >>> model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(2)])
        >>> len(layer.trainable_weights), model.output_shape
        (2, (None, 2))
    """

    def __init__(
        self,
        handle: Any,
        trainable: bool = False,
        arguments: Mapping[str, Any] | None = None,
        output_key: str | None = None,
        piece: str | None = None,
        signature: str | None = None,
        signature_outputs_as_dict: bool = False,
        output_shape: Any = None,
        **kwargs: Any,
    ) -> None:
        _check_not_of_loading(kwargs)
        loaded = loading.load_handle(handle)
        if loaded.is_tf1:
            signature = signature or loading.TF1_NAME
            output_key = output_key if output_key or signature_outputs_as_dict else loading.TF1_NAME
        choice = Choice(dict(arguments or {}), output_key, piece, signature, signature_outputs_as_dict, output_shape)
        function = loaded_function(loaded, choice)
        if trainable:
            _check_trainable(function)
        # As a policy: a mere "int8" is the name of a quantization to Keras.
        kwargs.setdefault("dtype", keras.DTypePolicy(input_dtype(function)))
        super().__init__(trainable=trainable, autocast=False, **kwargs)
        self._handle = fspath(handle) if isinstance(handle, str | PathLike) else None
        # Keras tracks what it finds as an attribute, and saves it again with the model. The functions lie in a
        # dataclass, where it does not look; the root is for it: it keeps the variables alive, and has the tables for
        # an export.
        self._function = function
        self._root = loaded.root
        manifest = piece_manifest.read(Path(loaded.folder)) if loaded.folder else None
        self.supports_jit = bool(manifest and manifest.supports_jit)
        self._add_weights(manifest)
        self.built = True

    def _add_weights(self, manifest: PieceManifest | None) -> None:
        """Takes over the loaded variables; setting attributes is how Keras learns of them."""
        owner = self._function.owner
        # A signature cannot be trained, so nothing of it may look trainable to an optimizer.
        tuned = [] if self._function.is_signature else unique(getattr(owner, "trainable_variables", ()))
        fixed = unique(getattr(owner, "variables", ()), tuned)
        paths = zip(getattr(self._root, "variables", ()), manifest.variables if manifest else (), strict=False)
        names = {id(variable): path for variable, path in paths}
        with keras.name_scope(self.name):
            self._tuned = _track_as(True, share(tuned, names))
            self._fixed = _track_as(False, share(fixed, names))
        self._loaded_fixed = tuple(fixed)
        self._untrained = _Untrained({})
        bind_regularization(getattr(owner, "regularization_losses", ()), self._tuned, self)
        for variable in self._tuned:
            variable.tuned_by.add(self)
        for variable in self._tuned + self._fixed:
            variable.follow_layers()

    @property
    def resolved_object(self) -> Any:
        """The loaded object, such as to save it again after fine-tuning (G31)."""
        return self._root

    @property
    def trainable(self) -> bool:
        """Whether the piece is trained; set it before the model is compiled."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if value and self._function.is_signature:
            raise _not_trainable(self._function)
        self._trainable = bool(value)
        for variable in self._tuned:
            variable.follow_layers()

    @property
    def variables(self) -> list[keras.Variable]:
        """All of the piece's variables, trainable where this layer trains them."""
        return self._as_this_layer_sees(super().variables)

    @property
    def weights(self) -> list[keras.Variable]:
        """The same."""
        return self._as_this_layer_sees(super().weights)

    def _as_this_layer_sees(self, variables: Sequence[Any]) -> list[keras.Variable]:
        """An untrainable one in place of each that only another layer of the loaded object trains."""
        own = {id(variable) for variable in self._tuned} if self.trainable else set()
        return [self._untrained.of(v) if v.trainable and id(v) not in own else v for v in variables]

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Applies the layer; Python values, such as a list of sentences, become tensors first."""
        if not any(isinstance(leaf, keras.KerasTensor) for leaf in tf.nest.flatten(inputs)):
            inputs = self._function.fit(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any, training: Any = None) -> Any:
        """The piece's outputs; `training` is a Python bool or a boolean tensor."""
        inputs = self._function.fit(inputs)

        def forward(mode: bool) -> Any:
            return self._function(inputs, training=mode, losses=self.trainable)

        wanted = training if self.trainable and self._function.takes_training else False
        if tf.is_tensor(wanted) and tf.get_static_value(wanted) is None:
            outputs = tf.cond(wanted, lambda: forward(True), lambda: forward(False))
        else:
            outputs = forward(bool(wanted))
        self._tell_new_state()
        if self.trainable:
            outputs, losses = self._function.split_losses(outputs)
            if losses is not None:
                self.add_loss(losses)
        return self._function.choose(outputs)

    def _tell_new_state(self) -> None:
        """In a stateless scope Keras must hear what the loaded function assigned, or it puts back the old values."""
        for variable, loaded in zip(self._fixed, self._loaded_fixed, strict=True):
            if variable.value is not loaded:
                variable.assign(tf.convert_to_tensor(loaded))

    def compute_output_spec(self, inputs: Any, training: Any = None) -> Any:
        """Shapes and dtypes of the outputs for symbolic inputs, ragged ones too, which Keras' own way makes dense."""
        specs = tf.nest.map_structure(_type_spec, inputs)
        # As Keras traces: AutoGraph would rewrite this layer's own code, from whatever its files hold by now.
        trace = tf.function(lambda tensors: self.call(tensors, training=training), autograph=False)
        with keras.StatelessScope():  # a loss of symbolic inputs belongs to nobody
            outputs = trace.get_concrete_function(specs).structured_outputs
        return tf.nest.map_structure(self._keras_tensor, outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shapes of the outputs for inputs of these shapes, each with its first axis: as the traces have them.

        Args:
            input_shape: one shape, or a list or dict of them, as the piece takes its inputs.
        """
        specs = self._function.specs_of(input_shape)
        return tf.nest.map_structure(lambda output: tuple(output.shape), self.compute_output_spec(specs))

    def _keras_tensor(self, output: Any) -> keras.KerasTensor:
        spec = tf.type_spec_from_value(output) if tf.is_tensor(output) else output
        if spec.shape.rank is None:
            raise ConsumerError(
                f"Expected outputs of known rank. Received: an output of '{self.name}' without a shape; "
                "call the layer in a subclassed model, and reshape there."
            )
        shape = tuple(spec.shape)
        if isinstance(spec, tf.RaggedTensorSpec):
            rank, splits = spec.ragged_rank, spec.row_splits_dtype.name  # pyright: ignore[reportAttributeAccessIssue]
            return keras.KerasTensor(shape, spec.dtype.name, ragged=True, ragged_rank=rank, row_splits_dtype=splits)
        return keras.KerasTensor(shape, spec.dtype.name, sparse=isinstance(spec, tf.SparseTensorSpec))

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again from its handle, in JSON values.

        Raises:
            ConsumerError: if it was made from a loaded object, or has an argument that is no JSON value.
        """
        if self._handle is None:
            raise ConsumerError(
                f"Expected a URL or path as handle, to write the config of '{self.name}'. Received: an object that is "
                "loaded already; make the layer from the handle, or save weights only."
            )
        return _OwnConfig(super().get_config() | {"handle": self._handle} | _json_values(self._function.choice))

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None, safe_mode: bool | None = None
    ) -> "ReusableLayer":
        """Loads the handle anew, which runs whatever graph lies there: refused in safe mode, as Keras' TFSMLayer is.

        Raises:
            ConsumerError: in safe mode.
        """
        safe = serialization_lib.in_safe_mode() if safe_mode is None else safe_mode
        if safe is not False and not isinstance(config, _OwnConfig):
            raise ConsumerError(
                f"Expected safe_mode=False, to load the SavedModel '{config.get('handle')}', which can run any graph. "
                "Received: safe mode; pass safe_mode=False, or call keras.config.enable_unsafe_deserialization(), "
                "if you trust that handle."
            )
        return cls(**config)


def _check_not_of_loading(arguments: Mapping[str, Any]) -> None:
    """What `hub.KerasLayer` hands on to `hub.load`, a consumer hands to it."""
    for name, option in (("tags", "tags"), ("load_options", "options")):
        if name in arguments:
            raise ConsumerError(
                f"Expected a handle without `{name}`. Received: {name}={arguments[name]!r}; "
                f"pass what hub.load(handle, {option}=…) gives as the handle."
            )


def _track_as(trainable: bool, variables: list[SharedVariable]) -> list[SharedVariable]:
    """Marks them for Keras, which keeps the order of saved weights by what is trainable when it learns of them."""
    for variable in variables:
        variable.trainable = trainable
    return variables


def _check_trainable(function: LoadedFunction) -> None:
    if function.is_signature:
        raise _not_trainable(function)
    if not getattr(function.owner, "trainable_variables", ()):
        raise ConsumerError(
            "Expected trainable variables, to fine-tune the SavedModel. Received: none; its publisher offers no "
            "fine-tuning, so leave out trainable=True."
        )


def _not_trainable(function: LoadedFunction) -> ConsumerError:
    return ConsumerError(
        f"Expected trainable=False for the signature '{function.choice.signature}'. Received: True; only a Reusable "
        "SavedModel can be fine-tuned, not a signature or a module in TF1 Hub format."
    )


def _json_values(choice: Choice) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(asdict(choice)))
    except TypeError as error:
        raise ConsumerError(
            f"Expected JSON values as `arguments`, to write the layer's config. Received: {error}; use Python numbers."
        ) from error


def _type_spec(tensor: Any) -> Any:
    """The spec of a symbolic input; the others stay."""
    if not isinstance(tensor, keras.KerasTensor):
        return tensor
    if tensor.ragged:
        return tf.RaggedTensorSpec(
            tensor.shape, tensor.dtype, tensor.ragged_rank or 1, tf.as_dtype(tensor.row_splits_dtype or "int64")
        )
    return (tf.SparseTensorSpec if tensor.sparse else tf.TensorSpec)(tensor.shape, tensor.dtype)
