"""What a file or folder is that somebody took for a SavedModel, and what to do with it. Reads a few bytes and names."""

import os
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path

from piecehub.errors import RecipeError
from piecehub.facts.pointers import pointer

_SAVED_MODEL = "saved_model.pb"
KERAS = "a Keras model in one file", "export it: `piecehub export {} -o my_piece`"
_LITE = "a TensorFlow Lite model, which is made for inference alone", "check the SavedModel that it was converted from"
_TORCH = "a file of PyTorch", "only models of TensorFlow and Keras can be checked"
_WEIGHTS = "weights without a model", "build the model, load them into it, and export it with `piecehub.export`"
_ONNX = "an ONNX model", "only models of TensorFlow and Keras can be checked"
_ZIP = "a zip archive", "unpack it and name the folder with 'saved_model.pb', or pack that as .tar.gz"
_GRAPH = "the graph of a SavedModel", "name the folder around it"
_DEEPEST = 4
_MOST_FOLDERS = 1000


def told_as_foreign(path: Path) -> str:
    """The sentence that names a file or folder which is none; empty if there is nothing to say of it."""
    try:
        if path.is_dir():
            refuse_folder_around(path)
        elif path.is_file():
            refuse_foreign_file(path)
    except RecipeError as error:
        return error.sentence
    return ""


def refuse_foreign_file(path: Path) -> None:
    """Raises RecipeError if `path` is a file that is plainly another thing than an archive: what it is, what to do."""
    if found := kind_of(path):
        what, remedy = found
        raise RecipeError(
            f"Expected a SavedModel: a folder, or an archive of one. Received: '{path}', {what}; "
            f"{remedy.format(shlex.quote(str(path)))}."
        )


def refuse_folder_around(folder: Path) -> None:
    """Raises RecipeError if `folder` holds no SavedModel itself, but one below, or a model in one file."""
    if (folder / _SAVED_MODEL).exists() or (folder / _SAVED_MODEL).is_symlink():
        return
    models: list[Path] = []
    files: list[Path] = []
    for place, names in _below(folder):
        if _SAVED_MODEL in names:
            models.append(place)
        files += [place / name for name in names if name.endswith((".keras", ".h5", ".tflite"))]
    if models:
        newest = max(models, key=lambda model: [(len(part), part) for part in model.parts])
        several = f", the newest of {len(models)} in it" if len(models) > 1 else ""
        raise RecipeError(
            f"Expected a SavedModel, a folder with '{_SAVED_MODEL}'. Received: '{folder}', which is around one; "
            f"name '{newest}'{several}."
        )
    for file in sorted(files):
        refuse_foreign_file(file)


def _below(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folders inside, a few levels deep, with the names of their files; links are not followed."""
    for count, (place, folders, names) in enumerate(os.walk(folder)):
        if count >= _MOST_FOLDERS:
            return
        if len(Path(place).relative_to(folder).parts) >= _DEEPEST:
            folders.clear()
        folders.sort()
        yield Path(place), names


def kind_of(path: Path) -> tuple[str, str] | None:
    """What a file is by its first bytes, or else its name, with what to do; None if it may be an archive."""
    if found := pointer(path):
        return found
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"PK"):
        return _kind_of_zip(path)
    if head.startswith(b"\x89HDF"):
        return _WEIGHTS if ".weights." in path.name else KERAS
    if head[4:8] == b"TFL3":
        return _LITE
    if head.startswith(b"\x1f\x8b"):
        return None
    by_name = {".onnx": _ONNX, ".index": _WEIGHTS, ".safetensors": _WEIGHTS, ".pt": _TORCH, ".pth": _TORCH}
    return _GRAPH if path.name == _SAVED_MODEL else by_name.get(path.suffix)


def _kind_of_zip(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return _ZIP
    if {"config.json", "metadata.json"} <= names:
        return KERAS
    return _TORCH if any(name.endswith("/data.pkl") for name in names) else _ZIP
