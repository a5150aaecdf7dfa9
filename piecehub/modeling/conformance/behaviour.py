"""D7 to D11 and S13: what the loaded object does with inputs."""

from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.modeling.conformance.loaded import Loaded, flat
from piecehub.modeling.conformance.verdict import Verdict, held, short

_EXAMPLES = 5
_PROBABILITIES = frozenset({"Softmax", "Sigmoid", "LogSoftmax", "TopK", "TopKV2", "ArgMax", "OneHot"})
_STATE_ONLY = "leave state alone unless training=True"


def examples_independent(loaded: Loaded) -> Verdict:
    """D7: the batch is open, and an example's output depends neither on the batch's size nor on its other examples."""
    shapes = [spec.shape for trace in loaded.traces for spec in tf.nest.flatten(trace.inputs)]
    if fixed := [shape for shape in shapes if not shape.rank or shape[0] is not None]:
        return short("an open batch dimension in every trace", f"shape {fixed[0]}", "trace with None as batch")
    inputs, others = loaded.draw(_EXAMPLES), loaded.draw(_EXAMPLES, seed=1)
    whole = loaded.infer(inputs)
    if strange := [name for name, array in whole.items() if not array.shape or array.shape[0] != _EXAMPLES]:
        return short(f"{_EXAMPLES} rows for {_EXAMPLES} examples", f"another shape of {strange[0]}", "keep the batch")
    mixed = tf.nest.map_structure(lambda a, b: tf.concat([a[:1], b[1:]], axis=0), inputs, others)
    alone = tf.nest.map_structure(lambda tensor: tensor[:1], inputs)
    for outputs, what in ((loaded.infer(alone), "alone"), (loaded.infer(mixed), "among other examples")):
        if not all(_close(outputs[name][:1], whole[name][:1]) for name in whole):
            return short("the same output whatever else is in the batch", f"another {what}", "take the rows apart")
    return held(f"Batches of 1 and {_EXAMPLES} agree, and examples do not touch each other.")


def inference_pure(loaded: Loaded) -> Verdict:
    """D8: inference changes no variable, and the same inputs give the same outputs."""
    inputs = loaded.draw(_EXAMPLES)
    with loaded.unchanged() as before:
        first, second = loaded.infer(inputs), loaded.infer(inputs)
        changed = [
            variable
            for variable, value in zip(loaded.captured, before, strict=True)
            if not np.array_equal(variable.numpy(), value)
        ]
    if not all(_close(first[name], second[name]) for name in first):
        return short("the same outputs for the same inputs", "others at the second call", "draw no random numbers")
    if floats := [variable.name for variable in changed if not variable.dtype.is_integer]:
        return short("inference to change no variable", f"changes of {', '.join(floats[:3])}", _STATE_ONLY)
    return held(f"Two calls agree{'; only integer state (a seed) moved' if changed else ', and no variable changed'}.")


def no_probabilities(loaded: Loaded) -> Verdict:
    """D10: outputs are features or logits; on top of probabilities a new head learns badly (finetune.md §2)."""
    if found := sorted(loaded.graph.producers() & _PROBABILITIES):
        return short("features or logits", f"the output of {', '.join(found)}", "cut the piece before it")
    for name, array in loaded.infer(loaded.draw(_EXAMPLES)).items():
        if (
            array.ndim == 2
            and array.shape[1] > 1
            and array.min() >= 0
            and _close(array.sum(axis=1), np.ones(_EXAMPLES))
        ):
            return short("features or logits", f"rows of {name} that sum to 1", "cut the piece before its softmax")
    return held("The output is made by no softmax or the like, and its rows do not sum to 1.")


def gradients_reach(loaded: Loaded) -> Verdict:
    """D11: a loss on the output has a gradient for every trainable variable."""
    arguments = {"training": True} if any(trace.training is True for trace in loaded.traces) else {}
    trainable = loaded.trainable_variables
    with loaded.unchanged():
        gradients = _gradients(loaded, trainable, arguments)
    missing = [v.name for v, gradient in zip(trainable, gradients, strict=True) if gradient is None]
    if missing:
        what = f"none for {len(missing)} of {len(trainable)}, such as '{missing[0]}'"
        return short("a gradient for every trainable variable", what, "let gradients through to it, or freeze it")
    zero = sum(not np.any(tf.convert_to_tensor(gradient).numpy()) for gradient in gradients)
    return held(f"Gradients reach all {len(trainable)} trainable variables{f'; {zero} are 0 here' if zero else ''}.")


def serves_the_same(loaded: Loaded) -> Verdict:
    """S13: the signature `serving_default` gives the numbers of `__call__` at inference."""
    serve = loaded.obj.signatures.get("serving_default")
    if serve is None:
        return short("the signature 'serving_default'", "none", "pass one to tf.saved_model.save")
    inputs = loaded.draw(_EXAMPLES)
    arguments = _by_name(inputs, sorted(serve.structured_input_signature[1]))
    served, called = flat(serve(**arguments)), loaded.infer(inputs)
    names = list(served) if len(called) == 1 == len(served) else list(called)
    for name, array in zip(names, called.values(), strict=True):
        if name not in served or not _close(served[name], array):
            return short("the numbers of '__call__' from 'serving_default'", f"others for '{name}'", "serve '__call__'")
    return held("'serving_default' gives the same numbers as '__call__'.")


def _gradients(loaded: Loaded, trainable: list[tf.Variable], arguments: dict[str, Any]) -> list[Any]:
    """Gradients of a random linear loss: a plain sum is constant behind a normalization, and its gradient 0."""
    rng = np.random.default_rng(0)
    with tf.GradientTape() as tape:
        outputs = tf.nest.flatten(loaded.obj(loaded.draw(_EXAMPLES), **arguments))
        floats = [output for output in outputs if output.dtype.is_floating]
        loss = tf.add_n([tf.reduce_sum(y * tf.constant(rng.normal(size=y.shape), y.dtype)) for y in floats])
    return tape.gradient(loss, trainable)


def _by_name(inputs: Any, names: list[str]) -> dict[str, Any]:
    """Inputs by the names of a signature: their own for a dict, else in the order of the names."""
    if isinstance(inputs, dict):
        return inputs
    leaves = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    return dict(zip(sorted(names, key=lambda name: (len(name), name)), leaves, strict=True))


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to the order in which floats are summed."""
    if a.shape != b.shape:
        return False
    return bool(np.allclose(a, b, rtol=1e-4, atol=1e-5)) if a.dtype.kind == "f" else bool(np.array_equal(a, b))
