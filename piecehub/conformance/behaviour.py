"""D7 to D10, D35 and S13: what the loaded object does with inputs at inference."""

import contextlib
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.conformance.inputs import first_rows, mixed, widened, zeros
from piecehub.conformance.loaded import STRANGERS, Loaded, flat
from piecehub.conformance.outputs import output_operations
from piecehub.conformance.passes import answers, inferred, trained
from piecehub.conformance.verdict import Verdict, held, names, nothing, short

_MANY = 33
_MANY_BYTES = 3 << 28  # of activations, where no gradients are taken: for the sake of time
_CALLS = 4
_PROBABILITIES = frozenset({"Softmax", "Sigmoid", "LogSoftmax", "TopK", "TopKV2", "ArgMax", "OneHot"})
_MOSTLY = 0.75
_DEAD = "train it from other weights, or at a lower rate"
_STATE_ONLY = "leave state alone unless training=True"


def examples_independent(loaded: Loaded) -> Verdict:
    """D7: the batch is open, and an example's output depends neither on the batch's size nor on its other examples."""
    shapes = [spec.shape for trace in loaded.traces for spec in tf.nest.flatten(trace.inputs)]
    if fixed := [shape for shape in shapes if shape.rank == 0 or shape[0] is not None]:
        return short("an open batch dimension in every trace", f"shape {fixed[0]}", "trace with None as batch")
    if refused := _refused_size(loaded):
        return short("batches of any size", refused, "reshape with -1, and keep no batch")
    examples = loaded.examples
    inputs, others = loaded.draw(examples), loaded.draw(examples, seed=1)
    whole = loaded.infer(inputs)
    if strange := [name for name, array in whole.items() if not array.shape or array.shape[0] != examples]:
        return short(f"{examples} rows for {examples} examples", f"another shape of {strange[0]}", "keep the batch")
    for outputs, what in (
        (loaded.infer(first_rows(inputs, 1)), "alone"),
        (loaded.infer(mixed(inputs, others)), "among other examples"),
    ):
        if not all(_same_row(outputs[name], whole[name]) for name in whole):
            return short("the same output whatever else is in the batch", f"another {what}", "take the rows apart")
    return held(
        f"Batches of 1 and {examples} agree, {many(loaded)} may come too, and examples do not touch each other."
    )


def many(loaded: Loaded) -> int:
    """A batch that is larger than what most checks draw: 33, and of a model with large activations fewer."""
    return loaded.examples_within(_MANY, _MANY_BYTES, at_least=loaded.examples + 1)


def of_one_size(size: int) -> Verdict:
    """What D7 says of a model that takes batches of that size only, though its traces leave the size open."""
    return short(
        "batches of any size", f"a model that takes {size} examples, and not 2", "reshape with -1, or trace anew"
    )


def inference_pure(loaded: Loaded) -> Verdict:
    """D8: inference changes no variable, and the same inputs give the same outputs, whatever came between."""
    inputs, others = loaded.draw(loaded.examples), loaded.draw(loaded.examples, seed=1)
    with loaded.unchanged() as before:
        first = loaded.infer(inputs)
        loaded.infer(others)
        again = [loaded.infer(inputs) for _ in range(_CALLS - 1)]
        changed = loaded.changed_since(before)
    if floats := [variable for variable in changed if not variable.dtype.is_integer]:
        return short("inference to change no variable", f"changes of {names(floats)}", _STATE_ONLY)
    for call, outputs in enumerate(again, start=2):
        if not all(close(first[name], outputs[name]) for name in first):
            return short("the same outputs for the same inputs", f"others at call {call}", "draw no random numbers")
    note = "; only integer state (a seed) moved" if changed else ", and no variable changed"
    return held(f"{_CALLS} calls agree{note}.")


