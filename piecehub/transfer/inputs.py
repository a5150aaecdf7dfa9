"""Examples in the form that a piece takes, by the specs of its own traces: dense, ragged or sparse.

Rows are held dense or ragged, of which a batch can be gathered; what a piece takes as a sparse tensor is made one when
it is called. Numbers that only become wider, such as the bytes of a picture, become so when it is called, too.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from piecehub.errors import DataError
from piecehub.transfer.ragged import flattened, is_ragged, stacked

Rows = NDArray[Any]
_SPECS = (tf.TensorSpec, tf.RaggedTensorSpec, tf.SparseTensorSpec)
_RaggedTensor: Any = tf.RaggedTensor  # its stub lacks what is needed here


class Inputs:
    """What a loaded piece takes."""

    def __init__(self, piece: Any) -> None:
        """Reads the specs of all its traces; one that has none takes tensors as they come."""
        self._specs: dict[str, list[Any]] = {}
        for specs in _traced(piece.__call__):
            for name, spec in specs.items() if isinstance(specs, dict) else [("", specs)]:
                if isinstance(spec, _SPECS):
                    self._specs.setdefault(name, []).append(spec)

    def held(self, rows: Rows) -> Any:
        """Examples as a tensor, or a dict of tensors where rows have named fields; dense or ragged.

        Raises:
            DataError: if a feature is ragged and the piece takes another form.
        """
        if rows.dtype.names is None:
            return _held("", rows, self._specs.get("", ()))
        return {name: _held(name, rows[name], self._specs.get(name, ())) for name in rows.dtype.names}

    def taken(self, held: Any) -> Any:
        """What `held` gave, or some of its rows, as the piece takes it."""
        if not isinstance(held, dict):
            return _taken(held, self._specs.get("", ()))
        return {name: _taken(tensor, self._specs.get(name, ())) for name, tensor in held.items()}


def _traced(call: Any) -> list[Any]:
    """The specs of the first argument, of each trace."""
    found: list[Any] = []
    for concrete in getattr(call, "concrete_functions", ()):
        args, kwargs = concrete.structured_input_signature
        found.append(args[0] if args else kwargs.get(next(iter(inspect.signature(call).parameters))))
    return found


def _held(name: str, column: Rows, specs: Sequence[Any]) -> Any:
    ragged = _first(specs, tf.RaggedTensorSpec)
    if not is_ragged(column):
        dense = tf.constant(column if _widens(column.dtype, specs) else _of_dtype(column, specs))
        if ragged is None or _first(specs, tf.TensorSpec) or _first(specs, tf.SparseTensorSpec):
            return dense
        return _RaggedTensor.from_tensor(dense, ragged_rank=ragged.ragged_rank, row_splits_dtype=_splits_dtype(ragged))
    if ragged is not None or _first(specs, tf.SparseTensorSpec):
        return _ragged(column, ragged, specs)
    even = stacked(column)
    if even is None:
        raise DataError(
            f"Expected a feature of one shape{f' for the input {name!r}' if name else ''}, since the piece takes no "
            "ragged one. Received: a ragged feature; pad it where examples are decoded."
        )
    return tf.constant(_of_dtype(even, specs))


def _ragged(column: Rows, spec: Any, specs: Sequence[Any]) -> Any:
    values, splits = flattened(column, spec and spec.ragged_rank)
    if not values.size and spec is not None:
        inner = [size or 0 for size in spec.shape.as_list()[1 + len(splits) :]]
        values = np.zeros([0, *inner], spec.dtype.as_numpy_dtype)
    dtype = tf.int64 if spec is None else _splits_dtype(spec)
    levels = [tf.constant(level, dtype) for level in splits]
    return _RaggedTensor.from_nested_row_splits(tf.constant(_of_dtype(values, specs)), levels)


def _taken(tensor: Any, specs: Sequence[Any]) -> Any:
    own = tf.RaggedTensorSpec if isinstance(tensor, tf.RaggedTensor) else tf.TensorSpec
    sparse = _first(specs, tf.SparseTensorSpec)
    if own is tf.TensorSpec and _widens(np.dtype(tensor.dtype.as_numpy_dtype), specs):
        tensor = tf.cast(tensor, specs[0].dtype)
    if sparse is None or _first(specs, own):
        return tensor
    if own is tf.TensorSpec:
        return tf.sparse.from_dense(tensor)
    found = tensor.to_sparse()
    # As wide as the piece takes it, not as the longest of these rows.
    sizes = [found.dense_shape[axis] if size is None else size for axis, size in enumerate(sparse.shape.as_list())]
    return tf.sparse.reset_shape(found, tf.stack([tf.cast(size, tf.int64) for size in sizes]))


def _first(specs: Sequence[Any], kind: Any) -> Any:
    return next((spec for spec in specs if isinstance(spec, kind)), None)


def _splits_dtype(spec: Any) -> Any:
    return spec.row_splits_dtype


def _widens(dtype: np.dtype[Any], specs: Sequence[Any]) -> bool:
    """Whether the piece takes a dense tensor, in no trace of this dtype, of numbers that hold every value of it."""
    if dtype.kind not in "iub" or not _first(specs, tf.TensorSpec):
        return False
    dtypes = [np.dtype(spec.dtype.as_numpy_dtype) for spec in specs]
    return dtype not in dtypes and not dtypes[0].hasobject and np.can_cast(dtype, dtypes[0], "safe")


def _of_dtype(values: Rows, specs: Sequence[Any]) -> Rows:
    """Numbers in the dtype that the piece takes, if it takes their own in no trace and that changes no value.

    Examples have integers of 64 bits only, and many a piece takes 32.
    """
    dtypes = [spec.dtype.as_numpy_dtype for spec in specs]
    if values.dtype.kind not in "iufb" or not dtypes or any(values.dtype == dtype for dtype in dtypes):
        return values
    with np.errstate(all="ignore"):
        cast = values.astype(dtypes[0]) if dtypes[0] is not object else values
    return cast if np.array_equal(cast, values, equal_nan=values.dtype.kind == "f") else values
