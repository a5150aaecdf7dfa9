"""Values as tensors of a wanted dtype, or a refusal: one rule for every pair of dtypes and for whatever carries them.

    from, to       bool   integer   floating   complex   others
    bool            yes    yes       yes        yes       no
    integer         no     range     exact      exact     no
    floating        no     no        range      range     no
    complex         no     no        no         range     no
    others          no     no        no         no        the same dtype

"range": values that the wanted dtype cannot hold are refused (a sign, an overflow); "exact": so are integers that it
would round. Floats may be rounded to shorter floats, as everybody does. The values of a graph are known when it runs:
there a check of the graph refuses them, which XLA leaves out.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.errors import ConsumerError, first_line

_KINDS = ("bool", "integer", "floating", "complex")  # each may become one further to the right
_EXACT_BITS = {tf.bfloat16: 8, tf.float16: 11, tf.float32: 24, tf.float64: 53}  # of the integers that a float holds
_PARTS = {tf.complex64: tf.float32, tf.complex128: tf.float64}
_FOREIGN_ERRORS = (TypeError, ValueError, OverflowError, tf.errors.OpError)  # of NumPy and TensorFlow about values


def as_dtype(value: Any, dtype: tf.DType, what: str = "inputs") -> Any:
    """A tensor, dense as the value is, or sparse or ragged if it is so already.

    Args:
        value: a tensor, an array, a Python number or text, or nested lists of them.
        dtype: the wanted one.
        what: the value's name for the refusal.

    Raises:
        ConsumerError: if that would change what the value means.
    """
    with _refusing(dtype, what):
        return _cast(value if tf.is_tensor(value) else _natural(value, dtype, what), dtype, what)


def as_ragged(value: Any, spec: tf.RaggedTensorSpec, what: str = "inputs") -> tf.RaggedTensor:
    """The same for ragged tensors, of rows of different lengths or of a dense tensor.

    Raises:
        ConsumerError: if that would change what the value means.
    """
    ragged: Any = tf.RaggedTensor  # the stubs know neither its methods nor those of its spec
    wanted: Any = spec
    with _refusing(spec.dtype, what):
        if isinstance(value, np.ndarray) and value.dtype == object:
            value = value.tolist()
        if isinstance(value, list | tuple):
            value = tf.ragged.constant(value, _dtype_of_rows(value) or spec.dtype, ragged_rank=wanted.ragged_rank)
        tensor = as_dtype(value, spec.dtype, what)
        if not isinstance(tensor, tf.RaggedTensor):
            tensor = ragged.from_tensor(tensor, ragged_rank=wanted.ragged_rank)
        return tensor.with_row_splits_dtype(wanted.row_splits_dtype)


def effort(value: Any, dtype: tf.DType) -> int:
    """How far a value is from a dtype: 0 has it, to 1 and 2 it always fits, to 3 and 4 not; 1 and 3 are of its kind."""
    own = _own_dtype(value)
    if own is None or own == dtype:
        return 0
    always = _may_become(own, dtype) and _always_fits(own, dtype)
    return (1 if always else 3) + (_kind(own) != _kind(dtype))


def _own_dtype(value: Any) -> tf.DType | None:
    """The dtype as TensorFlow would have it, by the first leaf; None for no values, or for strange ones."""
    leaf: Any = next(iter(tf.nest.flatten(value)), None)
    try:
        return tf.as_dtype(leaf.dtype if hasattr(leaf, "dtype") else tf.constant(leaf).dtype)
    except _FOREIGN_ERRORS:
        return None


def _natural(value: Any, dtype: tf.DType, what: str) -> Any:
    """The value as a tensor of its own dtype. A Python float is a float64, and an int an int64: nothing is lost."""
    leaves = tf.nest.flatten(value)
    if any(tf.is_tensor(leaf) for leaf in leaves):
        return tf.stack([as_dtype(one, dtype, what) for one in value])
    if _holds_text(leaves):  # which NumPy would cut, or make of numbers beside it
        return tf.convert_to_tensor(value)
    array = np.asarray(value, np.uint64 if _need_uint64(leaves) else None)
    if isinstance(value, list | tuple) and array.size == 0:
        return tf.zeros(array.shape, dtype)
    return tf.convert_to_tensor(array if array.dtype.kind in "biufc" else value)


def _dtype_of_rows(rows: Sequence[Any]) -> tf.DType | None:
    """The dtype of all rows together, which `tf.ragged.constant` would guess too short; None if there is no value."""
    leaves = tf.nest.flatten(rows)
    if _holds_text(leaves):
        return tf.string
    if _need_uint64(leaves):
        return tf.uint64
    return tf.as_dtype(np.concatenate([np.ravel(leaf) for leaf in leaves]).dtype) if leaves else None


def _holds_text(leaves: Sequence[Any]) -> bool:
    return any(isinstance(leaf, str | bytes) for leaf in leaves)


def _need_uint64(leaves: Sequence[Any]) -> bool:
    """Whether these are Python integers of which NumPy would make floats."""
    return all(isinstance(leaf, int) for leaf in leaves) and max(leaves, default=0) >= 2**63 and min(leaves) >= 0


def _cast(tensor: Any, dtype: tf.DType, what: str) -> Any:
    own = tf.as_dtype(tensor.dtype)
    if own == dtype:
        return tensor
    if not _may_become(own, dtype):
        raise _refusal(dtype, what, own.name)
    result = tf.cast(tensor, dtype)
    if _always_fits(own, dtype):
        return result
    kept = tf.reduce_all(_keeps(_flat(tensor), dtype))
    refusal = _refusal(dtype, what, f"{own.name} values that it cannot hold")
    known = tf.get_static_value(kept)
    if known is None:
        with tf.control_dependencies([tf.debugging.Assert(kept, [str(refusal)])]):
            return tf.nest.map_structure(tf.identity, result, expand_composites=True)
    if not known:
        raise refusal
    return result


def _flat(tensor: Any) -> Any:
    if isinstance(tensor, tf.RaggedTensor):
        return tensor.flat_values
    return tensor.values if isinstance(tensor, tf.SparseTensor) else tf.convert_to_tensor(tensor)


def _kind(dtype: tf.DType) -> str:
    if dtype == tf.bool:
        return "bool"
    if dtype.is_integer:
        return "integer"
    return "floating" if dtype.is_floating else "complex" if dtype.is_complex else dtype.name


def _may_become(own: tf.DType, dtype: tf.DType) -> bool:
    kinds = (_kind(own), _kind(dtype))
    return all(kind in _KINDS for kind in kinds) and _KINDS.index(kinds[0]) <= _KINDS.index(kinds[1])


def _always_fits(own: tf.DType, dtype: tf.DType) -> bool:
    """Whether every value of the one dtype may be cast to the other."""
    own, dtype = _PARTS.get(own, own), _PARTS.get(dtype, dtype)
    if own == tf.bool:
        return True
    if own.is_floating:
        return float(dtype.max) >= float(own.max)
    low, high = _bounds(own)
    if dtype.is_integer:
        lowest, highest = _bounds(dtype)
        return lowest <= low and high <= highest
    return high < 2 ** _EXACT_BITS.get(dtype, 0) and high <= float(dtype.max)


def _keeps(values: Any, dtype: tf.DType) -> Any:
    """For each value whether the cast keeps it."""
    own, part = values.dtype, _PARTS.get(dtype, dtype)
    if own.is_complex:
        return tf.logical_and(_keeps(tf.math.real(values), part), _keeps(tf.math.imag(values), part))
    if own.is_floating:
        return tf.logical_or(_finite(tf.cast(values, part)), tf.logical_not(_finite(values)))
    low, high = _bounds(own)
    if dtype.is_integer:
        return _between(values, max(low, _bounds(dtype)[0]), min(high, _bounds(dtype)[1]))
    # There and back again. Near the ends of the integers the way back has no defined result.
    same = tf.cast(tf.cast(values, part), own) == values
    return tf.logical_and(same, _between(values, low // 2, high // 2))


def _between(values: Any, low: int, high: int) -> Any:
    return tf.logical_and(values >= tf.constant(low, values.dtype), values <= tf.constant(high, values.dtype))


def _finite(values: Any) -> Any:
    return tf.math.is_finite(tf.cast(values, tf.float32) if values.dtype.size < 4 else values)


def _bounds(dtype: tf.DType) -> tuple[int, int]:
    return int(dtype.min), int(dtype.max)


def _refusal(dtype: tf.DType, what: str, received: str) -> ConsumerError:
    return ConsumerError(
        f"Expected {dtype.name} {what}, as the SavedModel was traced. Received: {received}; convert them first."
    )


@contextmanager
def _refusing(dtype: tf.DType, what: str) -> Iterator[None]:
    """What NumPy and TensorFlow cannot make a tensor of is refused in our words."""
    try:
        yield
    except ConsumerError:
        raise
    except _FOREIGN_ERRORS as error:
        raise _refusal(dtype, what, first_line(error)) from error
