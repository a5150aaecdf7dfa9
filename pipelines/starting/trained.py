"""Looks at a model that was trained before, of Keras or a SavedModel, and whether it takes the examples of a task."""

import ast
import json
import math
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, cast

import keras

from piecehub.conformance.glance import Glance
from piecehub.errors import NotReusableError, RecipeError
from piecehub.extraction.roads import cut_piece
from piecehub.tensors.specs import is_fact
from piecehub.training.building import model_input, model_output, spec_facts
from pipelines.starting.looked import Feature, Looked, Trained, template
from pipelines.starting.networks import frozen_layers, last_features, takes_bytes

# By its name in Keras.
_REUSABLE_LAYER = "piecehub>ReusableLayer"
_TEMPLATES = {"pictures": "trained_pictures", "texts": "trained_texts", "columns": "trained_columns"}
# Of pictures, where the model says nothing of their size.
_OPEN_SIDE = 224


def look_at_trained(model: Any, task: Looked, layer: str, code: Path | None, *, trust: bool = False) -> Looked:
    """The recipe of a task for a model that is there already.

    Args:
        model: of Keras 3, with its weights.
        task: what was found in the examples of the task.
        layer: up to which the model is shared; empty to choose.
        code: the file that defines the model's own classes, if it has any.
        trust: whether Python that the model holds may run, in the recipe too.

    Raises:
        PieceError: if it has no such layer.
        RecipeError: if the model does not take such examples, or is none of Keras 3.
    """
    if not isinstance(model, keras.Model):
        raise RecipeError(
            f"Expected a model of Keras 3. Received: one of {type(model).__module__.partition('.')[0]}; export it by "
            "`piecehub export`, and name the folder that this writes by --from savedmodel."
        )
    if any(
        keras.saving.get_registered_name(type(layer)) == _REUSABLE_LAYER for layer in cast(Any, model)._flatten_layers()
    ):
        raise RecipeError(
            f"Expected a model whose layers draw their own weights, for the controls. Received: '{model.name}', which "
            "holds a published piece; share that by `piecehub.reexport`, or export the model by `piecehub export`, and "
            "name the folder that this writes by --from savedmodel."
        )
    if code:
        _refuse_neighbours(code)
    model = _with_named_inputs(model)
    chosen = layer or last_features(model)
    piece = cut_piece(model, chosen) if chosen else model
    frozen = frozen_layers(piece)

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
    trained = Trained(chosen, code is not None, write, trust=trust, unfreeze=bool(frozen))
    output = spec_facts(model_output(piece)) if getattr(piece, "inputs", None) else None
    looked = _looked(model, task, trained, cut, what, output)
    if not frozen:
        return looked
    more = f" and {len(frozen) - 3} more" if len(frozen) > 3 else ""
    told = f"Frozen in it, and trained where the piece is fine-tuned: {', '.join(frozen[:3])}{more}: piece.frozen."
    return replace(looked, network=(*looked.network, told))


def _with_named_inputs(model: keras.Model) -> keras.Model:
    """The same layers, called with a dict, where the model takes a list: examples are features by their names."""
    inputs = model_input(model) if getattr(model, "inputs", None) else None
    if not isinstance(inputs, list):
        return model
    named = {tensor.name: tensor for tensor in cast(list[Any], inputs)}
    return keras.Model(named, model_output(model), name=model.name)


