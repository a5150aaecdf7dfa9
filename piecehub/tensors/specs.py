"""Inputs and outputs of a piece: one tensor, or one list or dict of them (Reusable SavedModel interface).

A spec is a `tf.TensorSpec`, `tf.RaggedTensorSpec` or `tf.SparseTensorSpec`. As JSON it is
`{"shape": [null, 8], "dtype": "float32"}`, with `"ragged_rank": 1` or `"sparse": true` where it is so.

A dict has texts as keys, and `__call__` takes them as they are. A serving signature takes names that Python could give
a parameter, no two of which differ in case only (TensorFlow names a graph's inputs after them, in small letters); so
where the keys are no such names, all inputs have neutral ones there: `input_0`, `input_1`, … in the order of the keys.
"""

import keyword
import re
from collections.abc import Collection
from typing import Any, cast

import tensorflow as tf

from piecehub.errors import NotReusableError

_SPECS = (tf.TensorSpec, tf.RaggedTensorSpec, tf.SparseTensorSpec)
Spec = Any  # one of the three: their stubs lack what is needed here


def one_level(structure: Any, what: str) -> Any:
    """`structure` as a single item, a list or a dict; a list of one item becomes the item, a tuple a list.

    Raises:
        NotReusableError: if it is nested deeper, or empty, or the keys of a dict are no texts.
    """
    if isinstance(structure, dict):
        _require_texts(structure, what)
        flat, result = list(structure.values()), {str(key): value for key, value in structure.items()}
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


def _require_texts(keys: Collection[Any], what: str) -> None:
    """Refuses keys that a SavedModel cannot keep, which holds UTF-8 texts only (struct.proto)."""
    bad = [key for key in keys if not isinstance(key, str) or _is_no_unicode(key)]
    if bad:
        raise NotReusableError(
            f"Expected the keys of a dict of {what}s to be texts of Unicode, since a SavedModel keeps no others. "
            f"Received: {bad[0]!r}; give each {what} a text as its key."
        )


def _is_no_unicode(text: str) -> bool:
    """Whether a text holds half a pair of surrogates."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def named(specs: Any) -> Any:
    """`specs` in one level, each with the name that it has in the serving signature."""
    specs = one_level(specs, "input")
    if isinstance(specs, dict):
        names = signature_names(specs)
        return {key: _renamed(spec, names[key]) for key, spec in specs.items()}
    if isinstance(specs, list):
        return [_renamed(spec, f"input_{index}") for index, spec in enumerate(specs)]
    return _renamed(specs, "inputs")


def signature_names(keys: Collection[str]) -> dict[str, str]:
    """The name of each key of a dict of inputs in the serving signature: the key, or a neutral one (see above)."""
    plain = all(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", key) and not keyword.iskeyword(key) for key in keys)
    if plain and "self" not in keys and len({key.lower() for key in keys}) == len(keys):
        return {key: key for key in keys}
    digits = len(str(len(keys) - 1))  # so that the names are in the same order as the keys
    return {key: f"input_{index:0{digits}}" for index, key in enumerate(sorted(keys))}


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
    return of_symbolic(tensor, tensor.shape)


def of_symbolic(tensor: Any, shape: Any) -> Spec:
    """The spec of a symbolic tensor of Keras or TensorFlow, with another shape."""
    if getattr(tensor, "ragged", False):
        return tf.RaggedTensorSpec(shape, tensor.dtype, getattr(tensor, "ragged_rank", None) or 1)
    if getattr(tensor, "sparse", False):
        return tf.SparseTensorSpec(shape, tensor.dtype)
    return tf.TensorSpec(shape, tensor.dtype)


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
