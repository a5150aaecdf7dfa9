"""Looks at a model that was trained before, of Keras or a SavedModel, and whether it takes the examples of a task."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, cast

import keras

from piecehub.conformance.glance import Glance
from piecehub.errors import NotReusableError, RecipeError
from piecehub.tensors.specs import is_fact
from pipelines.starting.looked import Looked, Trained

_TEMPLATES = {"pictures": "trained_pictures", "texts": "trained_texts", "columns": "trained_columns"}
# Of pictures, where the model says nothing of their size.
_OPEN_SIDE = 224
# A model that begins by dividing by as much takes values from 0 to 255.
_BYTES_SCALE = 0.02


def look_at_trained(model: Any, task: Looked, layer: str, code: Path | None) -> Looked:
    """The recipe of a task for a model that is there already.

    Args:
        model: of Keras 3, with its weights.
        task: what was found in the examples of the task.
        layer: up to which the model is shared; empty to choose.
        code: the file that defines the model's own classes, if it has any.

    Raises:
        RecipeError: if the model does not take such examples, or is none of Keras 3.
    """
    if not isinstance(model, keras.Model):
        raise RecipeError(
            f"Expected a model of Keras 3. Received: one of {type(model).__module__.partition('.')[0]}; share it by "
            "`piecehub export` and `piecehub evaluate`."
        )
    chosen = layer or _last_features(model)

    def write(folder: Path) -> None:
        model.save(folder / "model.keras")
        if code:
            shutil.copyfile(code, folder / "own.py")

    if chosen:
        how = "as told" if layer else "the last one before its head"
        cut = f"It is shared up to the layer '{chosen}' ({how}): piece.layer."
    else:
        cut = "It is shared as a whole: piece.road."
    part = f", up to its layer {chosen}" if chosen else ""
    what = f"The Keras model '{model.name}'{part}."
    return _looked(model, task, Trained(chosen, code is not None, write), cut, what)


def look_at_saved_model(saved_model: Path, seen: Glance, task: Looked) -> Looked:
    """The recipe of a task for a Reusable SavedModel, which is shared as it is.

    Args:
        saved_model: its folder.
        seen: what a glance at it saw.
        task: what was found in the examples of the task.

    Raises:
        NotReusableError: if it is no Reusable SavedModel; the first of what it lacks is told.
        RecipeError: if it does not take such examples, or nothing of it can be trained.
    """
    if seen.findings or not seen.interface:
        told = next((finding.sentence for finding in seen.findings), "It has no '__call__' with a trace.")
        raise NotReusableError(f"Expected a Reusable SavedModel. Received: '{saved_model.name}', which is none. {told}")
    if not seen.interface["trainable_variables"]:
        raise RecipeError(
            "Expected a SavedModel that can be fine-tuned, with 'trainable_variables'. Received: one without; it has "
            "no evidence to give, so share it by `piecehub publish`."
        )
    expression = _inputs_expression(seen.interface["input"])
    inputs = eval(expression, {"keras": keras})
    stand_in = keras.Model(inputs, inputs, name="saved_model")

    def write(folder: Path) -> None:
        shutil.copytree(saved_model, folder / "saved_model")

    told = "It is shared as it is: piece.road."
    return _looked(stand_in, task, Trained("", False, write, expression), told, "A Reusable SavedModel.")


def _inputs_expression(specs: Any) -> str:
    """What makes Keras' inputs of the specs of a SavedModel, a tensor's or a dict's of them, as Python."""
    several = isinstance(specs, Mapping) and not is_fact(specs)
    named = dict(cast(Mapping[str, Any], specs)) if several else {"": specs}
    if isinstance(specs, list) or any("ragged_rank" in spec or "sparse" in spec for spec in named.values()):
        raise RecipeError(
            f"Expected a SavedModel that takes a dense tensor, or a dict of such. Received: {json.dumps(specs)}; write "
            "its recipe by hand."
        )
    made = {
        name: f"keras.Input({tuple(spec['shape'][1:])}, dtype={json.dumps(spec['dtype'])}"
        + (f", name={json.dumps(name)})" if name else ")")
        for name, spec in named.items()
    }
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in made.items()) + "}" if several else made[""]


def _looked(model: Any, task: Looked, trained: Trained, cut: str, what: str) -> Looked:
    """The recipe of a task for a model with these inputs."""
    template = _TEMPLATES[task.model]
    constants, note = {"pictures": _pictures, "texts": _texts, "columns": _columns}[task.model](model, task)
    unseen = "Nothing is trained: whether it has seen the task's examples cannot be checked."
    bytes_wide = constants.get("LARGEST", 1.0) > 1
    return replace(
        task,
        model=template,
        # TensorFlow Hub's API for feature vectors asks for values in [0, 1].
        hub_tasks=("image-others",) if bytes_wide or _is_grey(constants) else task.hub_tasks,
        constants={**task.constants, template: constants},
        network=(note, cut, unseen),
        description=f"{what} {_takes(task, constants)}",
        arguments={},
        trained=trained,
    )


