"""Golden inputs and outputs: what a piece computes, so that anybody can see whether it still does.

    assets.extra/golden.npz    arrays by name:
        input, output              a single tensor
        input/a, output/0          of a dict, by key (percent-encoded where it must be); of a list, by position
        input.values               a ragged tensor: its flat values, and
        input.row_splits_0         its row splits, outermost first

Strings are bytes of fixed width, without trailing zeros. Inputs are drawn from the specs with a fixed seed, or made by
a function of the recipe: training examples would leak. They are drawn as any piece takes them, whatever range a schema
gives, which is one of examples, and a piece need not take these as they are. The tolerance is relative to the largest
number of an output, or to 1 if that is smaller.
"""

import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import numpy as np
import tensorflow as tf

from piecehub.errors import NotReusableError
from piecehub.facts import piece_manifest
from piecehub.tensors import specs as piece_specs

_RaggedTensor: Any = tf.RaggedTensor  # its stub lacks what is needed here
TOLERANCE = 1e-4
HALF_PRECISION_TOLERANCE = 1e-2  # 8 bits of mantissa in bfloat16
_BATCH = 2
_LENGTH = 4  # of an undefined dimension
_SIDE = 32  # of an undefined dimension of an image or a volume
# Operations that read files' bytes, such as DecodeJpeg; their kernels say so where an error names no operation.
_DECODES = re.compile(r"\bDecode(Jpeg|Png|Image|Bmp|Gif|WebP|AndCropJpeg|Wav)\b|Unknown image file format")
DECODE_BEFORE = (
    "decode examples before they reach the model (`[data] decode` in a recipe), since a piece takes decoded ones, such "
    "as images of float32 in TensorFlow Hub's common image APIs"
)
# What reading a damaged archive of arrays raises: zipfile, zlib and NumPy have errors of their own for it.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, tf.errors.OpError, ArithmeticError, EOFError, LookupError, MemoryError, OSError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip
_WORDS = [b"the", b"quick brown fox", b"", b"jumps over 13 lazy dogs."]


@dataclass(frozen=True)
class Golden:
    """Inputs, in the structure that the piece takes, and the outputs with `training=False`."""

    inputs: Any
    outputs: Any


def synthetic(specs: Any) -> Any:
    """Two examples for `specs`: numbers in [0, 1), integers 0 or 1, words; the same ones every time."""
    rng = np.random.default_rng(0)
    return tf.nest.map_structure(lambda spec: _draw(spec, rng), specs)


def _draw(spec: Any, rng: np.random.Generator) -> Any:
    shape = _sizes(spec.shape)
    if isinstance(spec, tf.RaggedTensorSpec):
        dense = _dense(shape, spec.dtype, rng)
        return _RaggedTensor.from_tensor(dense, ragged_rank=cast(Any, spec).ragged_rank)
    dense = _dense(shape, spec.dtype, rng)
    return tf.sparse.from_dense(dense) if isinstance(spec, tf.SparseTensorSpec) else dense


def _sizes(shape: tf.TensorShape) -> list[int]:
    if shape.rank is None:
        return [_BATCH]
    undefined = _SIDE if shape.rank >= 4 else _LENGTH
    return [size or (_BATCH if axis == 0 else undefined) for axis, size in enumerate(shape.as_list())]


def _dense(shape: list[int], dtype: tf.DType, rng: np.random.Generator) -> tf.Tensor:
    if dtype == tf.string:
        return tf.constant(rng.choice(np.array(_WORDS, object), shape), tf.string)
    drawn = rng.random(shape)
    whole = dtype.is_integer or dtype.is_bool
    return tf.cast(tf.constant(np.floor(2 * drawn) if whole else drawn), dtype)


def as_given(inputs: Any) -> Any:
    """Inputs that a person gave, as tensors in their structure."""
    return tf.nest.map_structure(lambda part: part if tf.is_tensor(part) else tf.constant(part), inputs)


def compute(call: Callable[[Any], Any], inputs: Any, name: str) -> Any:
    """What `call` makes of golden inputs.

    Raises:
        NotReusableError: if it fails on them: not every model takes numbers of [0, 1) and words. Of one that decodes
            files it says so.
    """
    try:
        return call(inputs)
    except (tf.errors.OpError, ValueError, TypeError) as error:
        if decodes_files(error):
            raise NotReusableError(
                f"Expected '{name}' to take inputs that can be made up. Received: a model that decodes files, such as "
                f"JPEGs, by itself; {DECODE_BEFORE}."
            ) from error
        raise NotReusableError(
            f"Expected '{name}' to take golden inputs. Received: {str(error).splitlines()[0]}; give it inputs of its "
            "own (golden_inputs), or set golden = 'none'."
        ) from error


def decodes_files(error: Exception) -> bool:
    """Whether a model failed on words since it decodes them, as the bytes of images or sounds."""
    return _DECODES.search(str(error)) is not None


