"""S4 to S9 and S11: the nodes of a graph, in every function, whoever calls it."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

import tensorflow as tf
from tensorflow.core.framework.node_def_pb2 import NodeDef

from piecehub.conformance import ops
from piecehub.conformance.graph import Graph, Where, attribute_strings, constant_strings, node_name, shared_names
from piecehub.conformance.model import Model, some
from piecehub.conformance.savers import foreign_files
from piecehub.conformance.verdict import Verdict, advise, held, short

# `/a/b` at the start or behind a sign that ends no word, as in the `hash_table_/home/me/vocabulary.txt` that Keras
# writes; `C:\`; `scheme://`; a number of a machine and its port.
_PATH_IN_ATTRIBUTE = re.compile(
    r"(?<![\w.)\]}-])/[\w.+-]+/[\w.+-]|_/[\w.+-]+/[\w.+-]|\b[A-Za-z]:\\|\b[a-z][a-z0-9+.-]+://"
    r"|\b\d{1,3}(\.\d{1,3}){3}:\d+\b"
)
_PATH = re.compile(r"(/[\w.+ -]+){2,}/?|[A-Za-z]:\\.+|[a-z][a-z0-9+.-]+://\S+|\d{1,3}(\.\d{1,3}){3}:\d+")
# Tables live on the CPU, and Keras says so.
_CPU = re.compile(r"(/job:localhost/replica:0/task:0)?(/device:CPU:[0*]|/cpu:0|/CPU:0)?")
_LARGE_CONST_BYTES = 64 << 10
_DEEPEST_JOIN = 4
_MUST_COMPILE = "_XlaMustCompile"


def stand_alone(model: Model) -> Verdict:
    """S4: no operation touches files, the network, processes, Python or the terminal; see ops.py for the rule."""
    refused: list[Where] = []
    for graph in model.graph.each:
        refused += [found for found in graph.nodes() if _refused(found[1].op)]
        refused += [found for found in graph.saver_nodes() if found[1].op not in ops.SAVER and _refused(found[1].op)]
        refused += foreign_files(graph)
    if refused:
        return short("operations that need nothing outside the model", some(_texts(refused)), "take them out")
    return held("No operation runs Python or leaves the model.")


def run_anywhere(model: Model) -> Verdict:
    """S5: no operation of one kind of hardware or one compiler.

    tf_keras puts a second body of each recurrent layer into the library, for cuDNN. Nothing calls it but TensorFlow
    itself, and only where there is a GPU, so it does not keep the model from running anywhere.
    """
    bound = [
        (where, node)
        for graph in model.graph.each
        for where, node in graph.all_nodes
        if ops.is_bound(node.op) and (not where or where in graph.reached or "Cudnn" not in node.op)
    ]
    if bound:
        return short("operations that run on any machine", some(_texts(bound)), "export on a CPU, without a compiler")
    return held("No operation asks for one kind of hardware.")


def are_known(model: Model) -> Verdict:
    """S6: TensorFlow alone can load the graph."""
    found = sorted({n.op for _, n in model.nodes if not ops.is_known(n.op)})
    if not found:
        return held("TensorFlow knows every operation.")
    by_library: dict[str, list[str]] = defaultdict(list)
    for op in found:
        by_library[ops.library_of(op)].append(op)
    needed = "; ".join(f"{some(names)} of {library}" for library, names in sorted(by_library.items()))
    return short("operations of TensorFlow alone", needed, "whoever loads the model must import that library first")


def float_freely(model: Model) -> Verdict:
    """S7: no operation is pinned to a device that another machine may lack."""
    pinned = sorted({node.device for _, node in model.nodes if not _CPU.fullmatch(node.device)})
    if pinned:
        return short("operations on no device of their own", some(pinned), "trace without tf.device")
    return held("No operation is pinned to a device.")


def name_no_place(model: Model) -> Verdict:
    """S8: no path and no address in a string; whoever has the model would look there, or learn of it.

    The name of a table or a variable is no path, whatever it looks like: nobody opens it. It may tell of its maker.
    """
    found = {text for _, node in model.nodes for text in filter(_PATH_IN_ATTRIBUTE.search, attribute_strings(node))}
    found |= {text for graph in model.graph.each for text in filter(_PATH.fullmatch, _constant_texts(graph))}
    if found:
        return short("no absolute path and no address in the graph", some(found), "use an asset instead")
    files = {PurePosixPath(asset.filename).name for graph in model.graph.each for asset in graph.assets} - {""}
    told = {name for _, node in model.nodes for name in filter(_PATH_IN_ATTRIBUTE.search, shared_names(node))}
    if told := {name for name in told if not any(file in name for file in files)}:
        return advise("names that tell no path of their maker", some(told), "name the table or the variable yourself")
    return held("No path and no address in the graph.")


def _constant_texts(graph: Graph) -> Iterator[str]:
    """The strings of constants, where they are few, and those that the graph joins; not what stands for an asset."""
    single: dict[tuple[str, str], str] = {}
    joins: list[Where] = []
    for where, node in graph.all_nodes:
        if node.op == "StringJoin":
            joins.append((where, node))
        found = [] if not where and node.name in graph.asset_tensors else list(constant_strings(node))
        if len(found) == 1:
            single[where, node.name] = found[0]
        yield from found
    for where, node in joins * _DEEPEST_JOIN:  # what is joined may be joined again
        parts = [single.get((where, node_name(source))) for source in node.input if not source.startswith("^")]
        if None not in parts:
            single[where, node.name] = node.attr["separator"].s.decode("utf-8", "replace").join(map(str, parts))
    yield from (single[where, node.name] for where, node in joins if (where, node.name) in single)


def hold_no_weights(model: Model) -> Verdict:
    """S9: weights that are constants cannot be fine-tuned."""
    large = [where for where in model.nodes if _float_bytes(where[1]) > _LARGE_CONST_BYTES]
    if large:
        names = {f"{node.name} in {where or 'the main graph'}" for where, node in large}
        return short("weights in variables", f"constants of more than 64 KiB: {some(names)}", "save them as variables")
    return held("No large constant.")


def force_no_compiler(model: Model) -> Verdict:
    """S11: a function traced with jit_compile=True runs only where XLA compiles all of it."""
    functions = [
        f.signature.name for graph in model.graph.each for f in graph.functions.values() if f.attr[_MUST_COMPILE].b
    ]
    nodes = [node.name for _, node in model.nodes if _MUST_COMPILE in node.attr and node.attr[_MUST_COMPILE].b]
    if functions or nodes:
        return short("functions that need no compiler", some({*functions, *nodes}), "trace without jit_compile=True")
    return held("No function must be compiled.")


def _refused(op: str) -> bool:
    """Refused by S4: what S5 and S6 name is theirs."""
    return ops.is_known(op) and not ops.is_bound(op) and not ops.is_allowed(op)


def _texts(nodes: list[Where]) -> set[str]:
    return {f"{node.op} in {where or 'the main graph'}" for where, node in nodes}


def _float_bytes(node: NodeDef) -> int:
    """Bytes of the numbers that a constant of floats holds; one that repeats a number holds few."""
    if node.op != "Const":
        return 0
    tensor = node.attr["value"].tensor
    dtype = tf.dtypes.as_dtype(tensor.dtype) if tensor.dtype else tf.string
    if not dtype.is_floating:
        return 0
    values = 4 * len(tensor.float_val) + 8 * len(tensor.double_val) + 2 * len(tensor.half_val)
    return len(tensor.tensor_content) + values
