"""A Keras 3 model through the Reusable SavedModel interface (tensorflow/hub, docs/reusable_saved_models.md).

Keras 3 has no exporter for it: what `model.export()` writes is not callable and has no `regularization_losses`, and
`hub.KerasLayer` rejects it. Here the root of the SavedModel is an object of our own:

    __call__(inputs, training=False)    traced for both values; the batch is undefined
    variables                           all state, in the order of `model.variables`: re-initialised controls are
                                        checkpoints in that order, and are assigned by position
    trainable_variables                 what a consumer may train
    regularization_losses               one function without arguments for each regularized trainable weight
    signatures: serving_default         the same numbers as obj(inputs, training=False)
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

from piecehub.content import content_digest, list_files, sha256_bytes
from piecehub.errors import NotReusableError
from piecehub.modeling import piece as pieces
from piecehub.modeling.fresh import run_fresh
from piecehub.modeling.weights import tf_variables
from piecehub.modeling.whole_folder import whole_folder

Forward = Callable[[Any, bool], Any]


@dataclass(frozen=True)
class ExportFacts:
    """What was exported, as plain JSON values.

    Attributes:
        digest: content digest of the SavedModel's folder.
        input: specs of the input in its structure, `{"shape": [null, …], "dtype": …}`.
        output: the same for the output.
        variables: their paths in the Keras model, in the order of `obj.variables`.
        trainable_variables: the paths of those that a consumer may train.
        regularization_losses: how many there are.
        size_bytes: of all files.
    """

    digest: str
    input: Any
    output: Any
    variables: list[str]
    trainable_variables: list[str]
    regularization_losses: int
    size_bytes: int


def export(model: keras.Model, folder: Path) -> ExportFacts:
    """Writes `model` to `folder` as a Reusable SavedModel; equal models give equal bytes in fresh processes.

    Raises:
        NotReusableError: if the model has no trainable weight, so nobody could fine-tune it.
    """
    if not model.trainable_variables:
        raise NotReusableError(
            f"Expected a piece with trainable weights. Received: '{model.name}', which has none; "
            "unfreeze it, or choose a later layer."
        )
    specs = input_specs(model)
    root = _root(model)
    for training in (False, True):
        root.__call__.get_concrete_function(specs, training=training)
    with whole_folder(folder) as whole:
        tf.saved_model.save(root, str(whole), signatures={"serving_default": _serving(root, specs)})
        _derive_uuid(whole / "fingerprint.pb")
    return _facts(model, root, folder)


def export_in_fresh_process(piece_folder: Path, recipe_folder: Path, destination: Path) -> ExportFacts:
    """Exports the piece that lies in `piece_folder` (see `export`), in a process of its own, so bytes are equal."""
    places = {"piece_folder": piece_folder, "recipe_folder": recipe_folder, "destination": destination}
    arguments = {key: str(path.resolve()) for key, path in places.items()}
    return ExportFacts(**run_fresh("piecehub.modeling.reusable:export_piece", arguments))


def export_piece(piece_folder: str, recipe_folder: str, destination: str) -> dict[str, Any]:
    """Rebuilds a piece and exports it: what the fresh process runs."""
    model = pieces.rebuild_piece(Path(piece_folder), Path(recipe_folder))
    return asdict(export(model, Path(destination)))


def input_specs(model: keras.Model) -> Any:
    """The TensorSpecs of the model's input: one, a list or a dict of them; the batch is undefined.

    Raises:
        NotReusableError: if inputs are nested deeper than the interface allows.
    """
    inputs = pieces.model_input(model)
    if isinstance(inputs, dict):
        return {name: _spec(tensor, name) for name, tensor in inputs.items()}
    if isinstance(inputs, list | tuple):
        return [_spec(tensor, f"input_{index}") for index, tensor in enumerate(inputs)]
    return _spec(inputs, "inputs")


def _spec(tensor: Any, name: str) -> tf.TensorSpec:
    if not isinstance(tensor, keras.KerasTensor):
        raise NotReusableError(
            "Expected one input, or a list or dict of inputs. Received: a deeper structure; flatten it."
        )
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype, name=name)


def _root(model: keras.Model) -> Any:
    """The object to save. The Keras model stays outside: attached, it would be saved too, with all its state."""
    forward = _forward(model)

    # Not tf.train.Checkpoint, which adds a variable of its own; not tf.Module, whose `variables` cannot be set.
    class Reusable(tf.__internal__.tracking.AutoTrackable):
        @tf.function
        def __call__(self, inputs: Any, training: bool = False) -> Any:
            return forward(inputs, training)

    root = Reusable()
    root.variables = tf_variables(model)
    root.trainable_variables = [variable.value for variable in model.trainable_variables]
    root.regularization_losses = [
        _regularization_loss(variable.regularizer, variable.value)
        for variable in model.trainable_variables
        if variable.regularizer is not None
    ]
    return root


def _forward(model: keras.Model) -> Forward:
    """The forward pass as a function of inputs and a Python bool.

    Through `stateless_call`, with every variable read once: recurrent layers would read theirs inside a while loop,
    which cannot be differentiated twice after loading (tensorflow#51535), and would advance their seeds at inference.
    """

    def forward(inputs: Any, training: bool) -> Any:
        trainable = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
        state = [tf.convert_to_tensor(v.value) for v in model.non_trainable_variables]
        outputs, new_state, *_ = model.stateless_call(trainable, state, inputs, training=training)
        if training:
            for variable, value in zip(model.non_trainable_variables, new_state, strict=True):
                variable.value.assign(value)
        return tf.nest.map_structure(_full_precision, outputs)

    return forward


def _full_precision(tensor: tf.Tensor) -> tf.Tensor:
    """Half-precision outputs as float32: a consumer cannot change the dtype of a loaded function."""
    return tf.cast(tensor, tf.float32) if tensor.dtype in (tf.float16, tf.bfloat16) else tensor


def _regularization_loss(regularizer: Any, variable: tf.Variable) -> Any:
    """A tf.function without arguments: a closure, since tf.function would turn default arguments into inputs."""

    def regularization_loss() -> tf.Tensor:
        return tf.reshape(tf.cast(regularizer(variable), tf.float32), [])

    return tf.function(regularization_loss, input_signature=[])


def _serving(root: Any, specs: Any) -> Any:
    """The serving signature: named inputs and outputs around `obj(inputs, training=False)`."""
    if isinstance(specs, dict):
        serve = tf.function(lambda **inputs: _named(root(inputs, training=False)))
        return serve.get_concrete_function(**specs)
    if isinstance(specs, list):
        serve = tf.function(lambda *inputs: _named(root(list(inputs), training=False)))
        return serve.get_concrete_function(*specs)
    serve = tf.function(lambda inputs: _named(root(inputs, training=False)))
    return serve.get_concrete_function(specs)


def _named(outputs: Any) -> dict[str, tf.Tensor]:
    if isinstance(outputs, dict):
        return outputs
    if isinstance(outputs, list | tuple):
        return {f"output_{index}": output for index, output in enumerate(outputs)}
    return {"outputs": outputs}


def _derive_uuid(path: Path) -> None:
    """Replaces the random uuid of `fingerprint.pb` by one derived from its other fields."""
    fingerprint: Any = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    fingerprint.ClearField("uuid")
    derived = sha256_bytes(fingerprint.SerializeToString(deterministic=True))
    fingerprint.uuid = str(int(derived[:16], 16))  # as TensorFlow writes it: 64 bits, in decimal
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def _facts(model: keras.Model, root: Any, folder: Path) -> ExportFacts:
    files = list_files(folder)
    return ExportFacts(
        digest=content_digest(files),
        input=pieces.spec_facts(pieces.model_input(model)),
        output=pieces.spec_facts(model.output),
        variables=[variable.path for variable in model.variables],
        trainable_variables=[variable.path for variable in model.trainable_variables],
        regularization_losses=len(root.regularization_losses),
        size_bytes=sum(file.size_bytes for file in files),
    )