def difference(expected: Any, found: Any) -> float:
    """The largest difference of two structures of outputs, relative as above; infinite if their forms differ."""
    one, other = arrays("output", expected), arrays("output", found)
    if one.keys() != other.keys():
        return float("inf")
    return max((_difference(one[name], other[name]) for name in one), default=0.0)


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape:
        return float("inf")
    if not np.issubdtype(expected.dtype, np.number):
        return 0.0 if np.array_equal(expected, found) else float("inf")
    if not expected.size:
        return 0.0
    wide = expected.astype(np.float64), found.astype(np.float64)
    if not np.array_equal(np.isfinite(wide[0]), np.isfinite(wide[1])):
        return float("inf")
    finite = np.isfinite(wide[0])
    gap = np.abs(wide[0] - wide[1])[finite].max(initial=0.0)
    return float(gap / max(1.0, np.abs(wide[0])[finite].max(initial=0.0)))


def write(golden: Golden, saved_model: Path) -> None:
    """Writes golden inputs and outputs into a SavedModel's folder; equal ones give equal bytes."""
    path = saved_model / piece_manifest.GOLDEN_FILE
    path.parent.mkdir(exist_ok=True)
    # numpy dates every member 1980-01-01.
    np.savez(path, **arrays("input", golden.inputs), **arrays("output", golden.outputs))  # pyright: ignore[reportArgumentType]


def read(saved_model: Path, manifest: piece_manifest.PieceManifest) -> Golden | None:
    """The golden inputs and outputs of a SavedModel's folder; None if it has none.

    Raises:
        NotReusableError: if the file is damaged, or does not fit the manifest.
    """
    path = saved_model / piece_manifest.GOLDEN_FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        return Golden(_tensors("input", manifest.input, found), _tensors("output", manifest.output, found))
    except _DAMAGE as error:
        raise NotReusableError(
            f"Expected golden inputs and outputs in {piece_manifest.GOLDEN_FILE}. Received: {error}; export the piece "
            "again."
        ) from error


def arrays(name: str, structure: Any) -> dict[str, np.ndarray]:
    """A structure of tensors as named arrays, in the form drawn above."""
    if isinstance(structure, Mapping):
        parts = [arrays(f"{name}/{_encoded(key)}", structure[key]) for key in sorted(structure)]
    elif isinstance(structure, list | tuple):
        parts = [arrays(f"{name}/{index}", item) for index, item in enumerate(structure)]
    else:
        return _array(name, structure)
    return {key: value for part in parts for key, value in part.items()}


def _array(name: str, tensor: Any) -> dict[str, np.ndarray]:
    if isinstance(tensor, tf.SparseTensor):
        return _array(name, tf.sparse.to_dense(tensor))
    if isinstance(tensor, tf.RaggedTensor):
        splits = {f"{name}.row_splits_{i}": rows.numpy() for i, rows in enumerate(tensor.nested_row_splits)}
        return {f"{name}.values": _plain(tensor.flat_values.numpy()), **splits}
    return {name: _plain(tf.convert_to_tensor(tensor).numpy())}


def _plain(array: Any) -> np.ndarray:
    """An array that needs no pickle."""
    array = np.asarray(array)
    if array.dtype == object:
        return array.astype(bytes)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _tensors(name: str, facts: Any, found: Mapping[str, np.ndarray]) -> Any:
    if piece_specs.is_fact(facts):
        return _tensor(name, facts, found)
    if isinstance(facts, dict):
        return {key: _tensors(_member(name, key, found), fact, found) for key, fact in facts.items()}
    return [_tensors(f"{name}/{index}", fact, found) for index, fact in enumerate(facts)]


def _encoded(key: str) -> str:
    """A key as a name that a ZIP archive keeps, and that stands for no other key, nor for a part of a ragged tensor."""
    plain = re.fullmatch(r"[A-Za-z0-9_. -]*", key) and not re.search(r"\.(values|row_splits_\d+|npy)$", key)
    return key if plain else quote(key, safe="").replace(".", "%2E")


def _member(name: str, key: str, found: Mapping[str, np.ndarray]) -> str:
    """The name of the arrays of a key; 0.1.0 wrote keys as they are."""
    encoded, plain = f"{name}/{_encoded(key)}", f"{name}/{key}"
    return encoded if any(array == encoded or array.startswith(f"{encoded}.") for array in found) else plain


def _tensor(name: str, fact: Mapping[str, Any], found: Mapping[str, np.ndarray]) -> Any:
    dtype = tf.as_dtype(fact["dtype"])
    if "ragged_rank" in fact:
        splits = [found[f"{name}.row_splits_{i}"] for i in range(fact["ragged_rank"])]
        return _RaggedTensor.from_nested_row_splits(_cast(found[f"{name}.values"], dtype), splits)
    dense = _cast(found[name], dtype)
    return tf.sparse.from_dense(dense) if fact.get("sparse") else dense


def _cast(array: np.ndarray, dtype: tf.DType) -> tf.Tensor:
    return tf.constant(array.astype(object), tf.string) if dtype == tf.string else tf.cast(tf.constant(array), dtype)
