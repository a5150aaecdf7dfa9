"""X2: what a Keras model does to its loss and weights beside weight regularization; the interface cannot carry it."""

import re

from piecehub.conformance.loaded import Loaded
from piecehub.conformance.verdict import Verdict, held, nothing, short

# What the exporter notes as lost, and how a page tells it.
_TOLD = {
    "constraint": r"constrain",
    "activity_regularizer": r"activity[_ -]regulari|return_losses",
    "add_loss": r"add_loss|return_losses",
}


def told_or_exported(loaded: Loaded) -> Verdict:
    """X2: activity regularizers, `add_loss` and constraints are exported through `return_losses`, or told."""
    manifest = loaded.manifest
    if manifest is None:
        return nothing("Not made, since no manifest of a piece lies beside the model.")
    lost = [item for item in manifest.lost if item.get("what") in _TOLD]
    untold = [item for item in lost if not re.search(_TOLD[item["what"]], loaded.documentation, re.IGNORECASE)]
    if not untold:
        return held(f"{len(lost)} things are lost, and the page tells them." if lost else "Nothing is lost.")
    received = f"nothing about the {untold[0]['what']} {untold[0].get('is', '')} of '{untold[0].get('of', '')}'"
    return short("what the interface loses to be told", received, "tell it in the documentation, or use return_losses")
