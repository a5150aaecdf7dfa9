"""Calls the recipe's function: the model that is trained, and the core in it where the recipe names one.

    keras.Model                            functional, Sequential or subclassed
    (core, pretrainer)                     the pretrainer is trained; the core is the piece of the road `core`
    a keras.Model with an attribute `core` the same

A model without an Input (a subclassed one) is built by a call on one blank example: on the tensor itself if the
examples have one feature beside the label, else on a dict of them by name. Specs of tensors are plain JSON here,
`{"shape": [null, 8, 8, 1], "dtype": "float32"}`, alone, in a list, or in a dict; `null` is the batch
(piecehub/tensors/specs.py: ragged and sparse ones too).
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from piecehub.errors import TrainingError
from piecehub.tensors import specs
from piecehub.training.checkpoint import restore
from piecehub.training.recipe_modules import recipe_code

Build = Callable[..., Any]
Specs = Any

_ragged: Any = tf  # the stubs lack what is needed of ragged tensors


@dataclass(frozen=True)
class Built:
    """What the recipe's function made.

    Attributes:
        full: the model that is trained.
        core: the part of it that the recipe's function returned beside it, or None.
        inputs: specs of what `full` is called with.
    """

    full: keras.Model
    core: keras.Model | None
    inputs: Specs


def build_models(
    build: Build,
    build_kwargs: Mapping[str, Any],
    seed: int,
    features: Specs | None = None,
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Built:
    """`build(seed=seed, **build_kwargs)`, the same in every process: automatic layer names start from zero.

    Args:
        build: the recipe's function.
        build_kwargs: its arguments, but for `seed`.
        seed: of the weights.
        features: specs to call the model with, if it has no Input of its own (`feature_specs`).
        scope: in which variables are made; it is opened here, since Keras leaves every scope when it starts from zero.

    Raises:
        TrainingError: if `build` raises, or returns no Keras model that has its weights.
    """
    policy = keras.config.dtype_policy()
    keras.backend.clear_session()  # forgets the policy too
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(seed)
    _check_arguments(build, build_kwargs)
    with scope(), recipe_code("the recipe to build a full model", TrainingError):
        full, core = _full_and_core(build(seed=seed, **build_kwargs))
        if features is not None and not knows_its_input(full):
            _call_once(full, features)
    if not full.built:
        raise TrainingError(f"Expected a full model with an Input. Received: '{full.name}', not built; add an Input.")
    return Built(full, core, spec_facts(model_input(full)) if knows_its_input(full) else features)


def _check_arguments(build: Build, build_kwargs: Mapping[str, Any]) -> None:
    """Raises TrainingError if the recipe's function cannot be called so, which is the fault of no line of code."""
    try:
        inspect.signature(build).bind(seed=0, **build_kwargs)
    except TypeError as error:
        name = getattr(build, "__name__", type(build).__name__)
        raise TrainingError(
            f"Expected 'model.arguments' that the recipe's function '{name}' takes, beside 'seed'. Received: "
            f"TypeError: {error}."
        ) from error


def _call_once(full: keras.Model, features: Specs) -> None:
    """Gives a model its weights; a Sequential one would keep the size of the batch that it is called with."""
    if isinstance(full, keras.Sequential):
        full.build(tuple(features["shape"]))
    else:
        full(blank(features), training=False)


def ready_to_train(build: Build, features: Specs, checkpoint: Path | None) -> Build:
    """`build` as a function that returns the full model alone, built, and with the weights that training starts from.

    Args:
        build: the recipe's function.
        features: specs to call a model with that has no Input.
        checkpoint: weights to start from (piecehub/training/checkpoint.py), or None for those that `build` gives.
    """

    def build_ready(*, seed: int, **build_kwargs: Any) -> keras.Model:
        full = build_models(build, build_kwargs, seed, features).full
        if checkpoint:
            restore(full, checkpoint)
        return full

    return build_ready


def _full_and_core(made: Any) -> tuple[keras.Model, keras.Model | None]:
    core, full = made if isinstance(made, tuple) and len(made) == 2 else (getattr(made, "core", None), made)
    core = core if isinstance(core, keras.Model) else None
    if not isinstance(full, keras.Model) or (isinstance(made, tuple) and core is None):
        raise TrainingError(
            "Expected the recipe's function to return a keras.Model, or a pair (core, pretrainer) of two. Received: "
            f"{type(made).__name__}; return one."
        )
    return full, core


def knows_its_input(model: keras.Model) -> bool:
    """Whether `model` has an Input; a subclassed model has none, and a Sequential one only once it is built."""
    return hasattr(model, "inputs")


def model_input(model: keras.Model) -> Any:
    """The input of a model that knows it, in its structure: a tensor, a list of more than one, or a dict."""
    return _unwrapped(model.inputs if isinstance(model, keras.Sequential) else model.input)


def model_output(model: keras.Model) -> Any:
    """The output of a model that knows its input, in its structure."""
    return _unwrapped(model.outputs if isinstance(model, keras.Sequential) else model.output)


def _unwrapped(tensors: Any) -> Any:
    return tensors[0] if isinstance(tensors, list | tuple) and len(tensors) == 1 else tensors


def spec_facts(tensors: Any) -> Specs:
    """The specs of tensors, symbolic ones too, in their structure."""
    return specs.facts(specs.of_tensors(tensors))


def feature_specs(element_spec: Mapping[str, Any], *left_out: str) -> Specs:
    """The specs of what a model is called on: a batch of decoded features, one, or a dict of several.

    Args:
        element_spec: of a batch of decoded features (`Stream.element_spec`).
        left_out: the names of those that are no input: label and weight.
    """
    found = {name: specs.facts(spec) for name, spec in element_spec.items() if name not in left_out}
    return next(iter(found.values())) if len(found) == 1 else found


def tensor_specs(described: Specs) -> Any:
    """The specs that facts describe, in their structure: dense, ragged or sparse."""
    return _map(_spec, described)


def _spec(fact: dict[str, Any]) -> Any:
    shape, dtype = fact["shape"], tf.as_dtype(fact["dtype"])
    if fact.get("ragged_rank"):
        return _ragged.RaggedTensorSpec(shape, dtype, fact["ragged_rank"])
    return tf.SparseTensorSpec(shape, dtype) if fact.get("sparse") else tf.TensorSpec(shape, dtype)


def blank(described: Specs) -> Any:
    """One example of zeros, or of empty texts; what else is undefined counts 1."""
    return _map(_blank, described)


def _blank(fact: dict[str, Any]) -> Any:
    zeros = tf.zeros([1, *(size or 1 for size in fact["shape"][1:])], fact["dtype"])
    if fact.get("ragged_rank"):
        return _ragged.RaggedTensor.from_tensor(zeros, ragged_rank=fact["ragged_rank"])
    return tf.sparse.from_dense(zeros) if fact.get("sparse") else zeros


def _map(function: Callable[[dict[str, Any]], Any], described: Specs) -> Any:
    """`function` of each spec, in their structure."""
    if specs.is_fact(described):
        return function(described)
    if isinstance(described, list):
        return [_map(function, spec) for spec in described]
    return {name: _map(function, spec) for name, spec in described.items()}
