"""S4, second half: which files the saver of a MetaGraph touches.

Whoever loads a graph in a session (TensorFlow 1, TensorFlow Serving, C++, Java), and `hub.load` for what TensorFlow 1
wrote, runs all that `restore_op_name` reaches, and passes the place of the checkpoint as `filename_tensor_name`. So

    restoring    only reads, and only at that very place
    saving       only writes, and only at places that begin with it: name + "_temp/part" + "-00000-of-00001"

and a place that is made of anything else (constants, texts put together) is another file, whatever it would be called.
A saver that was left in the library, which nobody calls, is held to the place that it would be called with.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tensorflow.core.framework.node_def_pb2 import NodeDef

from piecehub.conformance.graph import CALLS, Graph, Where, called, node_name, texts
from piecehub.conformance.ops import SAVER

# Where the places of files stand among the inputs of an operation that saves or restores.
_PLACES = {"RestoreV2": [0], "SaveV2": [0], "ShardedFilename": [0], "MergeV2Checkpoints": [0, 1]}
_RESTORES = frozenset({"RestoreV2"})
_FIRST = frozenset({"ShardedFilename", "Reshape", "ExpandDims"})
_CHOICES = frozenset({"Select", "SelectV2"})
_Seen = frozenset[tuple[str, str]]
_Reached = tuple[set[str], set[str]]


def foreign_files(graph: Graph) -> Iterator[Where]:
    """The nodes of a saver that touch another file than the one it is given, read in saving, or write in restoring."""
    for saver in graph.savers:
        saving, restoring = _reached(graph, saver.save_tensor_name), _reached(graph, saver.restore_op_name)
        given = saver.filename_tensor_name.removesuffix(":0")
        for where, node in graph.saver_nodes():
            for reached, allowed in ((saving, SAVER - _RESTORES), (restoring, _RESTORES)):
                if node.op in SAVER and _is_in(reached, where, node):
                    file = _File(graph, given, joined=reached is saving)
                    if node.op not in allowed or not file.is_at(where, node):
                        yield where, node
    for where, node in graph.saver_nodes():
        left = where in graph.left_savers and node.op in SAVER
        if left and not _File(graph, "", joined=node.op not in _RESTORES).is_at(where, node):
            yield where, node


def _reached(graph: Graph, tensor: str) -> _Reached:
    """The nodes of the main graph that a tensor needs, and the functions that these call."""
    names = graph.upstream([node_name(tensor)])
    return names, graph.functions_of(node for node in graph.first.graph_def.node if node.name in names)


def _is_in(reached: _Reached, where: str, node: NodeDef) -> bool:
    return where in reached[1] if where else node.name in reached[0]


@dataclass(frozen=True)
class _File:
    """Tells which texts are the place that a saver is given.

    Attributes:
        graph: the saver's.
        given: the tensor that holds the place.
        joined: whether what begins with the place will do too.
    """

    graph: Graph
    given: str
    joined: bool

    def is_at(self, where: str, node: NodeDef) -> bool:
        """Whether all files that an operation touches are at that place."""
        places = _PLACES[node.op]
        return len(node.input) > places[-1] and all(self._is_it(where, node.input[n], frozenset()) for n in places)

    def _is_it(self, where: str, reference: str, seen: _Seen) -> bool:
        """Whether a text comes from there on every way that leads to it."""
        if (where, reference) in seen:
            return False
        seen |= {(where, reference)}
        if not where and self.given and reference.removesuffix(":0") == self.given:
            return True
        if where and ":" not in reference:
            return self._is_passed(where, reference, seen)
        node = _node(self.graph, where, reference)
        sources = self._sources(where, node) if node is not None else []
        return bool(sources) and all(self._is_it(where, source, seen) for source in sources)

    def _sources(self, where: str, node: NodeDef) -> list[str]:
        """The inputs that must all be the place for the output to be it; none if that cannot be told."""
        inputs = [source for source in node.input if not source.startswith("^")]
        if node.op == "Identity" or (self.joined and node.op in _FIRST):
            return inputs[:1]
        if self.joined and node.op in ("Pack", "ConcatV2"):
            return inputs[: node.attr["N"].i]
        if self.joined and node.op == "StringJoin" and b".." not in node.attr["separator"].s:
            return inputs[:1] if self._lead_nowhere(where, inputs[1:]) else []
        return []

    def _is_passed(self, function: str, argument: str, seen: _Seen) -> bool:
        """Whether every call of a function passes the place as that argument; a left saver would be passed it."""
        names = [arg.name for arg in self.graph.functions[function].signature.input_arg]
        if function in self.graph.left_savers:
            return argument in names
        calls = [(where, node) for where, node in self.graph.all_nodes if function in called(node)]
        if argument not in names or not calls:
            return False
        index = names.index(argument)
        return all(
            node.op in CALLS and index < len(node.input) and self._is_it(where, node.input[index], seen)
            for where, node in calls
        )

    def _lead_nowhere(self, where: str, references: Iterable[str]) -> bool:
        """Whether texts are constants, or one of two constants, that lead to no other folder."""
        nodes = [_node(self.graph, where, reference) for reference in references]
        return all(
            node is not None
            and (
                (node.op == "Const" and not any(".." in text for text in texts(node.attr["value"].tensor)))
                or (node.op in _CHOICES and self._lead_nowhere(where, node.input[1:3]))
            )
            for node in nodes
        )


def _node(graph: Graph, where: str, reference: str) -> NodeDef | None:
    nodes = graph.functions[where].node_def if where else graph.first.graph_def.node
    return next((node for node in nodes if node.name == node_name(reference)), None)
