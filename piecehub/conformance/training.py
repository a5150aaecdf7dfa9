"""D11 to D13, D17, D30 and D32: what the loaded object does when it is trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.conformance.loaded import STRANGERS, Loaded
from piecehub.conformance.passes import Gradient, dense, gradients_of, normal, seen_of, some_loss, trained
from piecehub.conformance.sample import sample_of
from piecehub.conformance.verdict import Verdict, held, names, nothing, short

# Steps that are tried one after the other: parts of the step that would bring a linear model to a loss of 0. The small
# ones are for losses that bend sharply; of a gradient that is right, one that is small enough keeps its promise.
_STEPS = (0.5, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_OF_PROMISED = 0.1
_BATCHES = 4
_SHAKEN = 0.1
_NONE_TO_TRAIN = nothing("No variable can be trained.")


@dataclass(frozen=True)
class _Descent:
    """A gradient at inference: which trainable variables it reaches, and what D17 says of steps along it."""

    reached: list[bool]
    verdict: Verdict


def gradients_reach(loaded: Loaded) -> Verdict:
    """D11: a loss on the output has a gradient for every trainable variable."""
    trainable = loaded.trainable_variables
    if not trainable:
        return _NONE_TO_TRAIN
    gradients = gradients_of(loaded.once(trained))
    missing = [v for v, gradient in zip(trainable, gradients, strict=True) if not gradient.exists]
    if missing:
        what = f"none for {len(missing)} of {len(trainable)}, such as {names(missing[:1])}"
        return short("a gradient for every trainable variable", what, "let gradients through to it, or freeze it")
    sick = [v for v, gradient in zip(trainable, gradients, strict=True) if not gradient.is_finite]
    if sick:
        return short("finite gradients", f"NaN or infinity for {names(sick)}", "look at roots, norms and divisions")
    return held(f"Gradients reach all {len(trainable)} trainable variables.")


def gradients_are_not_zero(loaded: Loaded) -> Verdict:
    """D30: the gradient of every trainable variable is other than 0 for some inputs, near some weights.

    Weights that another weight multiplies, which starts at 0 (as in LoRA), have a gradient once that one has moved.
    """
    trainable = loaded.trainable_variables
    if not trainable:
        return _NONE_TO_TRAIN
    rng = np.random.default_rng(0)
    silent = _silent(trainable, gradients_of(loaded.once(trained)))
    with loaded.unchanged() as before:
        for seed in range(1, _BATCHES):
            if not silent:
                return held("The gradient of every trainable variable is other than 0.")
            loaded.restore(before)
            _shake(trainable, rng)
            with tf.GradientTape() as tape:
                loss = some_loss(loaded.train(loaded.draw(loaded.examples, seed)), seed)
            silent = _silent(silent, seen_of(tape.gradient(loss, silent)))
    if not silent:
        return held("The gradient of every trainable variable is other than 0.")
    what = f"0 for {len(silent)} of {len(loaded.trainable_variables)}, such as {names(silent[:1])}"
    return short("gradients other than 0", what, "look for units that are dead, or a factor of 0")


def inference_learns(loaded: Loaded) -> Verdict:
    """D32: what is trained is what is served: outputs at inference depend on a variable that training reaches."""
    trainable = loaded.trainable_variables
    if not trainable:
        return _NONE_TO_TRAIN
    in_training = [gradient.exists for gradient in gradients_of(loaded.once(trained))]
    at_inference = loaded.once(_descent).reached
    both = [trained and served for trained, served in zip(in_training, at_inference, strict=True)]
    if any(in_training) and not any(both):
        what = f"outputs that none of the {sum(in_training)} variables reaches which are trained"
        return short("inference by trainable variables", what, "trace inference on the variables, not on their values")
    return held(f"{sum(both)} of {len(trainable)} trainable variables reach the outputs at inference.")


def differentiates_again(loaded: Loaded) -> Verdict:
    """D12: gradients may be taken twice from one tape, and again inside of a tf.function.

    Loops that read variables inside cannot, once they are restored (tensorflow#51535).
    """
    trainable = loaded.trainable_variables
    if not trainable:
        return _NONE_TO_TRAIN
    inputs, sample = loaded.draw(loaded.few_examples), loaded.once(sample_of)

    def twice() -> tuple[Any, Any]:
        with tf.GradientTape(persistent=True) as tape:
            loss = some_loss(loaded.train(inputs))
        return tape.gradient(loss, sample.variables), tape.gradient(loss, sample.variables)

    def once() -> Any:
        with tf.GradientTape() as tape:
            loss = some_loss(loaded.train(inputs))
        return tape.gradient(loss, sample.variables)

    where = "a persistent tape"
    try:
        with loaded.unchanged():
            agree = all(_same(a, b) for a, b in zip(*twice(), strict=True))
            where = "a tf.function, after a gradient outside of it"
            tf.function(once)()
    except STRANGERS as error:
        what = f"{type(error).__name__} in {where}: {' '.join(str(error).split())[:160]}"
        return short("gradients that can be taken again", what, "read variables outside of loops")
    if not agree:
        return short("the same gradient twice", "another one", "let one tape see one forward pass")
    where = "twice from a persistent tape, and again inside of a tf.function"
    return held(f"Gradients can be taken {where}{sample.told}.")


def training_keeps_weights(loaded: Loaded) -> Verdict:
    """D13: a forward pass in training writes no trainable variable: that is for the optimizer."""
    changed = loaded.once(trained).moved
    trainable = {variable.ref() for variable in loaded.trainable_variables}
    if weights := [variable for variable in changed if variable.ref() in trainable]:
        return short("training=True to write state only", f"changes of {names(weights)}", "leave them to the optimizer")
    return held(f"A forward pass in training writes {len(changed)} variables, none of them trainable.")


def step_lowers_loss(loaded: Loaded) -> Verdict:
    """D17: a step of gradient descent lowers the distance of the outputs from slightly other ones."""
    return loaded.once(_descent).verdict if loaded.trainable_variables else _NONE_TO_TRAIN


def _descent(loaded: Loaded) -> _Descent:
    trainable = loaded.trainable_variables
    inputs = loaded.draw(loaded.examples)
    targets = _targets(loaded.obj(inputs))
    with loaded.unchanged() as before:
        with tf.GradientTape() as tape:
            start = _distance(loaded.obj(inputs), targets)
        gradients = tape.gradient(start, trainable)
        lost = _rounding(loaded.obj(inputs), targets)
        steps = [part for part in _STEPS if part * float(start) > lost]

        def after(rate: float) -> float:
            loaded.restore(before)
            _descend(trainable, gradients, rate)
            return float(_distance(loaded.obj(inputs), targets))

        return _Descent(
            [gradient is not None for gradient in gradients], _lowered(float(start), gradients, steps, after)
        )


def _lowered(
    start: float, gradients: Sequence[Any], steps: Sequence[float], after: Callable[[float], float]
) -> Verdict:
    """What D17 says of a loss `start`, whose value after a step of some rate `after` tells."""
    if not np.isfinite(start) or all(gradient is None for gradient in gradients):
        return nothing("Not made: there is no finite loss whose gradient reaches a variable (D9, D11).")
    square = sum(_square(gradient) for gradient in gradients)
    if not square:
        return short("a step that lowers the loss", "gradients that are all 0", "let gradients through")
    for part in steps:
        end = after(part * start / square)
        if end < start * (1 - _OF_PROMISED * part):
            return held(f"One step of gradient descent lowers a loss from {start:.4g} to {end:.4g}.")
    return short("a step that lowers the loss", f"none of {len(steps)} does", "look at custom gradients")


def _descend(variables: Sequence[tf.Variable], gradients: Sequence[Any], rate: float) -> None:
    """A step along gradients, made dense one at a time."""
    for variable, gradient in zip(variables, gradients, strict=True):
        if gradient is not None:
            variable.assign_sub(tf.cast(rate * _dense(gradient), variable.dtype))


def _square(gradient: Any) -> float:
    return 0.0 if gradient is None else float(np.square(_dense(gradient), dtype="f8").sum())


def _silent(variables: Sequence[tf.Variable], gradients: Sequence[Gradient]) -> list[tf.Variable]:
    """Those whose gradient is 0."""
    return [v for v, gradient in zip(variables, gradients, strict=True) if gradient.exists and gradient.is_zero]


def _shake(variables: Sequence[tf.Variable], rng: np.random.Generator) -> None:
    """Moves weights a little: by a tenth of their spread, or of 1 where they have none."""
    for variable in variables:
        spread = float(np.std(variable.numpy().astype("f8"))) or 1.0
        variable.assign_add(tf.cast(_SHAKEN * spread * rng.normal(size=variable.numpy().shape), variable.dtype))


def _targets(outputs: Any) -> list[tf.Tensor]:
    """Float outputs, each moved by about its own spread, or by 0.1 where it has none."""
    rng = np.random.default_rng(1)
    floats = [tf.cast(dense(y), tf.float32) for y in tf.nest.flatten(outputs) if y.dtype.is_floating]
    return [y + (0.1 * tf.math.reduce_std(y) + 0.01) * normal(rng, y) for y in floats]


def _distance(outputs: Any, targets: list[tf.Tensor]) -> tf.Tensor:
    """In float64, so that a sum over many outputs loses no small step."""
    floats = [tf.cast(dense(y), tf.float64) for y in tf.nest.flatten(outputs) if y.dtype.is_floating]
    pairs = zip(floats, targets, strict=True)
    return tf.add_n([tf.reduce_mean(tf.square(y - tf.cast(target, y.dtype))) for y, target in pairs])


def _rounding(outputs: Any, targets: list[tf.Tensor]) -> float:
    """How much of `_distance` the rounding of outputs to float32 may be: less than that, no step shows."""
    floats = [tf.cast(dense(y), tf.float64) for y in tf.nest.flatten(outputs) if y.dtype.is_floating]
    pairs = zip(floats, targets, strict=True)
    parts = [tf.reduce_mean(tf.abs(y * (y - tf.cast(target, y.dtype)))) for y, target in pairs]
    return float(2 * np.finfo(np.float32).eps * tf.add_n(parts))


def _dense(gradient: Any) -> np.ndarray:
    return tf.convert_to_tensor(gradient).numpy()


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return bool(np.allclose(_dense(a), _dense(b), rtol=1e-3, atol=1e-6, equal_nan=True))
