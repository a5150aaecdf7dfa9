"""Models that draw random numbers at inference: samplers, dropout that is always on, `tf.random` in a layer.

Their inference is exported as random as it is: a seed of Keras is then advanced and kept at inference too, where it
would otherwise give one frozen draw for ever. Nobody can hold such outputs against recorded ones, so none are.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from piecehub.errors import NotReusableError
from piecehub.exporting import golden, reusable_root
from piecehub.exporting.export_options import ExportOptions
from piecehub.exporting.exportable import Exportable
from piecehub.exporting.replicas import unchanged
from piecehub.exporting.reusable_root import Traced
from piecehub.facts.piece_manifest import RANDOM

_DRAWS = re.compile(
    r"Random|Multinomial|TruncatedNormal|StandardNormal|StatefulUniform|RngReadAndSkip|NonDeterministic"
)


def trace(exportable: Exportable, options: ExportOptions, golden_inputs: Any) -> tuple[Exportable, Traced]:
    """The traced model; where its inference draws random numbers, it says so and does.

    Args:
        exportable: the model.
        options: of the export.
        golden_inputs: to try it on; synthetic ones if None.
    """
    traced = reusable_root.trace(exportable, options)
    if not _has_draws(traced.traces):
        return exportable, traced
    drawing = _drawing(exportable)
    traced_drawing = traced if drawing.forward is exportable.forward else reusable_root.trace(drawing, options)
    inputs = golden.synthetic(exportable.specs) if golden_inputs is None else golden_inputs
    return (drawing, traced_drawing) if _differs(drawing, traced_drawing, inputs) else (exportable, traced)


def _has_draws(traces: Sequence[Any]) -> bool:
    """Whether an operation in the traces of inference may draw."""
    for concrete in traces:
        graph = concrete.graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        if any(_DRAWS.search(node.op) for node in nodes):
            return True
    return False


def _drawing(exportable: Exportable) -> Exportable:
    told = {"what": RANDOM, "of": exportable.name, "is": "drawn anew at each call"}
    return replace(
        exportable,
        forward=exportable.drawing or exportable.forward,
        pieces={name: replace(p, forward=p.drawing or p.forward) for name, p in exportable.pieces.items()},
        facts=replace(exportable.facts, lost=[*exportable.facts.lost, told]),
        random=True,
    )


def _differs(exportable: Exportable, traced: Traced, inputs: Any) -> bool:
    """Whether two calls give different outputs; where it takes no such inputs, what may draw counts as drawing."""
    with unchanged([named.variable for named in traced.variables]):
        try:
            one, other = (
                golden.compute(lambda x: reusable_root.infer(exportable, traced, x), inputs, exportable.name)
                for _ in range(2)
            )
        except NotReusableError:
            return True
    return golden.difference(one, other) > golden.TOLERANCE
