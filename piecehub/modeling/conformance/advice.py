"""D14 to D16: what TensorFlow Hub's guides advise about dropout and batch normalization."""

import re
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.modeling.conformance.behaviour import EXAMPLES, changed_since
from piecehub.modeling.conformance.loaded import Loaded, flat
from piecehub.modeling.conformance.verdict import Verdict, held, nothing, short

_MOMENTA = (0.5, 0.99)
_PASSES = 8
_MOST_ZEROS = 0.05
_TOLERANCE = 1e-3
_RANDOM = re.compile(r"(Stateless|Stateful)?Random(Uniform|Bernoulli|Binomial).*|StatelessRandomGetAlg|.*Multinomial")


def momentum_fits(loaded: Loaded) -> Verdict:
    """D14: moving averages move as fast as fine-tuning on few examples needs it, or their momentum can be set.

    A moving average s becomes m * s + (1 - m) * b in one call with training=True. From s = 0 and from s = 1, on the
    same batch, the two results differ by exactly m: nothing of the model needs to be known for it.
    """
    if not loaded.has_training:
        return nothing("No call with training=True.")
    momenta = moving_average_momenta(loaded)
    if not momenta:
        return held("No moving average.")
    low, high = min(momenta.values()), max(momenta.values())
    seen = f"{low:.4g}" if high - low < 1e-4 else f"{low:.4g} to {high:.4g}"
    if _MOMENTA[0] - _TOLERANCE <= low and high <= _MOMENTA[1] + 1e-4:
        return held(f"{len(momenta)} moving averages with momentum {seen}.")
    if "batch_norm_momentum" in loaded.arguments:
        return held(f"{len(momenta)} moving averages with momentum {seen}, which 'batch_norm_momentum' can set.")
    worst = max(momenta, key=lambda name: abs(momenta[name] - 0.9))
    received = f"{momenta[worst]:.4g} for '{worst}'"
    return short(f"a momentum from {_MOMENTA[0]} to {_MOMENTA[1]}", received, "lower it, or let consumers set it")


def no_dropout_on_output(loaded: Loaded) -> Verdict:
    """D15: the output itself is not dropped: consumers choose the dropout of their own head (TF Hub, common APIs)."""
    if not loaded.has_training:
        return nothing("No call with training=True.")
    inputs = loaded.draw(EXAMPLES)
    with loaded.unchanged():
        passes = [flat(loaded.train(inputs)) for _ in range(_PASSES)]
    for name, first in passes[0].items():
        if first.dtype.kind == "f" and first.ndim > 1 and first.size:
            share = _dropped(np.stack([outputs[name] for outputs in passes]))
            if share > _MOST_ZEROS:
                remedy = "cut the piece before the dropout"
                return short("an output without dropout", f"{share:.0%} of '{name}' at 0 by chance", remedy)
    return held("No dropout on the output.")


def dropout_rate_told(loaded: Loaded) -> Verdict:
    """D16: where there is dropout, its rate is recorded or can be set."""
    if not any(_RANDOM.fullmatch(node.op) and "dropout" in node.name.lower() for _, node in loaded.graph.nodes()):
        return held("No dropout.")
    if "dropout_rate" in loaded.arguments:
        return held("Dropout, whose rate 'dropout_rate' can set.")
    if loaded.manifest and loaded.manifest.dropout:
        rates = sorted({str(item.get("rate")) for item in loaded.manifest.dropout})
        return held(f"Dropout, whose rate the manifest tells: {', '.join(rates)}.")
    if re.search(r"dropout[^.\n]{0,80}\d", loaded.documentation, re.IGNORECASE):
        return held("Dropout, whose rate the documentation tells.")
    return short("the rate of the dropout inside", "none", "export it as 'dropout_rate', or tell it on the model page")


def moving_average_momenta(loaded: Loaded) -> dict[str, float]:
    """The momentum of every moving average among the variables, by the variable's name."""
    inputs = loaded.draw(EXAMPLES)
    trainable = {variable.ref() for variable in loaded.trainable_variables}
    with loaded.unchanged() as before:
        loaded.train(inputs)
        moved = [v for v in changed_since(loaded, before) if v.dtype.is_floating and v.ref() not in trainable]
        found = _momenta(loaded, inputs, moved, before)
        if None in found:  # what does not bear 0 or 1, as the vector of a spectral normalization, spoils others
            found = [_momenta(loaded, inputs, [variable], before)[0] for variable in moved]
    return {v.name.partition(":")[0]: m for v, m in zip(moved, found, strict=True) if m is not None}


def _momenta(loaded: Loaded, inputs: Any, moved: list[tf.Variable], before: list[np.ndarray]) -> list[float | None]:
    """The momentum of each of them, or None if it is no moving average."""
    results = []
    for start in (0.0, 1.0):
        loaded.restore(before)
        for variable in moved:
            variable.assign(tf.cast(tf.fill(variable.shape, start), variable.dtype))
        loaded.train(inputs)
        results.append([variable.numpy().astype("f8") for variable in moved])
    return [_momentum(one - zero) for zero, one in zip(*results, strict=True)]


def _momentum(differences: np.ndarray) -> float | None:
    """The one number that all differences are; statistics of noise (dropout before) make the median exact enough."""
    momentum = float(np.median(differences)) if differences.size else 1.0
    spread = float(np.max(np.abs(differences - momentum))) if differences.size else 0.0
    is_average = np.isfinite(spread) and spread < 0.5 and 1e-6 < momentum < 1 - 1e-7
    return momentum if is_average else None


def _dropped(values: np.ndarray) -> float:
    """The share of zeros among `[passes, examples, …]` values that are 0 by chance; 0 if they may come from elsewhere.

    A value that is 0 in some passes and not in others is dropped if it has no sign of a rectifier (which gives zeros
    too, where randomness lies above it): either the values have both signs, or they are constant where they are not 0.
    """
    is_zero = values == 0
    flat = is_zero.reshape(*is_zero.shape[:2], -1)
    # All of an example at 0: nothing came through from above, which is no dropout of the output.
    is_zero &= ~flat.all(axis=2).reshape(*is_zero.shape[:2], *[1] * (is_zero.ndim - 2))
    by_chance = is_zero.any(axis=0) & ~is_zero.all(axis=0)
    if not by_chance.any():
        return 0.0
    chosen = np.where(values == 0, np.nan, values)[:, by_chance]
    spread = np.nanmax(chosen, axis=0) - np.nanmin(chosen, axis=0)
    is_constant = np.median(spread / np.nanmax(np.abs(chosen), axis=0)) < _TOLERANCE
    has_both_signs = min((values > 0).mean(), (values < 0).mean()) > _MOST_ZEROS
    return float((is_zero & by_chance).mean()) if is_constant or has_both_signs else 0.0
