"""D11 to D13, D17, D30 and D32: what the loaded object does when it is trained."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.conformance.behaviour import EXAMPLES, changed_since
from piecehub.conformance.loaded import STRANGERS, Loaded
from piecehub.conformance.verdict import Verdict, held, names, nothing, short

# Steps that are tried one after the other: parts of the step that would bring a linear model to a loss of 0. The small
# ones are for losses that bend sharply; of a gradient that is right, one that is small enough keeps its promise.
_STEPS = (0.5, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_OF_PROMISED = 0.1
_BATCHES = 4
_SHAKEN = 0.1
_NONE_TO_TRAIN = nothing("No variable can be trained.")


def gradients_reach(loaded: Loaded) -> Verdict:
    """D11: a loss on the output has a gradient for every trainable variable."""
    trainable = loaded.trainable_variables
    if not trainable:
        return _NONE_TO_TRAIN
    with loaded.unchanged(), tf.GradientTape() as tape:
        loss = some_loss(loaded.train(loaded.draw(EXAMPLES)))
    gradients = tape.gradient(loss, trainable)
    missing = [v for v, gradient in zip(trainable, gradients, strict=True) if gradient is None]
    if missing:
        what = f"none for {len(missing)} of {len(trainable)}, such as {names(missing[:1])}"
        return short("a gradient for every trainable variable", what, "let gradients through to it, or freeze it")
    sick = [v for v, gradient in zip(trainable, gradients, strict=True) if not np.isfinite(_dense(gradient)).all()]
    if sick:
        return short("finite gradients", f"NaN or infinity for {names(sick)}", "look at roots, norms and divisions")
    return held(f"Gradients reach all {len(trainable)} trainable variables.")


def gradients_are_not_zero(loaded: Loaded) -> Verdict:
    """D30: the gradient of every trainable variable is other than 0 for some inputs, near some weights.

    Weights that another weight multiplies, which starts at 0 (as in LoRA), have a gradient once that one has moved.
    """
    silent = loaded.trainable_variables
    if not silent:
        return _NONE_TO_TRAIN
    rng = np.random.default_rng(0)
    with loaded.unchanged() as before:
        for seed in range(_BATCHES):
            loaded.restore(before)
            if seed:
                _shake(loaded.trainable_variables, rng)
            with tf.GradientTape() as tape:
                loss = some_loss(loaded.train(loaded.draw(EXAMPLES, seed)), seed)
            gradients = tape.gradient(loss, silent)
            silent = [v for v, g in zip(silent, gradients, strict=True) if g is not None and not np.any(_dense(g))]
            if not silent:
                return held("The gradient of every trainable variable is other than 0.")
    what = f"0 for {len(silent)} of {len(loaded.trainable_variables)}, such as {names(silent[:1])}"
    return short("gradients other than 0", what, "look for units that are dead, or a factor of 0")


def inference_learns(loaded: Loaded) -> Verdict:
    """D32: what is trained is what is served: outputs at inference depend on a variable that training reaches."""
    trainable = loaded.trainable_variables
    if not trainable:
        return _NONE_TO_TRAIN
    reached: list[list[bool]] = []
    for call in (loaded.train, loaded.obj):
        with loaded.unchanged(), tf.GradientTape() as tape:
            loss = some_loss(call(loaded.draw(EXAMPLES)))
        reached.append([gradient is not None for gradient in tape.gradient(loss, trainable)])
    both = [in_training and at_inference for in_training, at_inference in zip(*reached, strict=True)]
    if any(reached[0]) and not any(both):
        what = f"outputs that none of the {sum(reached[0])} variables reaches which are trained"
        return short("inference by trainable variables", what, "trace inference on the variables, not on their values")
    return held(f"{sum(both)} of {len(trainable)} trainable variables reach the outputs at inference.")


def differentiates_again(loaded: Loaded) -> Verdict:
    """D12: gradients may be taken twice from one tape, and again inside of a tf.function.

    Loops that read variables inside cannot, once they are restored (tensorflow#51535).
    """
    trainable = loaded.trainable_variables
    if not trainable:
        return _NONE_TO_TRAIN
    inputs = loaded.draw(EXAMPLES)

    def twice() -> tuple[Any, Any]:
        with tf.GradientTape(persistent=True) as tape:
            loss = some_loss(loaded.train(inputs))
        return tape.gradient(loss, trainable), tape.gradient(loss, trainable)

    def once() -> Any:
        with tf.GradientTape() as tape:
            loss = some_loss(loaded.train(inputs))
        return tape.gradient(loss, trainable)

    where = "a persistent tape"
    try:
        with loaded.unchanged():
            first, second = twice()
            where = "a tf.function, after a gradient outside of it"
            tf.function(once)()
    except STRANGERS as error:
        what = f"{type(error).__name__} in {where}: {' '.join(str(error).split())[:160]}"
        return short("gradients that can be taken again", what, "read variables outside of loops")
    if not all(_same(a, b) for a, b in zip(first, second, strict=True)):
        return short("the same gradient twice", "another one", "let one tape see one forward pass")
    return held("Gradients can be taken twice from a persistent tape, and again inside of a tf.function.")


def training_keeps_weights(loaded: Loaded) -> Verdict:
    """D13: a forward pass in training writes no trainable variable: that is for the optimizer."""
    with loaded.unchanged() as before:
        loaded.train(loaded.draw(EXAMPLES))
        changed = changed_since(loaded, before)
    trainable = {variable.ref() for variable in loaded.trainable_variables}
    if weights := [variable for variable in changed if variable.ref() in trainable]:
        return short("training=True to write state only", f"changes of {names(weights)}", "leave them to the optimizer")
    return held(f"A forward pass in training writes {len(changed)} variables, none of them trainable.")


def step_lowers_loss(loaded: Loaded) -> Verdict:
    """D17: a step of gradient descent lowers the distance of the outputs from slightly other ones."""
    trainable = loaded.trainable_variables
    if not trainable:
        return _NONE_TO_TRAIN
    inputs = loaded.draw(EXAMPLES)
    targets = _targets(loaded.obj(inputs))
    with loaded.unchanged() as before:
        with tf.GradientTape() as tape:
            start = _distance(loaded.obj(inputs), targets)
        reached = tape.gradient(start, trainable)
        if not np.isfinite(float(start)) or all(gradient is None for gradient in reached):
            return nothing("Not made: there is no finite loss whose gradient reaches a variable (D9, D11).")
        gradients = [
            np.zeros_like(variable.numpy()) if gradient is None else _dense(gradient)
            for variable, gradient in zip(trainable, reached, strict=True)
        ]
        square = float(sum(np.square(gradient, dtype="f8").sum() for gradient in gradients))
        if not square:
            return short("a step that lowers the loss", "gradients that are all 0", "let gradients through")
        lost = _rounding(loaded.obj(inputs), targets)
        steps = [part for part in _STEPS if part * float(start) > lost]
        for part in steps:
            rate = part * float(start) / square
            for variable, gradient in zip(trainable, gradients, strict=True):
                variable.assign_sub(tf.cast(rate * gradient, variable.dtype))
            end = float(_distance(loaded.obj(inputs), targets))
            if end < float(start) * (1 - _OF_PROMISED * part):
                return held(f"One step of gradient descent lowers a loss from {float(start):.4g} to {end:.4g}.")
            loaded.restore(before)
    return short("a step that lowers the loss", f"none of {len(steps)} does", "look at custom gradients")


def some_loss(outputs: Any, seed: int = 0) -> tf.Tensor:
    """A fixed random linear function of all float outputs, as float32.

    A plain sum would be constant behind a normalization, and its gradient 0.
    """
    rng = np.random.default_rng(seed)
    floats = [_tensor(output) for output in tf.nest.flatten(outputs) if output.dtype.is_floating]
    if not floats:
        raise TypeError("no output is a float")
    return tf.add_n([tf.reduce_sum(tf.cast(y, tf.float32) * _normal(rng, y)) for y in floats])


def _shake(variables: Sequence[tf.Variable], rng: np.random.Generator) -> None:
    """Moves weights a little: by a tenth of their spread, or of 1 where they have none."""
    for variable in variables:
        spread = float(np.std(variable.numpy().astype("f8"))) or 1.0
        variable.assign_add(tf.cast(_SHAKEN * spread * rng.normal(size=variable.numpy().shape), variable.dtype))


def _targets(outputs: Any) -> list[tf.Tensor]:
    """Float outputs, each moved by about its own spread, or by 0.1 where it has none."""
    rng = np.random.default_rng(1)
    floats = [tf.cast(_tensor(y), tf.float32) for y in tf.nest.flatten(outputs) if y.dtype.is_floating]
    return [y + (0.1 * tf.math.reduce_std(y) + 0.01) * _normal(rng, y) for y in floats]


def _distance(outputs: Any, targets: list[tf.Tensor]) -> tf.Tensor:
    """In float64, so that a sum over many outputs loses no small step."""
    floats = [tf.cast(_tensor(y), tf.float64) for y in tf.nest.flatten(outputs) if y.dtype.is_floating]
    pairs = zip(floats, targets, strict=True)
    return tf.add_n([tf.reduce_mean(tf.square(y - tf.cast(target, y.dtype))) for y, target in pairs])


def _rounding(outputs: Any, targets: list[tf.Tensor]) -> float:
    """How much of `_distance` the rounding of outputs to float32 may be: less than that, no step shows."""
    floats = [tf.cast(_tensor(y), tf.float64) for y in tf.nest.flatten(outputs) if y.dtype.is_floating]
    pairs = zip(floats, targets, strict=True)
    parts = [tf.reduce_mean(tf.abs(y * (y - tf.cast(target, y.dtype)))) for y, target in pairs]
    return float(2 * np.finfo(np.float32).eps * tf.add_n(parts))


def _tensor(output: Any) -> tf.Tensor:
    return output.flat_values if isinstance(output, tf.RaggedTensor) else output


def _normal(rng: np.random.Generator, like: tf.Tensor) -> tf.Tensor:
    """Numbers of the shape of `like`, also where a graph knows it only when it runs."""
    if like.shape.is_fully_defined():
        return tf.constant(rng.normal(size=[int(size or 0) for size in like.shape.as_list()]), tf.float32)
    return tf.random.stateless_normal(tf.shape(like), seed=(int(rng.integers(1000)), 0))


def _dense(gradient: Any) -> np.ndarray:
    return tf.convert_to_tensor(gradient).numpy()


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return bool(np.allclose(_dense(a), _dense(b), rtol=1e-3, atol=1e-6, equal_nan=True))
