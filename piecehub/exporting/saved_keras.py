"""A Keras model that lies in a file, as it was saved: loaded to be exported, whole or up to a layer.

    .keras          of Keras 3; of Keras 2 where Keras 3 reads it
    .h5, .hdf5      the same
    a SavedModel    of Keras 2, which wrote `keras_metadata.pb` into it; by tf_keras

A file may hold Python: the byte code of a `Lambda` layer. Keras refuses to run that of a `.keras` file and of HDF5
(`safe_mode`); the loader of SavedModels has no such mode, so they are read only where the maker is trusted.
"""

import importlib
import importlib.util
import re
import shlex
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from piecehub.errors import NotReusableError, PieceError, RecipeError, first_line, no_space
from piecehub.extraction.roads import cut_piece, no_such_layer
from piecehub.facts import piece_manifest
from piecehub.facts.keras_metadata import FILE as KERAS_METADATA
from piecehub.facts.pointers import refuse_pointers_below
from piecehub.store.foreign_files import KERAS, kind_of, refuse_folder_around
from piecehub.training.recipe_modules import recipe_code

_EXPECTED = "Expected a Keras model: a .keras or .h5 file, or a SavedModel that Keras saved."
_ZIP, _HDF = ".keras", (".h5", ".hdf5")
# What Keras and a model's own code raise while a model is built from a file.
_REFUSALS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NotImplementedError, OSError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip

# The operations of functional models of Keras 2, as its HDF5 files call them.
_OF_KERAS_2 = ("TFOpLambda", "SlicingOpLambda")
# Whoever reads a file with a `ReusableLayer` in it must have loaded its class.
_OWN_LAYER = "piecehub.consume.layer"
# What Keras does not find, as it says so.
_UNKNOWN = re.compile(r"Could not locate ((?:class|function) '[^']+')")


def load_keras(path: Path, *, code: Path | None = None, trust: bool = False) -> Any:
    """The Keras 3 or tf_keras model that lies at `path`, without its optimizer.

    Args:
        path: of the file or folder.
        code: a Python file that defines or registers the classes and functions of the model's own.
        trust: whether Python that the model holds may run.

    Raises:
        RecipeError: if there is no such model, or `code` cannot be loaded.
        NotReusableError: if Keras cannot build it.
    """
    own = own_objects(code) if code else {}
    if path.is_dir():
        return _of_saved_model(path, own, trust)
    if not path.is_file():
        raise RecipeError(f"{_EXPECTED} Received: '{path}', which does not exist; name the file.")
    found = kind_of(path)
    if found != KERAS:
        what, remedy = found or ("which is none of these", "save it with `model.save('model.keras')`")
        raise RecipeError(f"{_EXPECTED} Received: '{path}', {what}; {remedy.format(shlex.quote(str(path)))}.")
    endings = (_ZIP,) if zipfile.is_zipfile(path) else _HDF
    if path.suffix not in endings:
        raise RecipeError(
            f"Expected a name that ends in {endings[0]}. Received: '{path}'; Keras goes by it: rename it."
        )
    importlib.import_module(_OWN_LAYER)
    try:
        return keras.models.load_model(path, custom_objects=own, compile=False, safe_mode=not trust)
    except _REFUSALS as error:
        if trust and path.suffix in _HDF and (older := _by_tf_keras(path, own)) is not None:
            return older
        raise _refusal(path, error) from error


def own_objects(code: Path) -> dict[str, Any]:
    """The classes and functions that a Python file defines, by name; what it registers with Keras is registered.

    Files beside it can be imported as if it were the program; no name of theirs stands in another package's place.

    Raises:
        RecipeError: if there is no such file, or it raises.
    """
    if code.suffix != ".py" or not code.is_file():
        raise RecipeError(f"Expected a Python file with the model's own classes. Received: '{code}'; name one.")
    name = f"piecehub_code_{code.stem}"
    spec = importlib.util.spec_from_file_location(name, code.resolve())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.append(str(code.resolve().parent))
    with recipe_code(f"'{code}' to load", RecipeError, code.parent):
        spec.loader.exec_module(module)
    return {key: value for key, value in vars(module).items() if getattr(value, "__module__", "") == name}