def finite_floats(loaded: Loaded) -> Verdict:
    """D9: floats among the outputs are float32, and they and all weights are finite."""
    if sick := [v for v in loaded.captured if v.dtype.is_floating and not _is_finite(v)]:
        return short("finite weights", f"{names(sick)} with NaN or infinity", "train again, and look at the loss")
    modes = {
        "inference": loaded.once(inferred),
        "inference on zeros": _inferred_on_zeros(loaded),  # black images, silence, padding
        "training": loaded.once(trained).outputs,
    }
    for mode, outputs in modes.items():
        floats = {name: array for name, array in outputs.items() if tf.as_dtype(array.dtype).is_floating}
        if other := [f"{name} of {array.dtype}" for name, array in floats.items() if array.dtype != np.float32]:
            return short("float32 outputs", f"{other[0]} in {mode}", "cast them, since a consumer cannot")
        if sick := [name for name, array in floats.items() if not np.isfinite(array).all()]:
            return short("finite outputs", f"NaN or infinity in {sick[0]} in {mode}", "mend the forward pass")
    count = len(modes["inference"])
    return held(f"{count} outputs and {len(loaded.captured)} variables are finite; floats are float32.")


def no_probabilities(loaded: Loaded) -> Verdict:
    """D10: outputs are features or logits; on top of probabilities a new head learns badly (TF Hub, export guide)."""
    if found := sorted(output_operations(loaded.graph, loaded.name) & _PROBABILITIES):
        return short("features or logits", f"the output of {', '.join(found)}", "cut the piece before it")
    for name, array in loaded.once(inferred).items():
        if _are_probabilities(array):
            return short("features or logits", f"rows of {name} that sum to 1", "cut the piece before its softmax")
    return held("The output is made by no softmax or the like, and its rows do not sum to 1.")


def serves_the_same(loaded: Loaded) -> Verdict:
    """S13: the signature `serving_default` gives the numbers of `__call__` at inference."""
    if not all(isinstance(spec, tf.TensorSpec) for spec in tf.nest.flatten(loaded.traces[0].inputs)):
        return nothing("A signature takes dense tensors only, and the inputs are ragged or sparse.")
    serve = loaded.obj.signatures.get("serving_default")
    if serve is None:
        return short("the signature 'serving_default'", "none", "pass one to tf.saved_model.save")
    inputs = loaded.draw(loaded.examples)
    if _by_name(loaded, serve, inputs) is None:
        return nothing("'serving_default' takes other inputs than '__call__', so that their numbers say nothing.")
    # Scaling, clipping or lower case on one side alone shows only where inputs are not small and plain already.
    name, which = _served_otherwise(loaded, serve, inputs), ""
    if not name and not _are_same(inputs, wide := widened(inputs)):
        with contextlib.suppress(*STRANGERS):  # it need not take such inputs
            name = _served_otherwise(loaded, serve, wide)
            which = " where inputs are large, negative or in capitals"
    if name:
        received = f"others for '{name}'{which}"
        return short("the numbers of '__call__' from 'serving_default'", received, "serve '__call__'")
    return held("'serving_default' gives the same numbers as '__call__'.")


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to the order in which floats are summed."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind not in "fV":  # V: bfloat16, which NumPy knows as no float
        return bool(np.array_equal(a, b))
    return bool(np.allclose(a.astype("f8"), b.astype("f8"), rtol=1e-4, atol=1e-5, equal_nan=True))


def _refused_size(loaded: Loaded) -> str:
    """What a batch of one or of many raises, if it does."""
    modes: list[tuple[str, Any, Any]] = [("inference", loaded.obj, answers), ("training", loaded.train, trained)]
    with loaded.unchanged():
        for mode, call, usual in modes:
            try:
                loaded.once(usual)
            except STRANGERS:  # so it is not the size; other checks say what it is
                continue
            for size in (1, many(loaded)):
                try:
                    call(loaded.draw(size))
                except STRANGERS as error:
                    return f"{type(error).__name__} for {size} in {mode}: {' '.join(str(error).split())[:160]}"
    return ""


def _inferred_on_zeros(loaded: Loaded) -> dict[str, np.ndarray]:
    """The outputs for inputs of 0, where inputs have floats at all."""
    drawn = loaded.draw(loaded.examples)
    blank = zeros(drawn)
    if _are_same(drawn, blank):
        return loaded.once(inferred)
    with loaded.unchanged():
        return flat(loaded.obj(blank))