def _is_grey(constants: dict[str, Any]) -> bool:
    return constants.get("HEIGHT, WIDTH, CHANNELS", (0, 0, 3))[2] == 1


def _takes(task: Looked, constants: dict[str, Any]) -> str:
    if task.model == "pictures":
        height, width, _ = constants["HEIGHT, WIDTH, CHANNELS"]
        return f"It takes float32 images of {height} x {width} pixels with values in [0, {constants['LARGEST']:g}]."
    return "It takes texts as they are." if task.model == "texts" else "It takes the columns of a table."


def _inputs(model: keras.Model) -> dict[str, Any]:
    """The model's inputs by name."""
    found = cast(Any, model).inputs
    if not found:
        raise RecipeError(
            f"Expected a model with an Input. Received: '{model.name}', which was built without; add one."
        )
    return {tensor.name: tensor for tensor in found}


def _only(model: keras.Model, what: str) -> Any:
    inputs = _inputs(model)
    if len(inputs) != 1:
        raise RecipeError(
            f"Expected a model that takes {what}. Received: '{model.name}', with the inputs {', '.join(inputs)}; write "
            "its recipe by hand."
        )
    return next(iter(inputs.values()))


def _pictures(model: keras.Model, task: Looked) -> tuple[dict[str, Any], str]:
    tensor = _only(model, "pictures")
    shape = tuple(tensor.shape[1:])
    if len(shape) != 3 or shape[2] not in (1, 3) or not str(tensor.dtype).startswith("float"):
        raise RecipeError(
            f"Expected a model that takes pictures, float [batch, height, width, 1 or 3]. Received: {tensor.dtype} "
            f"{tensor.shape}; name another task, or write its recipe by hand."
        )
    height, width = (side or _OPEN_SIDE for side in shape[:2])
    largest = 255.0 if _divides(model) else 1.0
    why = "for it begins by scaling them" if largest > 1 else "as most do: change LARGEST if it was trained otherwise"
    note = f"The model '{model.name}' takes {height} x {width} pixels with values from 0 to {largest:g}, {why}."
    return {"HEIGHT, WIDTH, CHANNELS": (height, width, shape[2]), "LARGEST": largest}, note


def _divides(model: keras.Model) -> bool:
    """Whether one of its first layers makes small numbers of large ones."""
    for layer in cast(list[Any], model.layers)[:4]:
        if isinstance(layer, keras.layers.Rescaling) and median(_flat(layer.scale)) < _BYTES_SCALE:
            return True
        if isinstance(layer, keras.layers.Normalization) and layer.mean is not None:
            return median(_flat(keras.ops.convert_to_numpy(layer.mean))) > 2.0
    return False


def _flat(value: Any) -> list[float]:
    return [float(one) for one in value] if hasattr(value, "__len__") else [float(value)]


def _texts(model: keras.Model, task: Looked) -> tuple[dict[str, Any], str]:
    tensor = _only(model, "texts")
    shape = tuple(tensor.shape[1:])
    if str(tensor.dtype) != "string" or shape not in ((), (1,)):
        raise RecipeError(
            f"Expected a model that takes texts, string [batch] or [batch, 1]. Received: {tensor.dtype} "
            f"{tensor.shape}; put what makes numbers of words into the model, or write its recipe by hand."
        )
    return {"SHAPE": shape}, f"The model '{model.name}' takes texts as they are."


def _columns(model: keras.Model, task: Looked) -> tuple[dict[str, Any], str]:
    inputs, columns = _inputs(model), task.columns or {}
    features = {feature.name: max(1, feature.size) for feature in task.features}
    by_name = {name: tuple(tensor.shape[1:]) for name, tensor in inputs.items()}
    if set(by_name) <= set(features):
        return {"INPUTS": by_name}, f"The model '{model.name}' takes the columns {', '.join(by_name)}, by their names."
    numbers = sum(one["size"] for one in columns["numbers"])
    shapes = list(by_name.values())
    if shapes == [(numbers,)] and not columns["words"]:
        return {}, f"The model '{model.name}' takes {numbers} numbers: those of the columns in order (columns.json)."
    given = ", ".join(f"{name} {list(shape)}" for name, shape in by_name.items())
    raise RecipeError(
        f"Expected a model with an input for each column by its name ({', '.join(features)}), or one of {numbers} "
        f"numbers. Received: '{model.name}' with {given}; write its recipe by hand."
    )


def _last_features(model: keras.Model) -> str:
    """The layer before the head: the last one of `[batch, width]` before the last layer, but for dropout."""
    layers: list[Any] = list(model.layers)
    last = next((layer for layer in reversed(layers) if not isinstance(layer, keras.layers.Activation)), None)
    if not isinstance(last, keras.layers.Dense):
        return ""
    for layer in reversed(layers[: layers.index(last)]):
        shape = getattr(getattr(layer, "output", None), "shape", ())
        if len(shape) == 2 and not isinstance(layer, keras.layers.Dropout | keras.layers.InputLayer):
            return layer.name
    return ""
