"""S10, second half: where the text file of a table comes from, followed backwards through the graph.

The file's name must be one of the model's assets, which a loader places. It reaches the operation as

    an argument of a function, bound to an asset of the object graph     (tf.saved_model.load)
    a call's input in the main graph, fed from an asset's placeholder    (other loaders)

Anything else (a constant, an argument that a caller may choose) makes the model read a file that is not its own.
"""

from collections.abc import Iterator

from tensorflow.core.framework.node_def_pb2 import NodeDef

from piecehub.conformance.graph import CALLS, Graph, called
from piecehub.conformance.ops import TABLE_FILES

_SAME_VALUE = frozenset({"Identity", "ReadVariableOp"})
_Seen = frozenset[tuple[str, str]]


def foreign_tables(graph: Graph) -> Iterator[str]:
    """The nodes that fill a table from a file that is no asset of the model, each with its function's name."""
    for where, node in graph.all_nodes:
        if node.op in TABLE_FILES and not (len(node.input) > 1 and _is_asset(graph, where, node.input[1], frozenset())):
            yield f"{node.name} in {where or 'the main graph'}"


def _is_asset(graph: Graph, where: str, reference: str, seen: _Seen) -> bool:
    """Whether a tensor is an asset's path on every way that leads to it."""
    if (where, reference) in seen:
        return False
    seen |= {(where, reference)}
    if where and ":" not in reference:
        return _is_bound(graph, where, reference, seen)
    node = _node(graph, where, reference.partition(":")[0])
    if node is None:
        return False
    if node.op in _SAME_VALUE and node.input:
        return _is_asset(graph, where, node.input[0], seen)
    if node.op == "VarHandleOp":
        written = [n.input[1] for w, n in graph.all_nodes if w == where and _writes(n, node.name)]
        return bool(written) and all(_is_asset(graph, where, value, seen) for value in written)
    return not where and node.name in graph.asset_tensors


def _is_bound(graph: Graph, function: str, argument: str, seen: _Seen) -> bool:
    """Whether an argument of a function is an asset, whoever calls it."""
    names = [arg.name for arg in graph.functions[function].signature.input_arg]
    if argument not in names:
        return False
    index = names.index(argument)
    objects = graph.first.object_graph_def
    if function in objects.concrete_functions:
        bound = list(objects.concrete_functions[function].bound_inputs)  # the last arguments
        position = index - (len(names) - len(bound))
        if position < 0 or not _is_asset_object(graph, bound[position]):
            return False
    return all(
        node.op in CALLS and index < len(node.input) and _is_asset(graph, where, node.input[index], seen)
        for where, node in graph.all_nodes
        if function in called(node)
    )


def _is_asset_object(graph: Graph, number: int) -> bool:
    nodes = graph.first.object_graph_def.nodes
    return 0 <= number < len(nodes) and nodes[number].WhichOneof("kind") == "asset"


def _writes(node: NodeDef, variable: str) -> bool:
    return node.op == "AssignVariableOp" and len(node.input) > 1 and node.input[0].partition(":")[0] == variable


def _node(graph: Graph, where: str, name: str) -> NodeDef | None:
    nodes = graph.functions[where].node_def if where else graph.first.graph_def.node
    return next((node for node in nodes if node.name == name), None)
