"""Inputs and outputs of a piece: one tensor, or one list or dict of them (Reusable SavedModel interface).

A spec is a `tf.TensorSpec`, `tf.RaggedTensorSpec` or `tf.SparseTensorSpec`. As JSON it is
`{"shape": [null, 8], "dtype": "float32"}`, with `"ragged_rank": 1` or `"sparse": true` where it is so.
"""

from typing import Any, cast

import tensorflow as tf

from piecehub.errors import NotReusableError

_SPECS = (tf.TensorSpec, tf.RaggedTensorSpec, tf.SparseTensorSpec)
Spec = Any  # one of the three: their stubs lack what is needed here


def one_level(structure: Any, what: str) -> Any:
    """`structure` as a single item, a list or a dict; a list of one item becomes the item, a tuple a list.

    Raises:
        NotReusableError: if it is nested deeper, or empty.
    """
    if isinstance(structure, dict):
        flat, result = list(structure.values()), dict(structure)
    elif isinstance(structure, list | tuple):
        flat = list(structure)
        result = flat[0] if len(flat) == 1 else flat
    else:
        return structure
    if not flat or any(isinstance(item, dict | list | tuple) for item in flat):
        raise NotReusableError(
            f"Expected one {what}, or a list or dict of them. Received: "
            f"{'a deeper structure; flatten it' if flat else f'no {what}; give the model one'}."
        )
    return result


def named(specs: Any) -> Any:
    """`specs` in one level, each with the name that it has in the serving signature."""
    specs = one_level(specs, "input")
    if isinstance(specs, dict):
        return {name: _renamed(spec, str(name)) for name, spec in specs.items()}
    if isinstance(specs, list):
        return [_renamed(spec, f"input_{index}") for index, spec in enumerate(specs)]
    return _renamed(specs, "inputs")


def _renamed(spec: Any, name: str) -> Spec:
    if not isinstance(spec, _SPECS):
        raise NotReusableError(
            f"Expected specs of the inputs, such as tf.TensorSpec. Received: a {type(spec).__name__}; "
            "pass `inputs` as a spec, or a list or dict of specs."
        )
    return tf.TensorSpec(spec.shape, spec.dtype, name=name) if isinstance(spec, tf.TensorSpec) else spec


def of_tensors(tensors: Any) -> Any:
    """The specs of tensors (symbolic ones too), in their structure."""
    return tf.nest.map_structure(_of_tensor, tensors)


def _of_tensor(tensor: Any) -> Spec:
    if isinstance(tensor, tf.RaggedTensor | tf.SparseTensor):
        return tf.type_spec_from_value(tensor)
    return tf.TensorSpec(tensor.shape, tensor.dtype)


def flat_tensors(specs: Any) -> list[Spec]:
    """The specs of a structure, in the order of `tf.nest`."""
    return tf.nest.flatten(specs)


def facts(specs: Any) -> Any:
    """The specs as plain JSON, in their structure."""
    if isinstance(specs, dict):
        return {name: facts(spec) for name, spec in specs.items()}
    if isinstance(specs, list | tuple):
        return [facts(spec) for spec in specs]
    value: dict[str, Any] = {
        "shape": None if specs.shape.rank is None else specs.shape.as_list(),
        "dtype": specs.dtype.name,
    }
    if isinstance(specs, tf.RaggedTensorSpec):
        value["ragged_rank"] = cast(Any, specs).ragged_rank
    if isinstance(specs, tf.SparseTensorSpec):
        value["sparse"] = True
    return value


def is_fact(value: Any) -> bool:
    """Whether a JSON value is that of one spec, and not of a dict of them."""
    return isinstance(value, dict) and isinstance(value.get("dtype"), str)
