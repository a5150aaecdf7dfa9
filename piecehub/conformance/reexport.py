"""D18: what was loaded can be saved again, as fine-tuning ends (TF Hub, "SavedModels from TF Hub in TensorFlow 2")."""

import tempfile
from pathlib import Path

import tensorflow as tf

from piecehub.conformance.behaviour import close
from piecehub.conformance.loaded import STRANGERS, Loaded, load
from piecehub.conformance.verdict import Verdict, held, short

_REMEDY = "track everything that it uses as attributes of the root"


def saves_again(loaded: Loaded) -> Verdict:
    """D18: saved again with its signatures, it gives the same outputs, losses and signatures."""
    signatures = dict(getattr(loaded.obj, "signatures", {}))
    with tempfile.TemporaryDirectory(prefix="piecehub-again-") as folder:
        try:
            tf.saved_model.save(loaded.obj, folder, signatures=signatures)
            again = load(Path(folder))
        except STRANGERS as error:
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            return short("a model that can be saved again", what, _REMEDY)
        return _compared(loaded, again)


def _compared(loaded: Loaded, again: Loaded) -> Verdict:
    expected = "the same after saving again"
    inputs = loaded.draw(loaded.examples)
    first, second = loaded.infer(inputs), again.infer(inputs)
    if first.keys() != second.keys() or not all(close(first[name], second[name]) for name in first):
        return short(expected, "other outputs", _REMEDY)
    for what in ("variables", "trainable_variables", "regularization_losses"):
        counts = len(getattr(loaded, what)), len(getattr(again, what))
        if counts[0] != counts[1]:
            return short(expected, f"{counts[1]} instead of {counts[0]} {what}", _REMEDY)
    names = [sorted(getattr(model.obj, "signatures", {})) for model in (loaded, again)]
    if names[0] != names[1]:
        return short(expected, f"the signatures {names[1]} instead of {names[0]}", _REMEDY)
    losses = len(again.regularization_losses)
    return held(f"Saved again: the same outputs, {losses} losses, {len(names[1])} signatures.")
