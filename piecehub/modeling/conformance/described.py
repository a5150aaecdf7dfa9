"""What a SavedModel's files say of its `__call__`: inputs, hyperparameters, trainable variables. Loads nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf
from tensorflow.python.saved_model import nested_structure_coder

from piecehub.modeling.conformance.graph import Graph, read_graph

Domain = Literal["image", "text", ""]

_CHANNELS = (1, 3, 4)


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


def describe(folder: Path) -> Described:
    """The facts of the SavedModel in `folder`.

    Raises:
        NotReusableError: if there is none.
        ArchiveError: if it is damaged.
    """
    graph = read_graph(folder)
    specs: list[Any] = _inputs(graph)
    shapes = [spec.shape.as_list() if spec.shape.rank is not None else [] for spec in specs]
    return Described(shapes, _domain(specs), _hyperparameters(graph), _children(graph, "trainable_variables"))


def _inputs(graph: Graph) -> list[tf.TypeSpec]:
    """The specs of the inputs in the first trace of `__call__`."""
    for positional, _ in _signatures(graph):
        return [leaf for leaf in tf.nest.flatten(positional[:1]) if isinstance(leaf, tf.TypeSpec)]
    return []


def _hyperparameters(graph: Graph) -> list[str]:
    """The names of the arguments of `__call__`, but for its inputs, that some trace takes as tensors."""
    if graph.call is None:
        return []
    spec = _decoded(graph.call.function_spec.fullargspec)
    names = [name for name in spec.args if name != "self"]
    found: set[str] = set()
    for positional, named in _signatures(graph):
        arguments = {**dict(zip(names, positional, strict=False)), **named}
        found |= {name for name, value in arguments.items() if isinstance(value, tf.TensorSpec)}
    return sorted(found - set(names[:1]))


def _signatures(graph: Graph) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The positional and the named arguments of each trace of `__call__`."""
    functions = graph.first.object_graph_def.concrete_functions
    for name in graph.call.concrete_functions if graph.call else ():
        yield _decoded(functions[name].canonicalized_input_signature)


def _decoded(proto: Any) -> Any:
    return nested_structure_coder.decode_proto(proto)


def _domain(specs: list[Any]) -> Domain:
    if any(spec.dtype == tf.string for spec in specs):
        return "text"
    shapes = [spec.shape for spec in specs]
    is_image = any(shape.rank == 4 and shape[-1] in _CHANNELS for shape in shapes)
    return "image" if is_image else ""


def _children(graph: Graph, name: str) -> int:
    """How many entries the root's list of that name has."""
    nodes = graph.first.object_graph_def.nodes
    place = next((child.node_id for child in nodes[0].children if child.local_name == name), None)
    return 0 if place is None else len(nodes[place].children)
