"""D21: the two layers that consumers use, the unmodified hub.KerasLayer in tf_keras and ours in Keras 3, agree."""

import importlib.util
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.conformance.behaviour import close
from piecehub.conformance.loaded import STRANGERS, Loaded, flat
from piecehub.conformance.passes import answers, some_loss, trained
from piecehub.conformance.verdict import Verdict, held, nothing, short
from piecehub.errors import PiecehubError
from piecehub.facts.heap import give_back

_NEEDED = ("tensorflow_hub", "tf_keras", "piecehub.consume.layer")
_STEPS = 3
_STEP = 1e-2  # the length of a step in the space of the weights
_TOLERANCE = 1e-4


def both_layers_train_alike(loaded: Loaded) -> Verdict:
    """D21: three steps of fine-tuning through either layer have the same losses."""
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        return nothing(f"Not made, since there is no {missing[0]} here.")
    inputs, trainable = loaded.draw(loaded.few_examples), bool(loaded.trainable_variables)
    if not trainable and not any(tensor.dtype.is_floating for tensor in tf.nest.flatten(loaded.once(answers))):
        return _give_alike(loaded, inputs)
    # As in training where that gives the same numbers twice, as at inference where chance is at work.
    training = _is_repeatable(loaded)
    curves: dict[str, list[float]] = {}
    for name, make in (("hub.KerasLayer", _hub_layer), ("ReusableLayer", _our_layer)):
        try:
            curves[name] = _curve(make(loaded, trainable), inputs, training=training)
            if loaded.is_large:
                give_back()  # one layer's weights before the other's are loaded
        except (*STRANGERS, PiecehubError) as error:
            what = f"{type(error).__name__} in {name}: {' '.join(str(error).split())[:160]}"
            return short("a model that both layers fine-tune", what, "mend the interface")
    hub, ours = (np.array(curve) for curve in curves.values())
    if not np.allclose(hub, ours, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True):
        received = f"{hub.round(5).tolist()} in hub.KerasLayer and {ours.round(5).tolist()} in ReusableLayer"
        return short("the same losses in both layers", received, "look at D2, D4 and D8")
    return held(f"{_STEPS} steps have the same losses in both layers: {', '.join(f'{loss:.5g}' for loss in hub)}.")


def _give_alike(loaded: Loaded, inputs: Any) -> Verdict:
    """D21 of a preprocessor, such as a tokenizer: there is nothing to train, and no float to make a loss of."""
    given: list[dict[str, np.ndarray]] = []
    for name, make in (("hub.KerasLayer", _hub_layer), ("ReusableLayer", _our_layer)):
        try:
            given.append(flat(make(loaded, trainable=False)(inputs)))
        except (*STRANGERS, PiecehubError) as error:
            what = f"{type(error).__name__} in {name}: {' '.join(str(error).split())[:160]}"
            return short("a model that both layers call", what, "mend the interface")
    hub, ours = given
    if hub.keys() != ours.keys() or not all(np.array_equal(hub[key], ours[key]) for key in hub):
        return short("the same outputs in both layers", "others", "look at D6 and D8")
    return held("Both layers give the same; no output is a float, and nothing is trained.")


def _hub_layer(loaded: Loaded, trainable: bool) -> Any:
    import tensorflow_hub as hub

    return hub.KerasLayer(str(loaded.folder), trainable=trainable)


def _our_layer(loaded: Loaded, trainable: bool) -> Any:
    from piecehub.consume.layer import ReusableLayer

    # Losses that depend on inputs are our extension: hub.KerasLayer does not ask for them.
    arguments = {"return_losses": False} if "return_losses" in loaded.arguments else None
    return ReusableLayer(str(loaded.folder), trainable=trainable, arguments=arguments)


def _curve(layer: Any, inputs: Any, *, training: bool) -> list[float]:
    """The losses of a few small steps of gradient descent, regularization included."""
    losses: list[float] = []
    for _ in range(_STEPS):
        with tf.GradientTape() as tape:
            outputs = layer(inputs, training=training)
            loss = tf.add_n([some_loss(outputs), *(tf.cast(penalty, tf.float32) for penalty in layer.losses)])
        weights = [w if isinstance(w, tf.Variable) else w.value for w in layer.trainable_weights]
        gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        rate = _STEP / (float(tf.linalg.global_norm(gradients)) or 1.0) if weights else 0.0
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_sub(tf.cast(rate * tf.convert_to_tensor(gradient), weight.dtype))
        losses.append(float(loss))
    return losses


def _is_repeatable(loaded: Loaded) -> bool:
    """True if two passes in training, from the same state, give the same: dropout that has no state does not."""
    first = loaded.once(trained).outputs
    with loaded.unchanged():
        second = flat(loaded.train(loaded.draw(loaded.examples)))
    return all(close(first[name], second[name]) for name in first)
