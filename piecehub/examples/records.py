"""Writes arrays as TFRecords of `tf.Example`: what a recipe's data module calls, and a user's own script may.

A value is kept as it is, or refused. NumPy changes many without a word: it makes one text of `["a", 1]`, one float of
`[2**63, -1]`, an object of None, and in its `S` and `U` it drops the zero bytes at the end of a text. So lists are read
here, leaf by leaf, and NumPy is only asked about what is an array already.
"""

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.errors import DataError

Example = Mapping[str, Any]  # by feature: a value, a list of values, or whatever NumPy makes an array of

_INT64 = np.iinfo(np.int64)
_FLOAT32 = np.finfo(np.float32)
_TEXTS = str | bytes | bytearray
_NUMBERS = bool | int | float | np.bool_ | np.integer | np.floating


def write_records(folder: str | PathLike[str], examples: Iterable[Example], *, shards: int) -> int:
    """Writes `folder/part-I-of-N.tfrecord`, dealing the examples out in turn; returns how many there were.

    Floats become float lists (float32, to which they are rounded), integers and booleans int64 lists, texts and bytes
    bytes lists; shapes are flattened, and stand in the schema.

    Raises:
        DataError: if a value is neither number nor text, or a record cannot hold it: None, integers beyond int64,
            floats beyond float32.

    Example:
        >>> rows = ({"values": np.arange(4.0), "label": n % 2} for n in range(5))
        >>> piecehub.write_records("my_data/upstream/train", rows, shards=2)
        5
    """
    return write_serialized(folder, map(serialize, examples), shards=shards)


def write_serialized(folder: str | PathLike[str], records: Iterable[bytes], *, shards: int) -> int:
    """As `write_records`, of records as `serialize` makes them."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = [Path(folder) / f"part-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]
    writers = [tf.io.TFRecordWriter(str(path)) for path in paths]
    count = 0
    try:
        for record in records:
            writers[count % shards].write(record)
            count += 1
    finally:
        for writer in writers:
            writer.close()
    return count


def serialize(example: Example) -> bytes:
    """One `tf.Example`, with sorted features: equal examples give equal bytes."""
    message = tf.train.Example()
    for name in sorted(example):
        message.features.feature[name].CopyFrom(_feature(name, _unwrapped(example[name])))
    return message.SerializeToString(deterministic=True)


def _unwrapped(value: Any) -> Any:
    """Texts, lists and arrays as they are, tensors by what they hold, and of all else what NumPy makes of it."""
    if isinstance(value, str | bytes | bytearray | list | tuple | np.ndarray):
        return value
    if isinstance(value, memoryview) and isinstance(value.obj, bytes | bytearray):
        return value.tobytes()
    # NumPy asks a tensor of one text for an array, and cuts off the zero bytes at its end.
    read = getattr(value, "numpy", None)
    return _unwrapped(read()) if read else np.asarray(value)


def _feature(name: str, value: Any) -> tf.train.Feature:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        _refuse_mask(name, value)
        return _numbers(name, value.ravel())
    leaves = list(_leaves(name, value))
    if not leaves and not _is_text(value):
        return tf.train.Feature()  # of no type, as nothing tells one
    for leaf in leaves:
        if not isinstance(leaf, _TEXTS | _NUMBERS):
            raise DataError(_expected(name, f"{type(leaf).__name__}, {_shown(leaf)}"))
    texts = [leaf for leaf in leaves if isinstance(leaf, _TEXTS)]
    if texts and len(texts) < len(leaves):
        raise DataError(_expected(name, "texts and numbers together"))
    if texts or not leaves:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[_bytes(name, text) for text in texts]))
    if all(isinstance(leaf, bool | int | np.bool_ | np.integer) for leaf in leaves):
        return _integers(name, [int(leaf) for leaf in leaves])
    for leaf in leaves:
        if isinstance(leaf, int | np.integer) and not isinstance(leaf, bool) and _as_float32(int(leaf)) != leaf:
            raise DataError(_expected(name, f"the integer {leaf} among floats, which float32 cannot hold"))
    return _numbers(name, np.array(leaves, np.float64))


def _leaves(name: str, value: Any) -> Iterator[Any]:
    """The values of nested lists and arrays, in order; raises DataError if lists of one depth differ in length."""
    if isinstance(value, list | tuple):
        parts = [item if isinstance(item, _NUMBERS) else _unwrapped(item) for item in value]
        if len({_shape(part) for part in parts}) > 1:
            raise DataError(_expected(name, "lists of different lengths"))
        for part in parts:
            yield from _leaves(name, part)
    elif isinstance(value, np.ndarray):
        _refuse_mask(name, value)
        _refuse_lost_bytes(name, value)
        if value.dtype.kind not in "biufSUOT":
            raise DataError(_expected(name, str(value.dtype)))
        # An array of objects may hold lists and arrays: those have their own leaves.
        for item in value.ravel().tolist():
            yield from _leaves(name, item) if isinstance(item, list | tuple | np.ndarray) else (item,)
    else:
        yield value


def _shape(value: Any) -> tuple[int, ...]:
    if isinstance(value, np.ndarray):
        return value.shape
    return (len(value), *_shape(value[0])) if isinstance(value, list | tuple) and value else ()


def _is_text(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "SUOT"


def _refuse_mask(name: str, value: np.ndarray) -> None:
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(_expected(name, "a masked array with missing values"))


def _refuse_lost_bytes(name: str, value: np.ndarray) -> None:
    """Refuses texts of which NumPy may have cut something off: the longest is shorter than its own width."""
    if value.dtype.kind not in "SU" or not value.size:
        return
    width = value.dtype.itemsize // (4 if value.dtype.kind == "U" else 1)
    longest = max(len(text) for text in value.ravel().tolist())
    if value.dtype.kind == "S" and longest < width:
        raise DataError(
            f"Expected feature '{name}' as bytes, a list of bytes or an array of objects. Received: an array of "
            f"{value.dtype} whose longest text has {longest} bytes; NumPy drops zero bytes at the end of a text, so "
            "it cannot be told whether some were there."
        )


def _bytes(name: str, text: Any) -> bytes:
    try:
        return text.encode() if isinstance(text, str) else bytes(text)
    except UnicodeEncodeError as error:
        raise DataError(_expected(name, f"{_shown(text)}, which is no Unicode ({error.reason})")) from error


def _numbers(name: str, flat: np.ndarray) -> tf.train.Feature:
    if flat.dtype.kind != "f":
        return _integers(name, flat.tolist())
    with np.errstate(over="ignore", under="ignore"):
        rounded = flat.astype(np.float32)
    lost = (np.isinf(rounded) & ~np.isinf(flat)) | ((rounded == 0) & (flat != 0))
    if lost.any():
        raise DataError(
            f"Expected numbers that float32 holds for feature '{name}'. Received: {float(flat[lost][0])}, of which it "
            f"would make {rounded[lost][0]}; scale the feature."
        )
    return tf.train.Feature(float_list=tf.train.FloatList(value=rounded))


def _integers(name: str, values: list[int]) -> tf.train.Feature:
    for value in values:
        if not _INT64.min <= value <= _INT64.max:
            raise DataError(
                f"Expected integers within int64 for feature '{name}'. Received: {value}; write it as text, or as "
                "several features."
            )
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _as_float32(value: int) -> float:
    return float(np.float32(value)) if abs(value) <= _FLOAT32.max else float("inf")


def _expected(name: str, received: str) -> str:
    return (
        f"Expected numbers or texts for feature '{name}'. Received: {received}; convert it, or leave the feature out "
        "of the example."
    )


def _shown(value: Any) -> str:
    return repr(value)[:60]