def _refuse_neighbours(code: Path) -> None:
    """Refuses a file that imports what lies beside it, for it comes along alone."""
    root = code.resolve().parent
    names: list[str] = []
    for node in ast.walk(ast.parse(code.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    elsewhere = [place for place in sys.path if Path(place).resolve() != root]
    for name in dict.fromkeys(name.partition(".")[0] for name in names):
        beside = (root / f"{name}.py").is_file() or (root / name).is_dir()
        if beside and name not in sys.stdlib_module_names and not PathFinder.find_spec(name, elsewhere):
            raise RecipeError(
                f"Expected all code of the model's own classes in the one file of --code. Received: '{code}', which "
                f"imports '{name}' beside it; put both into one file, or export the model by `piecehub export --code`, "
                "and name the folder that this writes by --from savedmodel."
            )


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
            "no evidence to give. If `piecehub check` passes it, share it by `piecehub publish`; else export it again."
        )
    expression = _inputs_expression(seen.interface["input"])
    inputs = eval(expression, {"keras": keras})
    stand_in = keras.Model(inputs, inputs, name="saved_model")

    def write(folder: Path) -> None:
        shutil.copytree(saved_model, folder / "saved_model")

    told = "It is shared as it is: piece.road."
    trained = Trained("", False, write, expression)
    return _looked(stand_in, task, trained, told, "A Reusable SavedModel.", seen.interface["output"])


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


def _looked(model: Any, task: Looked, trained: Trained, cut: str, what: str, output: Any) -> Looked:
    """The recipe of a task for a model with these inputs; `output` are the facts of what the piece gives."""
    network = _TEMPLATES[task.model]
    constants, note = {"pictures": _pictures, "texts": _texts, "columns": _columns}[task.model](model, task)
    _refuse_maps(output)
    unseen = "Nothing is trained: whether it has seen the task's examples cannot be checked."
    # TensorFlow Hub's API for feature vectors takes pictures of three channels in [0, 1], and gives a vector of each.
    others = constants.get("LARGEST", 1.0) > 1 or _is_grey(constants) or not _is_vector(output)
    return replace(
        task,
        model=network,
        hub_tasks=("image-others",) if task.model == "pictures" and others else task.hub_tasks,
        constants={**task.constants, **_data(task, constants), network: constants},
        network=(note, cut, unseen),
        description=f"{what} {_takes(task, constants)}",
        arguments={},
        trained=trained,
    )


def _data(task: Looked, constants: dict[str, Any]) -> dict[str, Any]:
    """The constants of `data.py` that the model changes: large pictures are not kept smaller than it takes them."""
    if task.model != "pictures":
        return {}
    height, width, _ = constants["HEIGHT, WIDTH, CHANNELS"]
    return {task.data: {**task.constants.get(task.data, {}), "KEPT": max(template(task.data).KEPT, height, width)}}


def _refuse_maps(output: Any) -> None:
    """Refuses a piece of one output that no head can read, which a run would say at its end."""
    shape = output.get("shape") if is_fact(output) else None
    if shape and len(shape) != 2:
        raise RecipeError(
            f"Expected a piece that gives a head its features, [batch, width]. Received: {output['dtype']} "
            f"[batch, {', '.join(str(side or '?') for side in shape[1:])}]; name a layer behind a pooling or a Flatten "
            "by --layer, or export a model that ends with one."
        )


def _is_vector(output: Any) -> bool:
    return is_fact(output) and output["dtype"] == "float32" and len(output.get("shape") or ()) == 2


def _is_grey(constants: dict[str, Any]) -> bool:
    return constants.get("HEIGHT, WIDTH, CHANNELS", (0, 0, 3))[2] == 1


def _takes(task: Looked, constants: dict[str, Any]) -> str:
    if task.model == "pictures":
        height, width, _ = constants["HEIGHT, WIDTH, CHANNELS"]
        return f"It takes float32 images of {height} x {width} pixels with values in [0, {constants['LARGEST']:g}]."
    return "It takes texts as they are." if task.model == "texts" else "It takes the columns of a table."


def _inputs(model: keras.Model) -> dict[str, Any]:
    """The model's inputs by name."""
    found = getattr(model, "inputs", None)
    if not found:
        raise RecipeError(
            f"Expected a model with an Input. Received: '{model.name}', which was built without; add one, or export it "
            "by `piecehub export`, and name the folder that this writes by --from savedmodel."
        )
    named = model_input(model)
    return dict(named) if isinstance(named, Mapping) else {tensor.name: tensor for tensor in found}


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
    height, width, channels = (*shape, 1) if len(shape) == 2 else shape if len(shape) == 3 else (0, 0, 0)
    if channels not in (1, 3) or not str(tensor.dtype).startswith("float"):
        raise RecipeError(
            "Expected a model that takes pictures, float [batch, height, width, 1 or 3] or [batch, height, width]. "
            f"Received: {tensor.dtype} {tensor.shape}; name another task, or write its recipe by hand."
        )
    open_side = min(_OPEN_SIDE, task.side) if task.side else _OPEN_SIDE
    height, width = (side or open_side for side in (height, width))
    largest = 255.0 if takes_bytes(model) else 1.0
    why = "for it begins by scaling them" if largest > 1 else "as most do: change LARGEST if it was trained otherwise"
    note = f"The model '{model.name}' takes {height} x {width} pixels with values from 0 to {largest:g}, {why}."
    constants = {"HEIGHT, WIDTH, CHANNELS": (height, width, channels), "LARGEST": largest}
    return constants | {"SHAPE": (height, width, *shape[2:])}, note


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
    """By their names, where each input is called like a column; else all numbers in one input."""
    inputs, columns = _inputs(model), task.columns or {}
    by_name = {name: tuple(tensor.shape[1:]) for name, tensor in inputs.items()}
    features = {feature.name: feature for feature in task.features}
    called = [one for key in ("numbers", "words") for one in columns[key]]
    features |= {one["name"]: features[one["feature"]] for one in called}
    if set(by_name) <= set(features):
        for name, tensor in inputs.items():
            _refuse_column(model, name, tensor, features[name])
        shapes = {name: _laid_out(max(1, features[name].size), shape) for name, shape in by_name.items()}
        return {"INPUTS": shapes}, f"The model '{model.name}' takes the columns {', '.join(by_name)}, by their names."
    numbers = sum(one["size"] for one in columns["numbers"])
    (only, *others) = inputs.values()
    shape = None if others or columns["words"] else _laid_out(numbers, tuple(only.shape[1:]))
    if shape is not None and str(only.dtype) != "string":
        rows = f", row by row as {' x '.join(map(str, shape))}" if len(shape) > 1 else ""
        note = f"The model '{model.name}' takes {numbers} numbers: those of the columns in order (columns.json){rows}."
        return {"SHAPE": shape}, note
    names = [one["name"] for one in called]
    given = ", ".join(f"{name} {list(shape)}" for name, shape in by_name.items())
    many = f"{len(columns['words'])} column{'s' if len(columns['words']) > 1 else ''} of words"
    words = f" and {many}" if columns["words"] else ""
    raise RecipeError(
        "Expected a model with inputs that are called like columns, or with one for all numbers, where there are no "
        f"words. Received: '{model.name}' with {given}, and {numbers} numbers{words} ({', '.join(names[:12])}"
        f"{', …' if len(names) > 12 else ''}) beside the label '{columns['label']}'; name another label "
        "by --label, rename the columns, or write its recipe by hand."
    )


def _refuse_column(model: keras.Model, name: str, tensor: Any, feature: Feature) -> None:
    """Refuses what an input that is called like a column does not take of it."""
    what = "words" if feature.type == "BYTES" else "1 number" if feature.size < 2 else f"{feature.size} numbers"
    shape = tuple(tensor.shape[1:])
    if (str(tensor.dtype) == "string") != (feature.type == "BYTES") or _laid_out(max(1, feature.size), shape) is None:
        raise RecipeError(
            f"Expected an input of '{model.name}' that takes what the column of its name holds. Received: "
            f"'{name}', {tensor.dtype} {list(shape)}, and a column of {what}; name other examples as the task."
        )


def _laid_out(numbers: int, shape: tuple[int | None, ...]) -> tuple[int, ...] | None:
    """The shape of an input that so many numbers fill, with a size for its open axis; None if they do not."""
    fixed = math.prod(side for side in shape if side is not None)
    if shape.count(None) > 1 or not fixed or numbers % fixed:
        return None
    filled = tuple(numbers // fixed if side is None else side for side in shape)
    return filled if math.prod(filled) == numbers else None
