"""Reads a SavedModel's protos: its nodes, the strings in them, and who reaches which function. Loads nothing.

The protos are a stranger's: names may point nowhere and functions may call each other in circles, so every walk
notes where it has been, and what cannot be followed is an answer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow.core.framework.attr_value_pb2 import AttrValue
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.core.protobuf.saved_object_graph_pb2 import SavedFunction

from piecehub.conformance.ops import SAVER
from piecehub.conformance.proto_file import check_proto
from piecehub.errors import ArchiveError

# Operations that call the one function that they name.
CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
# A constant with more strings is a vocabulary; paths come alone or in small numbers.
_FEW_STRINGS = 8
# Texts that look like paths where a regular expression stands.
_EXPRESSIONS = frozenset({"pattern", "rewrite"})

Where = tuple[str, NodeDef]


@dataclass(frozen=True)
class Graph:
    """The MetaGraphs of a SavedModel; everything but `tags` speaks of the first."""

    saved_model: SavedModel

    @cached_property
    def tags(self) -> list[list[str]]:
        """The tags of every MetaGraph."""
        return [sorted(m.meta_info_def.tags) for m in self.saved_model.meta_graphs]

    @cached_property
    def first(self) -> MetaGraphDef:
        """The first MetaGraph, or an empty one."""
        return next(iter(self.saved_model.meta_graphs), MetaGraphDef())

    @cached_property
    def functions(self) -> dict[str, FunctionDef]:
        """The function library by name."""
        return {function.signature.name: function for function in self.first.graph_def.library.function}

    @cached_property
    def signatures(self) -> list[str]:
        """The names of the serving signatures."""
        return sorted(name for name in self.first.signature_def if not name.startswith("__"))

    @cached_property
    def has_objects(self) -> bool:
        """Whether there is an object graph; TensorFlow 1 wrote none, and what has none cannot be fine-tuned."""
        return bool(self.first.object_graph_def.nodes)

    @cached_property
    def call(self) -> SavedFunction | None:
        """The root's `__call__`, or None if it has none that is a function with a trace."""
        nodes = self.first.object_graph_def.nodes
        for child in nodes[0].children if nodes else ():
            node = nodes[child.node_id] if 0 <= child.node_id < len(nodes) else None
            if child.local_name == "__call__" and node is not None and node.WhichOneof("kind") == "function":
                return node.function if node.function.concrete_functions else None
        return None

    def nodes(self) -> Iterator[Where]:
        """Every node with the name of its function ('' for the main graph), but those that only the saver reaches."""
        for node in self.first.graph_def.node:
            if node.name not in self._saver_names:
                yield "", node
        for name, function in self.functions.items():
            if name not in self._saver_functions:
                for node in function.node_def:
                    yield name, node

    def saver_nodes(self) -> Iterator[Where]:
        """The nodes that `nodes` leaves out: saving reads and writes files by its nature.

        What a trace, a signature or any other node reaches as well is not among them, so nothing can hide behind the
        saver's name.
        """
        for node in self._saver_main:
            yield "", node
        for name in sorted(self._saver_functions):
            for node in self.functions[name].node_def:
                yield name, node

    @cached_property
    def reached(self) -> set[str]:
        """The functions that a trace, a signature or another node of the main graph reaches."""
        others = [node for node in self.first.graph_def.node if node.name not in self._saver_names]
        return self._reached(others, self.first.object_graph_def.concrete_functions)

    @cached_property
    def _saver_names(self) -> set[str]:
        return {node.name for node in self._saver_main}

    @cached_property
    def _saver_main(self) -> list[NodeDef]:
        """The saver's nodes of the main graph: those it names, and behind them the ones that save and restore."""
        saver = self.first.saver_def
        named = {_node_name(saver.save_tensor_name), _node_name(saver.restore_op_name)} - {""}
        behind = self._upstream(named) - self._upstream(self._entries())
        return [n for n in self.first.graph_def.node if n.name in named or (n.name in behind and n.op in SAVER)]

    def _entries(self) -> Iterator[str]:
        """The nodes that somebody other than the saver asks for: by a signature, or by a collection."""
        for signature in self.first.signature_def.values():
            yield from (_node_name(tensor.name) for tensor in signature.outputs.values())
        for collection in self.first.collection_def.values():
            yield from (_node_name(name) for name in collection.node_list.value)

    def _upstream(self, names: Iterable[str]) -> set[str]:
        """The nodes of the main graph that `names` need, and `names`."""
        nodes = {node.name: node for node in self.first.graph_def.node}
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in seen and name in nodes:
                seen.add(name)
                waiting += [_node_name(source) for source in nodes[name].input]
        return seen

    @cached_property
    def _saver_functions(self) -> set[str]:
        return self._reached(self._saver_main) - self.reached

    def _reached(self, nodes: Iterable[NodeDef], names: Iterable[str] = ()) -> set[str]:
        """The functions that `nodes` call, `names`, and all that these call or have as gradient."""
        gradients = {g.function_name: g.gradient_func for g in self.first.graph_def.library.gradient}
        seen: set[str] = set()
        waiting = [*names, *(name for node in nodes for name in called(node))]
        while waiting:
            name = waiting.pop()
            if name not in seen and name in self.functions:
                seen.add(name)
                waiting += [callee for node in self.functions[name].node_def for callee in called(node)]
                waiting += [gradients[name]] if name in gradients else []
        return seen


def read_graph(folder: Path) -> Graph:
    """The graph of the SavedModel in `folder`.

    Raises:
        NotReusableError: if there is no `saved_model.pb`, or it is too large to be read.
        ArchiveError: if it is damaged.
    """
    path = folder / "saved_model.pb"
    check_proto(folder)
    try:
        return Graph(SavedModel.FromString(path.read_bytes()))
    except DecodeError as error:
        raise ArchiveError(
            f"Expected '{path}' to be a SavedModel. Received: a damaged file; fetch it again."
        ) from error


def attribute_strings(node: NodeDef) -> Iterator[str]:
    """The strings in a node's attributes, but for a constant's value and regular expressions."""
    for name, value in node.attr.items():
        if name not in _EXPRESSIONS:
            for text in (value.s, *value.list.s):
                yield text.decode("utf-8", "replace")


def constant_strings(node: NodeDef) -> Iterator[str]:
    """The strings of a constant, unless they are so many that it is a vocabulary."""
    for value in node.attr.values():
        if len(value.tensor.string_val) <= _FEW_STRINGS:
            for text in value.tensor.string_val:
                yield text.decode("utf-8", "replace")


def called(node: NodeDef) -> Iterator[str]:
    """The names of the functions that a node's attributes hold, also in the attributes of those."""
    waiting: list[AttrValue] = list(node.attr.values())
    while waiting:
        value = waiting.pop()
        for function in ([value.func] if value.HasField("func") else []) + list(value.list.func):
            yield function.name
            waiting += function.attr.values()


def _node_name(tensor: str) -> str:
    """The node behind an input of the main graph: `name`, `name:0` or `^name`."""
    return tensor.removeprefix("^").partition(":")[0]
