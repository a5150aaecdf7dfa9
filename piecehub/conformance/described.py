"""What a SavedModel's files say of its `__call__`: inputs, hyperparameters, trainable variables. Loads nothing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import tensorflow as tf
from tensorflow.python.saved_model import nested_structure_coder

from piecehub.conformance.graph import Graph, read_graph
from piecehub.consume.traces import Trace
from piecehub.tensors.specs import facts

Domain = Literal["image", "text", ""]

_CHANNELS = (1, 3, 4)
_SEED = "seed_generator_state"  # as keras.random.SeedGenerator calls its variable


@dataclass(frozen=True)
class Described:
    """Facts of one SavedModel.

    Attributes:
        shapes: of the inputs, the batch included; None for an open dimension.
        domain: what the inputs look like: texts, images, or something else.
        hyperparameters: names of arguments of `__call__`.
        trainable_variables: how many it lists.
    """

    shapes: list[list[int | None]]
    domain: Domain
    hyperparameters: list[str]
    trainable_variables: int


@dataclass(frozen=True)
class Interface:
    """What a SavedModel's `__call__` takes and gives, as plain JSON values.

    Attributes:
        input, output: their specs, in their structure, as the manifest has them.
        variables, trainable_variables, regularization_losses: how many it lists.
        parameters: numbers in all variables, but for the states of seeds.
        hyperparameters: optional arguments with their defaults; None where they have none.
        domain: as of `Described`.
    """

    input: Any
    output: Any
    variables: int
    trainable_variables: int
    parameters: int
    regularization_losses: int
    hyperparameters: Mapping[str, Any]
    domain: Domain


def describe(folder: Path) -> Described:
    """The facts of the SavedModel in `folder`.

    Raises:
        NotReusableError: if there is none.
        ArchiveError: if it is damaged.
    """
    graph = read_graph(folder)
    specs: list[Any] = _inputs(graph)
    return of_specs(specs, hyperparameters(graph), listed(graph, "trainable_variables"))


def interface(folder: Path) -> Interface | None:
    """What `__call__` takes and gives, and what the SavedModel in `folder` trains; None if there is nothing to call.

    Raises:
        NotReusableError: if there is no SavedModel.
        ArchiveError: if it is damaged.
    """
    graph = read_graph(folder)
    if not traces(graph):
        return None
    first, described = traces(graph)[0], describe(folder)
    variables = _variables(graph)
    shapes = [v.shape.dim for v in variables if not v.name.endswith(_SEED)]
    return Interface(
        input=_facts(first.inputs),
        output=_facts(first.outputs),
        variables=len(variables),
        trainable_variables=described.trainable_variables,
        parameters=sum(math.prod(dim.size for dim in shape) for shape in shapes),
        regularization_losses=listed(graph, "regularization_losses"),
        hyperparameters={name: _default(graph, name) for name in described.hyperparameters},
        domain=described.domain,
    )


def of_specs(specs: list[Any], hyperparameters: list[str], trainable_variables: int) -> Described:
    """The facts of a model with those inputs, which need not be exported yet."""
    shapes = [spec.shape.as_list() if spec.shape.rank is not None else [] for spec in specs]
    return Described(shapes, _domain(specs), hyperparameters, trainable_variables)


def traces(graph: Graph) -> list[Trace]:
    """What `__call__` was traced for, as `piecehub.consume.traces` tells it of a loaded one."""
    return [_trace(graph, name) for name in (graph.call.concrete_functions if graph.call else ())]


def hyperparameters(graph: Graph) -> list[str]:
    """The names of the arguments of `__call__` that some trace takes as tensors, but for its inputs and `training`."""
    return sorted(
        {
            name
            for trace in traces(graph)
            for name, value in trace.arguments.items()
            if isinstance(value, tf.TensorSpec) and name != "training"
        }
    )


def listed(graph: Graph, name: str) -> int:
    """How many entries the root's list of that name has, such as `trainable_variables`."""
    nodes = graph.first.object_graph_def.nodes
    place = next((child.node_id for child in nodes[0].children if child.local_name == name), None) if nodes else None
    return 0 if place is None else len(nodes[place].children)


def _variables(graph: Graph) -> list[Any]:
    """The variables that the root lists."""
    nodes = graph.first.object_graph_def.nodes
    root = next((child.node_id for child in nodes[0].children if child.local_name == "variables"), None)
    listed = [nodes[child.node_id] for child in nodes[root].children] if root is not None else []
    return [node.variable for node in listed if node.WhichOneof("kind") == "variable"]


def _default(graph: Graph, argument: str) -> Any:
    assert graph.call is not None
    spec = _decoded(graph.call.function_spec.fullargspec)
    defaults = dict(zip(reversed(spec.args), reversed(spec.defaults or ()), strict=False))
    value = (defaults | (spec.kwonlydefaults or {})).get(argument)
    return value if isinstance(value, float | int) else None


def _facts(structure: Any) -> Any:
    """The specs of a structure as plain JSON; what is no spec, such as a constant output, is left out."""
    if isinstance(structure, Mapping):
        return {str(key): _facts(value) for key, value in cast(Mapping[Any, Any], structure).items()}
    if isinstance(structure, list | tuple):
        return [_facts(value) for value in cast(list[Any], structure)]
    return facts(structure) if isinstance(structure, tf.TypeSpec) else {}


def _trace(graph: Graph, name: str) -> Trace:
    assert graph.call is not None
    concrete = graph.first.object_graph_def.concrete_functions[name]
    names = [name for name in _decoded(graph.call.function_spec.fullargspec).args if name != "self"]
    positional, named = _decoded(concrete.canonicalized_input_signature)
    arguments = {**dict(zip(names, positional, strict=False)), **named}
    inputs = arguments.pop(names[0]) if names else None
    return Trace(inputs, arguments, _decoded(concrete.output_signature))


def _inputs(graph: Graph) -> list[tf.TypeSpec]:
    """The specs of the inputs in the first trace of `__call__`."""
    for trace in traces(graph):
        return [leaf for leaf in tf.nest.flatten(trace.inputs) if isinstance(leaf, tf.TypeSpec)]
    return []


def _decoded(proto: Any) -> Any:
    return nested_structure_coder.decode_proto(proto)


def _is_text(spec: Any, alone: bool) -> bool:
    """Whether such strings are texts: several in a row, or one beside other inputs, are a table's columns.

    Ragged ones are a text's words: the common APIs of texts take none.
    """
    if isinstance(spec, tf.RaggedTensorSpec):
        return False
    shape: tf.TensorShape = spec.shape
    return shape.rank is None or shape.rank < 2 or (alone and all(size in (1, None) for size in shape.as_list()[1:]))


def _domain(specs: list[Any]) -> Domain:
    if any(spec.dtype == tf.string and _is_text(spec, len(specs) == 1) for spec in specs):
        return "text"
    shapes = [spec.shape for spec in specs]
    is_image = any(shape.rank == 4 and shape[-1] in _CHANNELS for shape in shapes)
    return "image" if is_image else ""
