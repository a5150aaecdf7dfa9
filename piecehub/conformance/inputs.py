"""Inputs drawn from the specs of a trace, and rows of them: dense, ragged and sparse tensors in any structure."""

from typing import Any

import numpy as np
import tensorflow as tf

# For the dimensions that a trace leaves open, other than the batch: large enough for a few strides first; then what
# models ask for that hide a fixed size behind an open one.
OPEN_SIZES = (32, 8, 16, 64, 128, 224, 512, 3, 4, 1, 16_000)
_WORDS = ("a", "piece", "of a model", "")
_LONGEST_ROW = 4
_COLOURS = 3
_WIDEST = 300.0  # beyond what a byte holds


def draw(specs: Any, examples: int, open_size: int, seed: int = 0) -> Any:
    """Inputs of the structure and dtypes of `specs`, for that many examples; equal seeds give equal inputs.

    Numbers that any input may hold: floats in [0, 1) and the integers 0 and 1, which index any table.
    """
    rng = np.random.default_rng(seed)
    return tf.nest.map_structure(lambda spec: _draw(spec, examples, open_size, rng), specs)


def first_rows(inputs: Any, count: int) -> Any:
    """The first `count` examples of inputs."""
    return tf.nest.map_structure(lambda tensor: _part(tensor, 0, count), inputs)


def mixed(inputs: Any, others: Any) -> Any:
    """The first example of `inputs`, followed by all but the first of `others`."""
    return tf.nest.map_structure(lambda a, b: _joined(_part(a, 0, 1), _part(b, 1, int(b.shape[0]))), inputs, others)


def zeros(inputs: Any) -> Any:
    """Inputs with 0 for every float of a dense tensor."""
    return tf.nest.map_structure(lambda x: tf.zeros_like(x) if _is_dense(x) and x.dtype.is_floating else x, inputs)


def widened(inputs: Any) -> Any:
    """Inputs with large and negative floats, and with texts in capitals; of dense tensors only."""
    return tf.nest.map_structure(lambda x: _widened(x) if _is_dense(x) else x, inputs)


def _is_dense(tensor: Any) -> bool:
    return isinstance(tensor, tf.Tensor)


def _widened(tensor: Any) -> Any:
    if tensor.dtype.is_floating:
        return (tensor - 0.5) * 2 * _WIDEST
    return tf.strings.join([" ", tf.strings.upper(tensor), "! "]) if tensor.dtype == tf.string else tensor


def _draw(spec: Any, examples: int, open_size: int, rng: np.random.Generator) -> Any:
    if isinstance(spec, tf.RaggedTensorSpec):
        return _ragged(spec, examples, open_size, rng)
    shape = _shape(spec, examples, open_size)
    if isinstance(spec, tf.SparseTensorSpec):
        return tf.sparse.from_dense(_values(shape, spec.dtype, rng))
    return _values(shape, spec.dtype, rng)


def _shape(spec: Any, examples: int, open_size: int) -> list[int]:
    """The spec's shape with sizes for what it leaves open; a last open dimension behind height and width is colours."""
    if spec.shape.rank is None:
        return [examples] if spec.dtype == tf.string else [examples, open_size]
    sizes = [open_size if size is None else size for size in spec.shape]
    if len(sizes) == 4 and spec.shape[-1] is None:
        sizes[-1] = _COLOURS
    if sizes and spec.shape[0] is None:
        sizes[0] = examples
    return sizes


def _values(shape: list[int], dtype: tf.DType, rng: np.random.Generator) -> tf.Tensor:
    if dtype == tf.string:
        return tf.constant(rng.choice(list(_WORDS), shape), tf.string)
    if dtype.is_floating or dtype.is_complex:
        return tf.cast(tf.constant(rng.random(shape)), dtype)
    return tf.cast(tf.constant(rng.integers(0, 2, shape)), dtype)


def _ragged(spec: Any, examples: int, open_size: int, rng: np.random.Generator) -> tf.RaggedTensor:
    """Rows of 1 to 4 elements in each ragged dimension."""
    lengths: list[np.ndarray] = []
    count = examples
    for _ in range(spec.ragged_rank):
        lengths.append(rng.integers(1, _LONGEST_ROW + 1, count))
        count = int(lengths[-1].sum())
    shape = spec.shape[spec.ragged_rank + 1 :] if spec.shape.rank else []
    flat = _values([count, *(open_size if size is None else size for size in shape)], spec.dtype, rng)
    splits = [tf.constant(each, spec.row_splits_dtype) for each in lengths]
    ragged: Any = tf.RaggedTensor
    return ragged.from_nested_row_lengths(flat, splits)


def _part(tensor: Any, start: int, stop: int) -> Any:
    if isinstance(tensor, tf.SparseTensor):
        shape = tensor.dense_shape.numpy()
        return tf.sparse.slice(tensor, [start, *[0] * (len(shape) - 1)], [stop - start, *shape[1:]])
    return tensor[start:stop]


def _joined(above: Any, below: Any) -> Any:
    if isinstance(above, tf.SparseTensor):
        return tf.sparse.concat(0, [above, below])
    return tf.concat([above, below], axis=0)
