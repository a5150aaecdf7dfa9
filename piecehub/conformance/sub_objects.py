"""D23: the callable sub-objects of a piece, one level deep (tensorflow/hub, docs/reusable_saved_models.md)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from piecehub.conformance.loaded import Loaded
from piecehub.conformance.verdict import Verdict, held, nothing, short
from piecehub.facts.conformance_report import Finding

_OF_KERAS = "keras_api"  # what tf_keras puts into every layer that it saves


def pieces_inside(loaded: Loaded) -> list[Loaded]:
    """Every callable sub-object that counts as a piece, one level deep.

    A bare tf.function is none, and neither is a layer of a Keras model that was saved with its layers around it.
    """
    children = loaded.obj._trackable_children() if hasattr(loaded.obj, "_trackable_children") else {}
    return [
        replace(loaded, obj=child, name=name)
        for name, child in sorted(children.items())
        if name.isidentifier() and name != _OF_KERAS and _is_piece(child)
    ]


def conform(loaded: Loaded, check: Callable[[Loaded], Sequence[Finding]]) -> Verdict:
    """D23: each passes the checks D2 to D13 (by `check`), and holds no further piece."""
    pieces = pieces_inside(loaded)
    if not pieces:
        return nothing("No callable sub-object.")
    for piece in pieces:
        if deeper := pieces_inside(piece):
            received = f"'{piece.name}.{deeper[0].name}'"
            return short("callable sub-objects one level deep", received, "attach it to the root")
        for found in check(piece):
            if found.level == "fail" and found.passed is not True:
                received = f"'{piece.name}' falls short at {found.check}: {found.sentence.rstrip('.')}"
                return short("sub-objects that keep the interface themselves", received, "mend it, or leave it out")
    return held(f"{len(pieces)} sub-objects keep the interface: {', '.join(piece.name for piece in pieces)}.")


def _is_piece(child: Any) -> bool:
    """True if it is an object with a traced `__call__` that no Keras saved as a layer."""
    if isinstance(child, tf.types.experimental.PolymorphicFunction) or hasattr(child, _OF_KERAS):
        return False
    return callable(child) and bool(getattr(child.__call__, "concrete_functions", None))
