"""Reads a SavedModel's protos: its nodes, the strings in them, and which operation makes an output. Loads nothing."""

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

from piecehub.errors import ArchiveError, NotReusableError

# Operations whose output is their input in another form.
_PASSING = frozenset({"Identity", "IdentityN", "Cast", "EnsureShape", "ExpandDims", "Reshape", "Snapshot", "Squeeze"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
# A constant with more strings is a vocabulary; paths come alone or in small numbers.
_FEW_STRINGS = 8


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
    def call(self) -> SavedFunction | None:
        """The root's `__call__`, or None if it has none that is a function with a trace."""
        nodes = self.first.object_graph_def.nodes
        for child in nodes[0].children if nodes else ():
            node = nodes[child.node_id]
            if child.local_name == "__call__" and node.WhichOneof("kind") == "function":
                return node.function if node.function.concrete_functions else None
        return None

    def nodes(self) -> Iterator[tuple[str, NodeDef]]:
        """Every node with the name of its function ('' for the main graph), but those of the saver.

        Saving reads and writes files by its nature. What it alone reaches is left out; what a trace, a signature or
        any other node reaches as well is not, so nothing can hide behind the saver's name.
        """
        hidden = self._reached(self._saver_nodes) - self._reached(self._other_nodes, self._object_functions)
        for node in self._other_nodes:
            yield "", node
        for name, function in self.functions.items():
            if name not in hidden:
                for node in function.node_def:
                    yield name, node

    def producers(self) -> set[str]:
        """The operations that make the outputs of `__call__`, seen through calls and mere changes of form."""
        names = self.call.concrete_functions if self.call else []
        return {
            self._producer(self.functions[name], function_output.name)
            for name in names
            if name in self.functions
            for function_output in self.functions[name].signature.output_arg
        }

    def _producer(self, function: FunctionDef, output: str) -> str:
        reference = function.ret[output]
        nodes = {node.name: node for node in function.node_def}
        while ":" in reference:
            name, _, rest = reference.partition(":")
            node, index = nodes[name], int(rest.rpartition(":")[2])
            callee = self.functions.get(node.attr["f"].func.name) if node.op in _CALLS else None
            if callee:
                return self._producer(callee, callee.signature.output_arg[index].name)
            if node.op not in _PASSING:
                return node.op
            reference = node.input[index if node.op == "IdentityN" else 0]
        return "input"

    @cached_property
    def _saver_nodes(self) -> list[NodeDef]:
        saver = self.first.saver_def
        names = {saver.save_tensor_name.partition(":")[0], saver.restore_op_name.partition(":")[0]}
        return [node for node in self.first.graph_def.node if node.name in names]

    @cached_property
    def _other_nodes(self) -> list[NodeDef]:
        saver = {node.name for node in self._saver_nodes}
        return [node for node in self.first.graph_def.node if node.name not in saver]

    @cached_property
    def _object_functions(self) -> list[str]:
        return list(self.first.object_graph_def.concrete_functions)

    def _reached(self, nodes: Iterable[NodeDef], names: Iterable[str] = ()) -> set[str]:
        """The functions that `nodes` call, `names`, and all that these call."""
        seen: set[str] = set()
        waiting = [*names, *(name for node in nodes for name in _called(node))]
        while waiting:
            name = waiting.pop()
            if name not in seen and name in self.functions:
                seen.add(name)
                waiting += [called for node in self.functions[name].node_def for called in _called(node)]
        return seen


def read_graph(folder: Path) -> Graph:
    """The graph of the SavedModel in `folder`.

    Raises:
        NotReusableError: if there is no `saved_model.pb`.
        ArchiveError: if it is damaged.
    """
    path = folder / "saved_model.pb"
    if not path.is_file():
        raise NotReusableError(
            f"Expected a SavedModel, a folder with 'saved_model.pb'. Received: '{folder}' without it."
        )
    try:
        return Graph(SavedModel.FromString(path.read_bytes()))
    except DecodeError as error:
        raise ArchiveError(
            f"Expected '{path}' to be a SavedModel. Received: a damaged file; fetch it again."
        ) from error


def attribute_strings(node: NodeDef) -> Iterator[str]:
    """The strings in a node's attributes, but for a constant's value."""
    for value in node.attr.values():
        for text in (value.s, *value.list.s):
            yield text.decode("utf-8", "replace")


def constant_strings(node: NodeDef) -> Iterator[str]:
    """The strings of a constant, unless they are so many that it is a vocabulary."""
    for value in node.attr.values():
        if len(value.tensor.string_val) <= _FEW_STRINGS:
            for text in value.tensor.string_val:
                yield text.decode("utf-8", "replace")


def _called(node: NodeDef) -> Iterator[str]:
    for value in node.attr.values():
        yield from _function_names(value)


def _function_names(value: AttrValue) -> Iterator[str]:
    if value.HasField("func"):
        yield value.func.name
    for function in value.list.func:
        yield function.name