def cut(model: Any, layers: Sequence[str]) -> Any:
    """The model up to the output of those layers, or itself if none is named.

    Raises:
        PieceError: if it has no such layer, or nothing leads from its inputs to it.
    """
    if not layers:
        return model
    return cut_piece(model, *layers) if isinstance(model, keras.Model) else _cut_tf_keras(model, layers)


def _cut_tf_keras(model: Any, layers: Sequence[str]) -> Any:
    import tf_keras

    names: list[str] = [layer.name for layer in model.layers]
    for name in layers:
        if name not in names:
            raise PieceError(no_such_layer(model.name, names, name))
    try:
        outputs = {name: model.get_layer(name).output for name in layers}
        return tf_keras.Model(model.input, outputs if len(outputs) > 1 else outputs[layers[0]], name="piece")
    except (AttributeError, ValueError) as error:
        raise PieceError(
            f"Expected a layer whose output follows from the inputs of '{model.name}'. Received: '{layers[0]}' "
            f"({first_line(error)}); choose one of its own layers."
        ) from error


def _of_saved_model(path: Path, own: Mapping[str, Any], trust: bool) -> Any:
    refuse_folder_around(path)
    refuse_pointers_below(path, "the files of a model")
    if not (path / "saved_model.pb").is_file():
        raise RecipeError(f"{_EXPECTED} Received: '{path}', a folder without one; name the model's file.")
    if piece_manifest.read(path) is not None:
        raise RecipeError(
            f"{_EXPECTED} Received: '{path}', which is exported already; `piecehub page "
            f"{shlex.quote(str(path))}` and `piecehub publish` come next, or `piecehub.reexport` after fine-tuning."
        )
    if not (path / KERAS_METADATA).is_file():
        raise NotReusableError(
            f"{_EXPECTED} Received: '{path}', a SavedModel without '{KERAS_METADATA}', as `model.export()` and "
            "`tf.saved_model.save` write it: no Keras model can be made of it; export the .keras file that it comes "
            f"from, or see by `piecehub check {shlex.quote(str(path))}` whether it can be shared as it is."
        )
    if not trust:
        raise RecipeError(
            f"Expected --trust for a SavedModel that Keras 2 saved, since its loader runs the Python that it holds. "
            f"Received: '{path}' without it; pass --trust if you trust who made it."
        )
    import tf_keras

    try:
        return tf_keras.models.load_model(str(path), custom_objects=dict(own), compile=False)
    except _REFUSALS as error:
        raise _refusal(path, error) from error


def _by_tf_keras(path: Path, own: Mapping[str, Any]) -> Any:
    """The model of an HDF5 file as Keras 2 read it, whose functional models hold what Keras 3 knows nothing of."""
    import tf_keras

    try:
        return tf_keras.models.load_model(str(path), custom_objects=dict(own), compile=False)
    except _REFUSALS:
        return None


def _refusal(path: Path, error: Exception) -> Exception:
    """Why Keras did not build the model, with what to do: by what its message tells of it."""
    if full := no_space(error):
        return full
    said = " ".join(str(error).split())
    if "safe_mode=False, to load the SavedModel" in said:
        why, remedy = (
            "it holds a published SavedModel, which can run any graph",
            "pass --trust if you trust who made it",
        )
    elif "safe_mode" in said or "unsafe deserialization" in said:
        why, remedy = "it holds Python code, such as a Lambda layer", "pass --trust if you trust who made it"
    elif "No model config" in said:
        why, remedy = "weights without a model", "build the model, load them into it, and save it as .keras"
    elif any(words in said for words in _OF_KERAS_2):
        why, remedy = (
            "Keras 2 saved it, with operations that Keras 3 does not know",
            "pass --trust to read it by tf_keras",
        )
    elif any(words in said for words in ("custom object", "Could not locate", "Unknown layer", "Unknown object")):
        unknown = _UNKNOWN.search(said)
        why = f"it holds {unknown[1]}, which Keras does not know" if unknown else first_line(error)
        remedy = "name the Python file that defines it by --code"
    else:
        why = first_line(error)
        remedy = "load it in the environment that saved it, and save it as .keras from there"
    return NotReusableError(f"Expected a model that Keras can build from '{path}'. Received: {why[:300]}; {remedy}.")
