"""Which operations make the outputs of a piece, read in the protos: through calls, branches and changes of form."""

from collections.abc import Iterator
from dataclasses import dataclass

from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

from piecehub.conformance.graph import Graph

# Operations whose output is their first input in another form: where it goes on.
_FIRST = frozenset(
    {
        "BroadcastTo", "Cast", "EnsureShape", "ExpandDims", "GatherV2", "Identity", "PreventGradient", "Reshape",
        "Slice", "Snapshot", "Squeeze", "StopGradient", "StridedSlice", "Tile", "Transpose",
    }
)  # fmt: skip
_ONE_FOR_ONE = frozenset({"IdentityN"})
_ALL = frozenset({"ConcatV2", "Pack"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_BRANCHES = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})


@dataclass(frozen=True)
class _Frame:
    """A function's body, and the call in another body that leads to it: what is passed stands there."""

    function: FunctionDef
    node: NodeDef | None = None
    caller: "_Frame | None" = None
    skipped: int = 0  # inputs of the node that are not the function's: a branch's condition


def output_operations(graph: Graph, piece: str = "") -> set[str]:
    """The operations that make the outputs of `__call__` of the root, or of its sub-object `piece`.

    An output that is an input as it came gives none.
    """
    return {
        node.op
        for name in _traces(graph, piece)
        if name in graph.functions
        for reference in graph.functions[name].ret.values()
        for node in _makers(graph, _Frame(graph.functions[name]), reference)
    }


def _traces(graph: Graph, piece: str) -> list[str]:
    """The names of the functions behind `__call__`."""
    nodes = graph.first.object_graph_def.nodes
    place: int | None = 0
    for step in (*([piece] if piece else []), "__call__"):
        children = nodes[place].children if place is not None and nodes else ()
        place = next((child.node_id for child in children if child.local_name == step), None)
    return [] if place is None else list(nodes[place].function.concrete_functions)


def _makers(graph: Graph, frame: _Frame, reference: str) -> Iterator[NodeDef]:
    """The nodes that make what `reference` names in the body of `frame`: `node:output:index`, or an argument."""
    name, _, rest = reference.partition(":")
    node = next((node for node in frame.function.node_def if node.name == name), None)
    if node is None:
        yield from _passed(graph, frame, name)
        return
    index = int(rest.rpartition(":")[2] or 0)
    for callee in _callees(graph, node):
        output = callee.signature.output_arg[index].name
        inner = _Frame(callee, node, frame, int(node.op in _BRANCHES))
        yield from _makers(graph, inner, callee.ret[output])
    if node.op in _FIRST | _ONE_FOR_ONE:
        yield from _makers(graph, frame, node.input[index if node.op in _ONE_FOR_ONE else 0])
    elif node.op in _ALL:
        for source in node.input[: node.attr["N"].i]:
            yield from _makers(graph, frame, source)
    elif node.op not in _CALLS | _BRANCHES:
        yield node


def _passed(graph: Graph, frame: _Frame, argument: str) -> Iterator[NodeDef]:
    """The nodes that make what the caller passes as `argument`."""
    names = [arg.name for arg in frame.function.signature.input_arg]
    if frame.caller and frame.node and argument in names:
        yield from _makers(graph, frame.caller, frame.node.input[names.index(argument) + frame.skipped])


def _callees(graph: Graph, node: NodeDef) -> list[FunctionDef]:
    if node.op in _CALLS:
        names = [node.attr["f"].func.name]
    elif node.op in _BRANCHES:
        both = [node.attr[key].func.name for key in ("then_branch", "else_branch")]
        names = [*both, *(function.name for function in node.attr["branches"].list.func)]
    else:
        names = []
    return [graph.functions[name] for name in names if name in graph.functions]
