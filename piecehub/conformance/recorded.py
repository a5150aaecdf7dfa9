"""D28 and D31: what the manifest records of the layers is what the piece does (piecehub/facts/piece_manifest.py)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from piecehub.conformance.behaviour import close
from piecehub.conformance.loaded import Loaded, flat
from piecehub.conformance.verdict import Verdict, held, nothing, short

_KERAS_OWN = frozenset({"L1", "L2", "L1L2"})
_BATCHES = 3


def regularized_as_recorded(loaded: Loaded) -> Verdict:
    """D28: there are as many regularization losses as recorded, and of the values that Keras' configuration gives.

    Where nothing is recorded, a loss must at least read a variable: a constant regularizes nothing.
    """
    losses = loaded.regularization_losses
    if frozen := [i for i, loss in enumerate(losses) if _is_constant(loss)]:
        return short(
            "regularization losses of weights", f"a constant as loss {frozen[0]}", "compute it in the function"
        )
    if loaded.manifest is None:
        return nothing("Not made, since no manifest of a piece lies beside the model.")
    records, remedy = loaded.manifest.regularizers, "export it again with its regularizers"
    if len(records) != len(losses):
        return short(f"{len(records)} regularization losses, as recorded", str(len(losses)), remedy)
    checked = 0
    for record, loss in zip(records, losses, strict=True):
        expected = _penalty(loaded, record)
        if expected is None:
            continue
        checked += 1
        if not np.isclose(value := float(loss()), expected, rtol=1e-3, atol=1e-7):
            what = f"a regularization loss of {expected:.4g} on '{record['variable']}', as recorded"
            return short(what, f"{value:.4g}", remedy)
    return held(f"{len(losses)} regularization losses, as many as recorded; {checked} were computed again.")


def dropout_acts(loaded: Loaded) -> Verdict:
    """D31: where dropout is recorded, two passes in training differ."""
    rates = [item.get("rate") for item in loaded.manifest.dropout] if loaded.manifest else []
    if not any(rates):
        return nothing("No dropout is recorded.")
    with loaded.unchanged():
        for seed in range(_BATCHES):
            inputs = loaded.draw(loaded.examples, seed)
            first, second = flat(loaded.train(inputs)), flat(loaded.train(inputs))
            if not all(close(first[name], second[name]) for name in first):
                return held("Two passes in training differ, as the recorded dropout makes them.")
    received = "the same outputs twice" if loaded.has_training else "no argument 'training'"
    return short("chance in training, since dropout is recorded", received, "pass 'training' on to every layer")


def _is_constant(loss: Any) -> bool:
    """Whether a loss that is not 0 reads no variable."""
    traces = getattr(loss, "concrete_functions", [])
    return bool(traces) and not any(trace.variables for trace in traces) and float(loss()) != 0


def _penalty(loaded: Loaded, record: Mapping[str, Any]) -> float | None:
    """What the recorded regularizer gives; None where it is none of Keras' own or its weight cannot be told."""
    paths = list(loaded.manifest.variables) if loaded.manifest else []
    serialized = record.get("regularizer") or {}
    if serialized.get("class_name") not in _KERAS_OWN or len(paths) != len(loaded.variables):
        return None
    if paths.count(record["variable"]) != 1:
        return None
    weight = loaded.variables[paths.index(record["variable"])].numpy().astype("f8")
    config = serialized.get("config", {})
    return float(config.get("l1", 0.0)) * np.abs(weight).sum() + float(config.get("l2", 0.0)) * np.square(weight).sum()