def _are_same(inputs: Any, others: Any) -> bool:
    return all(a is b for a, b in zip(tf.nest.flatten(inputs), tf.nest.flatten(others), strict=True))


def _is_finite(variable: tf.Variable) -> bool:
    value = variable.numpy()
    return bool(np.isfinite(value if value.dtype.kind == "f" else value.astype("f8")).all())


def _served_otherwise(loaded: Loaded, serve: Any, inputs: Any) -> str:
    """The name of an output that the signature `serve` does not give as `__call__` does; empty if there is none."""
    served = flat(serve(**(_by_name(loaded, serve, inputs) or {})))
    outputs = loaded.infer(inputs)
    for name, array in outputs.items():
        # tf_keras names what it serves by layers, or counts from 1, so any output of the same numbers will do.
        candidates = [served[name]] if outputs.keys() <= served.keys() else list(served.values())
        if not any(close(candidate, array) for candidate in candidates):
            return name
    return ""


def _same_row(part: np.ndarray, whole: np.ndarray) -> bool:
    """The first rows agree; where other examples made a ragged output wider, only zeros stand behind."""
    a, b = part[:1], whole[:1]
    if a.ndim != b.ndim:
        return False
    shared = tuple(slice(0, min(sizes)) for sizes in zip(a.shape, b.shape, strict=True))
    return close(a[shared], b[shared]) and all(np.count_nonzero(x) == np.count_nonzero(x[shared]) for x in (a, b))


def _are_probabilities(array: np.ndarray) -> bool:
    if array.dtype.kind != "f" or array.ndim < 2 or array.shape[-1] < 2 or not array.size:
        return False
    ones = np.ones(array.shape[:-1])
    if array.min() >= 0:
        return close(array.sum(axis=-1), ones)
    return bool(array.max() <= 0) and close(np.exp(array).sum(axis=-1), ones)


def _by_name(loaded: Loaded, serve: Any, inputs: Any) -> dict[str, Any] | None:
    """Inputs of `__call__` by the names of a signature, or None if it takes others, such as serialized examples.

    In a dict they go by key, or by what the manifest has for it, else in the order of the signature's names.
    """
    wanted = serve.structured_input_signature[1]
    if isinstance(inputs, dict):
        names = loaded.manifest.signature_inputs if loaded.manifest else {}
        given = {names.get(key, key): value for key, value in inputs.items()}
    else:
        leaves = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        given = dict(zip(sorted(wanted, key=lambda name: (len(name), name)), leaves, strict=False))
        if len(leaves) != len(wanted):
            return None
    return given if given.keys() == wanted.keys() and all(map(_fits, given.values(), wanted.values())) else None


def _fits(value: Any, spec: Any) -> bool:
    return (
        isinstance(value, tf.Tensor) and value.dtype == spec.dtype and bool(spec.shape.is_compatible_with(value.shape))
    )


def outputs_differ(loaded: Loaded) -> Verdict:
    """D35: most numbers of an output are not the same for all inputs: of a feature that is always 0 nobody learns."""
    specs = [spec for trace in loaded.traces for spec in tf.nest.flatten(trace.inputs)]
    if not all(isinstance(spec, tf.TensorSpec) and spec.dtype.is_floating for spec in specs):
        return nothing("Not made, since inputs that are drawn for it say little of texts and indices.")
    drawn = loaded.draw(many(loaded))
    calls = [loaded.infer(drawn), loaded.infer(widened(drawn))]
    for name in calls[0]:
        whole = np.concatenate([call[name].reshape(len(call[name]), -1) for call in calls])
        same, of = int((whole == whole[0]).all(axis=0).sum()), whole.shape[1]
        if of > 1 and same >= _MOSTLY * of:
            return short("outputs that differ between inputs", f"{same} of {of} numbers of {name} that never do", _DEAD)
    return held("Outputs differ between inputs.")
