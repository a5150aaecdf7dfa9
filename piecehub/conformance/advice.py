"""D14 to D16: what TensorFlow Hub's guides advise about dropout and batch normalization."""

import re
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.conformance.loaded import Loaded, flat
from piecehub.conformance.running_statistics import Line, moved_floats, moved_lines
from piecehub.conformance.verdict import Verdict, held, nothing, short

_MOMENTA = (0.5, 0.99)
_MOMENTUM, _RATE = "batch_norm_momentum", "dropout_rate"
_PASSES = 8
_MOST_ZEROS = 0.05
_ENOUGH = 1000  # numbers, for some to be 0 if any dropout would be seen
_TOLERANCE = 1e-3
# What batch normalization calls its statistics, in Keras and elsewhere; behind the path of the layer.
_STATISTIC = re.compile(r"(.*[/_.])?(moving|running)_(mean|average|var|variance|std)(_\d+)?")
_RANDOM = re.compile(r"(Stateless|Stateful)?Random(Uniform|Bernoulli|Binomial).*|StatelessRandomGetAlg|.*Multinomial")


def momentum_fits(loaded: Loaded) -> Verdict:
    """D14: moving averages move as fast as fine-tuning on few examples needs it, or their momentum can be set.

    A moving average s becomes m * s + (1 - m) * b in one call with training=True. From s = 0 and from s = 1, on the
    same batch, the two results differ by exactly m: nothing of the model needs to be known for it. What the manifest or
    its name calls a statistic, and never moves, is an average of momentum 1.
    """
    if unmoved := _unmoved(loaded):
        received = f"'{unmoved[0]}', which stays though its layer is trained"
        return short(f"a momentum from {_MOMENTA[0]} to {_MOMENTA[1]}", received, "call that layer with training=True")
    if not loaded.has_training:
        return nothing("No call with training=True.")
    momenta = moving_average_momenta(loaded)
    if not momenta:
        return held("No moving average.")
    low, high = min(momenta.values()), max(momenta.values())
    seen = f"{low:.4g}" if high - low < 1e-4 else f"{low:.4g} to {high:.4g}"
    if _MOMENTA[0] - _TOLERANCE <= low and high <= _MOMENTA[1] + 1e-4:
        return held(f"{len(momenta)} moving averages with momentum {seen}.")
    if _MOMENTUM in loaded.arguments:
        return held(f"{len(momenta)} moving averages with momentum {seen}, which '{_MOMENTUM}' can set.")
    worst = max(momenta, key=lambda name: abs(momenta[name] - 0.9))
    received = f"{momenta[worst]:.4g} for '{worst}'"
    return short(
        f"a momentum from {_MOMENTA[0]} to {_MOMENTA[1]}",
        received,
        f"export it with another, or {_how_to_offer(_MOMENTUM)}",
    )


def no_dropout_on_output(loaded: Loaded) -> Verdict:
    """D15: the output itself is not dropped: consumers choose the dropout of their own head (TF Hub, common APIs)."""
    if not loaded.has_training:
        return nothing("No call with training=True.")
    inputs = loaded.draw(loaded.examples)
    with loaded.unchanged():
        passes = [flat(loaded.train(inputs)) for _ in range(2)]
        if not _show_no_dropout(*passes):
            passes += [flat(loaded.train(inputs)) for _ in range(_PASSES - 2)]
    for name, first in passes[0].items():
        if first.dtype.kind == "f" and first.ndim > 1 and first.size:
            share = _dropped(np.stack([outputs[name] for outputs in passes]))
            if share > _MOST_ZEROS:
                remedy = "cut the piece before the dropout"
                return short("an output without dropout", f"{share:.0%} of '{name}' at 0 by chance", remedy)
    return held("No dropout on the output.")


def _show_no_dropout(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    """Whether two passes tell enough: they are the same, or of a thousand numbers and more none is 0."""
    pairs = [(first[name], second[name]) for name in first]
    return all(np.array_equal(a, b) or (a.size >= _ENOUGH and a.all() and b.all()) for a, b in pairs)


def dropout_rate_told(loaded: Loaded) -> Verdict:
    """D16: where there is dropout, its rate is recorded or can be set."""
    if not any(_RANDOM.fullmatch(node.op) and "dropout" in node.name.lower() for _, node in loaded.graph.nodes()):
        return held("No dropout.")
    if _RATE in loaded.arguments:
        return held(f"Dropout, whose rate '{_RATE}' can set.")
    if loaded.manifest and loaded.manifest.dropout:
        rates = sorted({str(item.get("rate")) for item in loaded.manifest.dropout})
        return held(f"Dropout, whose rate the manifest tells: {', '.join(rates)}.")
    if re.search(r"dropout[^.\n]{0,80}\d", loaded.documentation, re.IGNORECASE):
        return held("Dropout, whose rate the documentation tells.")
    remedy = f"tell it on the model page, or {_how_to_offer(_RATE)}"
    return short("the rate of the dropout inside", "none", remedy)


def _how_to_offer(hyperparameter: str) -> str:
    """How consumers of a Keras model get an argument of `__call__` for it."""
    return (
        f"let consumers set it: `piecehub.export(…, ExportOptions(hyperparameters=('{hyperparameter}',)))`, `piecehub "
        f"export --hyperparameter {hyperparameter}`, or in a recipe `hyperparameters = ['{hyperparameter}']` of its "
        "[piece]"
    )


def moving_average_momenta(loaded: Loaded) -> dict[str, float]:
    """The momentum of every moving average among the variables, by the variable's name."""
    moved = moved_floats(loaded)
    lines = loaded.once(moved_lines)
    return {v.name.partition(":")[0]: line.slope for v, line in zip(moved, lines, strict=True) if _is_average(line)}


def _is_average(line: Line) -> bool:
    return line.spread < 0.5 and 1e-6 < line.slope < 1 - 1e-7


def _unmoved(loaded: Loaded) -> list[str]:
    """Statistics, by their names, that stay as they are in training though weights of their layer are trained."""
    moved = {variable.ref() for variable in moved_floats(loaded)}
    trainable = {variable.ref() for variable in loaded.trainable_variables}
    paths = _paths(loaded)
    trained = {path.rpartition("/")[0] for variable, path in paths.items() if variable in trainable}
    still = [path for variable, path in paths.items() if variable not in moved | trainable]
    return [path for path in still if _STATISTIC.fullmatch(path) and path.rpartition("/")[0] in trained]


def _paths(loaded: Loaded) -> dict[Any, str]:
    """The paths of the variables as the manifest tells them, else their names; what is no variable (D2) has none."""
    variables = [variable for variable in loaded.variables if isinstance(variable, tf.Variable)]
    told = list(loaded.manifest.variables) if loaded.manifest else []
    paths = told if len(told) == len(variables) else [variable.name.partition(":")[0] for variable in variables]
    return {variable.ref(): path for variable, path in zip(variables, paths, strict=True)}


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
