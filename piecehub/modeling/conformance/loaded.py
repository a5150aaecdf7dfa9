"""A loaded SavedModel, what its traces accept, and inputs drawn from them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.util import tf_inspect

from piecehub.modeling.conformance.graph import Graph, read_graph

# Stands for a dimension that a trace leaves open, other than the batch: large enough for a few strides.
_OPEN_SIZE = 32


@dataclass(frozen=True)
class Trace:
    """One trace of `__call__`: the specs of its inputs, and its other arguments by name."""

    inputs: Any
    others: Mapping[str, Any]

    @property
    def training(self) -> Any:
        """The value of `training`, or None if there is no such argument."""
        return self.others.get("training")


@dataclass(frozen=True)
class Loaded:
    """A SavedModel as `tf.saved_model.load` gives it; `obj` keeps its variables alive."""

    obj: Any
    graph: Graph

    @cached_property
    def argspec(self) -> Any:
        """The arguments of `__call__`, as hub.KerasLayer reads them (keras_layer.py)."""
        return tf_inspect.getfullargspec(self.obj.__call__)

    @cached_property
    def traces(self) -> list[Trace]:
        """Every trace of `__call__`."""
        return [_trace(f.structured_input_signature, self.argspec.args) for f in self.obj.__call__.concrete_functions]

    @cached_property
    def variables(self) -> list[tf.Variable]:
        """What the model lists as its variables."""
        return list(getattr(self.obj, "variables", []))

    @cached_property
    def trainable_variables(self) -> list[tf.Variable]:
        """What the model lists as trainable."""
        return list(getattr(self.obj, "trainable_variables", []))

    @cached_property
    def regularization_losses(self) -> list[Any]:
        """What the model lists as regularization losses."""
        return list(getattr(self.obj, "regularization_losses", []))

    def functions(self) -> Iterator[Any]:
        """Every trace of `__call__` and of the regularization losses."""
        for function in (self.obj.__call__, *self.regularization_losses):
            yield from getattr(function, "concrete_functions", [])

    @cached_property
    def captured(self) -> list[tf.Variable]:
        """The variables that any trace uses."""
        found = {variable.ref(): variable for function in self.functions() for variable in function.variables}
        return list(found.values())

    def draw(self, examples: int, seed: int = 0) -> Any:
        """Inputs of the form that the first trace takes, for that many examples; equal seeds give equal inputs."""
        rng = np.random.default_rng(seed)
        return tf.nest.map_structure(lambda spec: _draw(spec, examples, rng), self.traces[0].inputs)

    def infer(self, inputs: Any) -> dict[str, np.ndarray]:
        """The outputs at inference, by name or place."""
        return flat(self.obj(inputs))

    @contextmanager
    def unchanged(self) -> Iterator[list[np.ndarray]]:
        """The values of all variables, to which they return at the end."""
        variables = self.captured
        before = [variable.numpy() for variable in variables]
        try:
            yield before
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)


def load(folder: Path) -> Loaded:
    """Loads the SavedModel in `folder`; raises TypeError if its root is not callable."""
    obj: Any = tf.saved_model.load(str(folder))
    if not callable(obj):
        raise TypeError("the root is not callable")
    return Loaded(obj, read_graph(folder))


def flat(outputs: Any) -> dict[str, np.ndarray]:
    """Outputs (a tensor, a list or a dict of them) as arrays by name or place."""
    if isinstance(outputs, Mapping):
        return {str(name): outputs[name].numpy() for name in sorted(outputs)}
    tensors = outputs if isinstance(outputs, list | tuple) else [outputs]
    return {f"output_{index}": tensor.numpy() for index, tensor in enumerate(tensors)}


def _trace(signature: tuple[tuple[Any, ...], dict[str, Any]], names: list[str]) -> Trace:
    positional, named = signature
    arguments = {**dict(zip(names, positional, strict=False)), **named}
    return Trace(arguments.pop(names[0]) if names else None, arguments)


def _draw(spec: tf.TensorSpec, examples: int, rng: np.random.Generator) -> tf.Tensor:
    """Numbers that any input may hold: floats in [0, 1) and the integers 0 and 1, which index any table."""
    sizes = [_OPEN_SIZE if size is None else size for size in spec.shape]
    shape = [examples if spec.shape[0] is None else sizes[0], *sizes[1:]] if sizes else []
    if spec.dtype == tf.string:
        return tf.constant(rng.choice(["a", "piece", "of a model", ""], shape))
    if spec.dtype.is_floating:
        return tf.constant(rng.random(shape), spec.dtype)
    return tf.cast(rng.integers(0, 2, shape), spec.dtype)
