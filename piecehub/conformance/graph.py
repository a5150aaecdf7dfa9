"""Reads a SavedModel's protos: its nodes, the strings in them, and who reaches which function. Loads nothing.

The protos are a stranger's: names may point nowhere and functions may call each other in circles, so every walk
notes where it has been, and what cannot be followed is an answer.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow.core.framework.attr_value_pb2 import AttrValue
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.types_pb2 import DT_STRING
from tensorflow.core.protobuf.meta_graph_pb2 import AssetFileDef, MetaGraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.core.protobuf.saved_object_graph_pb2 import SavedFunction
from tensorflow.core.protobuf.saver_pb2 import SaverDef

from piecehub.conformance.ops import SAVER
from piecehub.conformance.proto_file import check_proto
from piecehub.errors import ArchiveError

# Operations that call the one function that they name.
CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
# A constant with more strings is a vocabulary; paths come alone or in small numbers.
_FEW_STRINGS = 8
# Texts that look like paths where a regular expression stands.
_EXPRESSIONS = frozenset({"pattern", "rewrite"})
# What says nothing of who may call a function; by `api_implements`, say, TensorFlow puts one in another's place.
_PLAIN_ATTRIBUTES = frozenset({"_construction_context", "_input_shapes"})
# What tables and variables are called in a process.
_NAMES = frozenset({"container", "debug_name", "shared_name", "table_name"})

Where = tuple[str, NodeDef]


@dataclass(frozen=True)
class Graph:
    """One MetaGraph of a SavedModel, the first if nothing else is said; `each` has them all.

    Attributes:
        saved_model: the whole proto.
        place: which of its MetaGraphs this one is.
    """

    saved_model: SavedModel
    place: int = 0

    @property
    def each(self) -> list["Graph"]:
        """Every MetaGraph: a loader takes any of them, by its tags."""
        return [self if place == self.place else Graph(self.saved_model, place) for place in range(len(self.tags))]

    @cached_property
    def tags(self) -> list[list[str]]:
        """The tags of every MetaGraph."""
        return [sorted(m.meta_info_def.tags) for m in self.saved_model.meta_graphs]

    @cached_property
    def first(self) -> MetaGraphDef:
        """This MetaGraph, or an empty one."""
        graphs = self.saved_model.meta_graphs
        return graphs[self.place] if self.place < len(graphs) else MetaGraphDef()

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
        yield from (found for place, found in enumerate(self.all_nodes) if place not in self._of_saver)

    def saver_nodes(self) -> Iterator[Where]:
        """The nodes that `nodes` leaves out: saving reads and writes files by its nature.

        What a trace, a signature or any other node reaches as well is not among them, so nothing can hide behind the
        saver's name. Which files they may touch is looked at in savers.py.
        """
        yield from (self.all_nodes[place] for place in sorted(self._of_saver))

    @cached_property
    def all_nodes(self) -> list[Where]:
        """Every node of the main graph, then of every function, also of one that another of its name hides."""
        graph = self.first.graph_def
        in_functions = [(f.signature.name, node) for f in graph.library.function for node in f.node_def]
        return [*(("", node) for node in graph.node), *in_functions]

    @cached_property
    def savers(self) -> list[SaverDef]:
        """What saves and restores: the saver that loaders run, then those that TensorFlow 1 keeps in a collection."""
        packed = self.first.collection_def["savers"].bytes_list.value if "savers" in self.first.collection_def else ()
        return [self.first.saver_def, *(_saver(each) for each in packed)]

    @cached_property
    def assets(self) -> list[AssetFileDef]:
        """The assets; TensorFlow 1 keeps them in a collection (loader_impl.get_asset_tensors)."""
        found = list(self.first.asset_file_def)
        if "saved_model_assets" in self.first.collection_def:
            for packed in self.first.collection_def["saved_model_assets"].any_list.value:
                found.append(AssetFileDef())
                packed.Unpack(found[-1])
        return found

    @cached_property
    def asset_tensors(self) -> set[str]:
        """The nodes of the main graph whose value a loader replaces by the place of an asset."""
        return {node_name(asset.tensor_info.name) for asset in self.assets}

    @cached_property
    def reached(self) -> set[str]:
        """The functions that a trace, a signature or another node of the main graph reaches."""
        others = [node for place, node in enumerate(self.first.graph_def.node) if place not in self._saver_main]
        return self.functions_of(others, self.first.object_graph_def.concrete_functions)

    @cached_property
    def left_savers(self) -> set[str]:
        """The functions that save or restore for nobody: their name stands nowhere else in the whole MetaGraph.

        A SavedModel that was loaded into the graph of TensorFlow 1 leaves those of its own saver there (tf.Transform).
        """
        touching = {where for where, node in self.all_nodes if where and node.op in SAVER}
        plain = {name for name in touching if set(self.functions[name].attr) <= _PLAIN_ATTRIBUTES}
        everything = self.first.SerializeToString() if plain else b""
        return {name for name in plain if everything.count(name.encode()) == 1}

    @cached_property
    def _of_saver(self) -> set[int]:
        """The places in `all_nodes` of what only the saver reaches, and of savers that were left."""
        main = [self.first.graph_def.node[place] for place in self._saver_main]
        functions = (self.functions_of(main) - self.reached) | self.left_savers
        return {n for n, (where, _) in enumerate(self.all_nodes) if n in self._saver_main or where in functions}

    @cached_property
    def _saver_main(self) -> set[int]:
        """Places of the savers' nodes in the main graph: those they name, and behind them what saves and restores.

        So is what saves and restores for nobody: TensorFlow 1 left the savers of the training in the graph.
        """
        named = {node_name(name) for s in self.savers for name in (s.save_tensor_name, s.restore_op_name)} - {""}
        asked = self.upstream(self._entries())
        nodes = enumerate(self.first.graph_def.node)
        return {n for n, node in nodes if node.name not in asked and (node.name in named or node.op in SAVER)}

    def _entries(self) -> Iterator[str]:
        """The nodes that somebody other than the saver asks for: by a signature, or by a collection."""
        for signature in self.first.signature_def.values():
            yield from (node_name(tensor.name) for tensor in signature.outputs.values())
        for collection in self.first.collection_def.values():
            yield from (node_name(name) for name in collection.node_list.value)

    def upstream(self, names: Iterable[str]) -> set[str]:
        """The nodes of the main graph that `names` need, and `names`."""
        nodes = {node.name: node for node in self.first.graph_def.node}
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in seen and name in nodes:
                seen.add(name)
                waiting += [node_name(source) for source in nodes[name].input]
        return seen

    def functions_of(self, nodes: Iterable[NodeDef], names: Iterable[str] = ()) -> set[str]:
        """The functions that `nodes` call, `names`, and all that these call or have as gradient."""
        gradients = {g.function_name: g.gradient_func for g in self.first.graph_def.library.gradient}
        bodies: dict[str, list[NodeDef]] = defaultdict(list)
        for where, node in self.all_nodes:
            bodies[where].append(node)
        seen: set[str] = set()
        waiting = [*names, *(name for node in nodes for name in called(node))]
        while waiting:
            name = waiting.pop()
            if name not in seen and name in self.functions:
                seen.add(name)
                waiting += [callee for node in bodies[name] for callee in called(node)]
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
    """The strings in a node's attributes, but for a constant's value, regular expressions and `shared_names`."""
    for name, value in node.attr.items():
        if name not in _EXPRESSIONS | _NAMES:
            for text in (value.s, *value.list.s):
                yield text.decode("utf-8", "replace")


def shared_names(node: NodeDef) -> Iterator[str]:
    """What a node calls a table or a variable."""
    for name in sorted(_NAMES & set(node.attr)):
        yield node.attr[name].s.decode("utf-8", "replace")


def constant_strings(node: NodeDef) -> Iterator[str]:
    """The strings of a constant, unless they are so many that it is a vocabulary."""
    for value in node.attr.values():
        if len(found := texts(value.tensor)) <= _FEW_STRINGS:
            yield from found


def texts(tensor: TensorProto) -> list[str]:
    """The strings of a tensor, in either form that TensorFlow reads: one by one, or lengths and then all characters."""
    found = list(tensor.string_val)
    if tensor.dtype == DT_STRING and tensor.tensor_content:
        found += _unpacked(tensor.tensor_content, math.prod(dim.size for dim in tensor.tensor_shape.dim))
    return [text.decode("utf-8", "replace") for text in found]


def _unpacked(content: bytes, count: int) -> list[bytes]:
    """Strings behind their lengths, each length of seven bits a byte (TensorFlow, core/framework/tensor.cc)."""
    lengths, place = [], 0
    while len(lengths) < count and place < len(content):
        length = shift = 0
        more = True
        while more and place < len(content):
            length |= (content[place] & 0x7F) << shift
            more, shift, place = content[place] >= 0x80, shift + 7, place + 1
        lengths.append(length)
    ends = list(accumulate(lengths, initial=place))
    return [content[start:end] for start, end in pairwise(ends)]


def called(node: NodeDef) -> Iterator[str]:
    """The names of the functions that a node's attributes hold, also in the attributes of those."""
    waiting: list[AttrValue] = list(node.attr.values())
    while waiting:
        value = waiting.pop()
        for function in ([value.func] if value.HasField("func") else []) + list(value.list.func):
            yield function.name
            waiting += function.attr.values()


def _saver(packed: bytes) -> SaverDef:
    """A saver of a collection; an empty one, which names nothing, if it cannot be read."""
    try:
        return SaverDef.FromString(packed)
    except DecodeError:
        return SaverDef()


def node_name(tensor: str) -> str:
    """The node behind an input of the main graph: `name`, `name:0` or `^name`."""
    return tensor.removeprefix("^").partition(":")[0]
