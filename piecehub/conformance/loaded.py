"""A loaded SavedModel, or one of its sub-objects: what its traces accept, and calls of it."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from tensorflow.python.util import tf_inspect

from piecehub.conformance import heap
from piecehub.conformance import inputs as drawing
from piecehub.conformance.graph import Graph, read_graph
from piecehub.facts import piece_manifest
from piecehub.facts.piece_manifest import PieceManifest

# What a stranger's model raises when it is loaded or called: a finding, never a traceback.
STRANGERS = (
    tf.errors.OpError, ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
_EXAMPLES, _LEAST = 5, 2
_BATCH_BYTES = 1 << 28  # of activations, in a batch that gradients are taken of
_FEW_BYTES = 1 << 26
_LARGE_BYTES = 1 << 25


_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Trace:
    """One trace of `__call__`: the specs of its inputs, its other arguments by name, and the specs of its outputs."""

    inputs: Any
    others: Mapping[str, Any]
    outputs: Any = None

    @property
    def training(self) -> frozenset[bool]:
        """The values of `training` that it takes: both where it was traced as a tensor, none without the argument."""
        value = self.others.get("training")
        if isinstance(value, tf.TensorSpec) and value.dtype == tf.bool:
            return frozenset({True, False})
        return frozenset({value} if isinstance(value, bool) else ())


@dataclass(frozen=True)
class Loaded:
    """A SavedModel as `tf.saved_model.load` gives it; `obj` keeps its variables alive.

    Attributes:
        obj: the root, or the sub-object that is looked at.
        graph: the protos of the whole SavedModel.
        folder: where it lies.
        name: of the sub-object; empty for the root.
        documentation: the text of the model page; empty where there is none.
    """

    obj: Any
    graph: Graph
    folder: Path
    name: str = ""
    documentation: str = ""

    @cached_property
    def argspec(self) -> Any:
        """The arguments of `__call__`, as hub.KerasLayer reads them (keras_layer.py)."""
        return tf_inspect.getfullargspec(self.obj.__call__)

    @cached_property
    def arguments(self) -> list[str]:
        """The names of all arguments of `__call__`."""
        return [*self.argspec.args, *self.argspec.kwonlyargs]

    @cached_property
    def traces(self) -> list[Trace]:
        """Every trace of `__call__`."""
        functions = self.obj.__call__.concrete_functions
        return [_trace(f.structured_input_signature, self.argspec.args, f.structured_outputs) for f in functions]

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

    @property
    def not_fine_tunable(self) -> bool:
        """True if the documentation says so."""
        return bool(re.search(r"^<!--\s*fine-tunable\s*:\s*false\s*-->$", self.documentation, re.MULTILINE))

    @cached_property
    def manifest(self) -> PieceManifest | None:
        """The manifest that piecehub's exporter lays beside a piece; raises NotReusableError if it is damaged."""
        return piece_manifest.read(self.folder)

    @cached_property
    def open_size(self) -> int:
        """A size for the dimensions that the traces leave open, other than the batch, that the model accepts.

        Raises what the model raises at the first size if it accepts none.
        """
        refused: list[Exception] = []
        for size in drawing.OPEN_SIZES:
            try:
                with self.unchanged():
                    self.infer(drawing.draw(self.traces[0].inputs, 2, size))
            except STRANGERS as error:
                refused.append(error)
            else:
                return size
        raise refused[0]

    @cached_property
    def _kept(self) -> dict[Any, Any]:
        return {}

    def once(self, make: "Callable[[Loaded], _Made]") -> _Made:
        """What `make` tells of this model: several checks ask for it, and it is made for the first of them."""
        if make not in self._kept:
            self._kept[make] = make(self)
        return self._kept[make]

    @property
    def weight_bytes(self) -> int:
        """What the variables take that any trace uses; those of open shape are not counted."""
        return sum((v.shape.num_elements() or 0) * v.dtype.size for v in self.captured)

    @cached_property
    def activation_bytes(self) -> int:
        """What a forward pass in training keeps of each example until gradients are taken.

        0 where it cannot be told. It is measured, so that nothing needs to be known of the operations; equal models
        take equal memory.
        """
        try:
            with self.unchanged():
                self._held_bytes(_LEAST)  # what is made at the first call stays
                return max(0, self._held_bytes(_LEAST)) // _LEAST
        except STRANGERS:  # another check says what it is
            return 0

    def _held_bytes(self, examples: int) -> int:
        inputs = self.draw(examples)
        before = heap.tensor_bytes()
        with tf.GradientTape() as tape:
            tape.watch([variable for variable in self.captured if variable.dtype.is_floating])
            outputs = self.train(inputs)
        held = heap.tensor_bytes() - before
        del outputs, tape
        return held

    @cached_property
    def examples(self) -> int:
        """How many examples most checks draw: 5, and of a model with large activations fewer, at least 2."""
        return self.examples_within(_EXAMPLES, _BATCH_BYTES, at_least=_LEAST)

    @cached_property
    def few_examples(self) -> int:
        """The same for checks that repeat steps, of which it matters whether they agree: down to 1."""
        return self.examples_within(_EXAMPLES, _FEW_BYTES)

    def examples_within(self, most: int, batch_bytes: int, *, at_least: int = 1) -> int:
        """How many examples, of `most`, have activations of at most `batch_bytes`."""
        return max(at_least, min(most, batch_bytes // max(1, self.activation_bytes)))

    @cached_property
    def is_large(self) -> bool:
        """Whether memory that one check leaves behind would be felt by the next."""
        return self.weight_bytes + self.examples * self.activation_bytes > _LARGE_BYTES

    def draw(self, examples: int, seed: int = 0) -> Any:
        """Inputs of the form that the first trace takes, for that many examples; equal seeds give equal inputs."""
        return drawing.draw(self.traces[0].inputs, examples, self.open_size, seed)

    @cached_property
    def has_training(self) -> bool:
        """True if `__call__` was traced for training=True."""
        return any(True in trace.training for trace in self.traces)

    def infer(self, inputs: Any) -> dict[str, np.ndarray]:
        """The outputs at inference, by name or place."""
        return flat(self.obj(inputs))

    def train(self, inputs: Any) -> Any:
        """The outputs as they come in training, in their own structure."""
        return self.obj(inputs, training=True) if self.has_training else self.obj(inputs)

    @contextmanager
    def unchanged(self) -> Iterator[list[tf.Tensor]]:
        """The values of all variables, to which they return at the end.

        They take no memory until a variable changes: what is read shares its buffer, and who writes makes another.
        """
        before = [variable.read_value() for variable in self.captured]
        try:
            yield before
        finally:
            self.restore(before)

    def restore(self, values: list[tf.Tensor]) -> None:
        """Puts back the values that `unchanged` gave."""
        for variable, value in zip(self.captured, values, strict=True):
            variable.assign(value)

    def changed_since(self, before: list[tf.Tensor]) -> list[tf.Variable]:
        """The variables that have other values than `before`."""
        return [v for v, value in zip(self.captured, before, strict=True) if not _equal(v.numpy(), value.numpy())]


def load(folder: Path, documentation: str = "") -> Loaded:
    """Loads the SavedModel in `folder`; raises TypeError if its root is not callable."""
    obj: Any = tf.saved_model.load(str(folder))
    if not callable(obj):
        raise TypeError("the root is not callable")
    return Loaded(obj, read_graph(folder), folder, documentation=documentation)


def flat(outputs: Any) -> dict[str, np.ndarray]:
    """Outputs (a tensor, a list or a dict of them) as arrays by name or place."""
    if isinstance(outputs, Mapping):
        return {str(name): _array(outputs[name]) for name in sorted(outputs)}
    tensors = outputs if isinstance(outputs, list | tuple) else [outputs]
    return {f"output_{index}": _array(tensor) for index, tensor in enumerate(tensors)}


def bytes_of(variable: tf.Variable) -> int:
    """How many bytes the value of a variable takes now; its shape may be open."""
    return int(tf.size(variable.read_value())) * variable.dtype.size


def _equal(a: Any, b: Any) -> bool:
    if isinstance(b, bytes):  # a text without dimensions comes as such
        return a == b
    return bool(np.array_equal(a, b, equal_nan=b.dtype.kind in "fV"))  # V: bfloat16


def _array(tensor: Any) -> np.ndarray:
    if isinstance(tensor, tf.RaggedTensor):
        return tensor.to_tensor().numpy()
    return (tf.sparse.to_dense(tensor) if isinstance(tensor, tf.SparseTensor) else tensor).numpy()


def _trace(signature: tuple[tuple[Any, ...], dict[str, Any]], names: list[str], outputs: Any) -> Trace:
    positional, named = signature
    arguments = {**dict(zip(names, positional, strict=False)), **named}
    return Trace(arguments.pop(names[0]) if names else None, arguments, outputs)
