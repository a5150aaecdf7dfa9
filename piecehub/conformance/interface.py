"""D2 to D6, D29, D33 and D34: what the loaded object offers."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import product
from typing import Any, cast

import numpy as np
import tensorflow as tf

from piecehub.conformance.loaded import Loaded
from piecehub.conformance.verdict import Verdict, held, names, short

_TENSORS = (tf.TensorSpec, tf.RaggedTensorSpec, tf.SparseTensorSpec)


def variables_listed(loaded: Loaded) -> Verdict:
    """D2: every variable that a trace uses is in `variables`."""
    if strange := [v for v in loaded.variables if not isinstance(v, tf.Variable)]:
        # tf_keras lists a handler where a lookup layer has its vocabulary; hub.KerasLayer cannot take it.
        return short("tf.Variables only in 'variables'", type(strange[0]).__name__, "leave it out")
    missing = _absent(loaded.captured, loaded.variables)
    if missing:
        return short("every variable that a trace uses in 'variables'", f"{names(missing)} missing", "list them")
    unused = _absent(loaded.variables, loaded.captured)
    note = f"; {names(unused)} used by no trace" if unused else ""
    return held(f"All {len(loaded.captured)} variables in use are listed{note}.")


def trainable_variables(loaded: Loaded) -> Verdict:
    """D3: `trainable_variables` is a part of `variables`, each can be trained, and there is one.

    There may be none in a sub-object that uses no variable, such as a tokenizer, and where the documentation says that
    the model is not fine-tunable.
    """
    trainable = loaded.trainable_variables
    if not trainable and (loaded.not_fine_tunable or (loaded.name and not loaded.captured)):
        return held("No variable can be trained, and none needs to be.")
    if not trainable:
        return short("trainable variables", "none", "export a piece with trainable weights")
    if strange := _absent(trainable, loaded.variables):
        return short("trainable variables to be in 'variables'", f"{names(strange)} not in it", "list them")
    if frozen := [v for v in trainable if not v.trainable]:
        return short("variables made as trainable", f"{names(frozen)} made as not trainable", "leave them out")
    return held(f"{len(trainable)} of {len(loaded.variables)} variables can be trained.")


def regularization_losses(loaded: Loaded) -> Verdict:
    """D4: each regularization loss is a function without arguments that returns a finite float scalar."""
    values: list[float] = []
    for loss in loaded.regularization_losses:
        if not callable(loss):
            return short("regularization losses to be functions", type(loss).__name__, "save tf.functions")
        value: Any = tf.convert_to_tensor(cast(Any, loss()))
        if value.shape.rank != 0 or not value.dtype.is_floating or not np.isfinite(value.numpy()):
            return short("a finite float scalar from each regularization loss", str(value), "mend that loss")
        values.append(float(value))
    return held(f"{len(values)} regularization losses, together {sum(values):.6g}.")


def one_argument(loaded: Loaded) -> Verdict:
    """D5: `__call__` requires one positional argument: a tensor, or a list or dict of tensors, one level deep."""
    spec = loaded.argspec
    required = list(spec.args[: len(spec.args) - len(spec.defaults or ())])
    required += [name for name in spec.kwonlyargs if name not in (spec.kwonlydefaults or {})]
    if len(required) != 1 or spec.varargs:
        found = ", ".join([*required, *([f"*{spec.varargs}"] if spec.varargs else [])])
        return short("one required argument of '__call__'", found or "none", "pass several inputs as a list or dict")
    if strange := [trace.inputs for trace in loaded.traces if not _one_level(trace.inputs)]:
        return short("a tensor, or a list or dict of tensors", str(strange[0])[:200], "flatten the inputs")
    return held(f"One required argument, '{required[0]}'.")


def plain_outputs(loaded: Loaded) -> Verdict:
    """D33: `__call__` returns a tensor, or a list or dict of tensors, one level deep."""
    if strange := [trace.outputs for trace in loaded.traces if not _one_level(trace.outputs)]:
        return short("outputs that are a tensor, or a list or dict of tensors", str(strange[0])[:200], "flatten them")
    leaves = tf.nest.flatten(loaded.traces[0].outputs)
    return held(f"{len(leaves)} outputs." if len(leaves) > 1 else "One output.")


def traced_for_both(loaded: Loaded) -> Verdict:
    """D6: whatever else is passed, `training` may be True or False, and is False if it is left out.

    It may be traced for both Python values, or as a tensor: a restored function makes a tensor of a Python value.
    """
    spec = loaded.argspec
    if "training" not in (*spec.args, *spec.kwonlyargs):
        return held("No argument 'training': the model is the same in training and inference.")
    defaults = dict(zip(reversed(spec.args), reversed(spec.defaults or ()), strict=False))
    default = {**defaults, **(spec.kwonlydefaults or {})}.get("training")
    if default is not False:
        return short("'training' to be False if it is left out", repr(default), "give it that default")
    seen: dict[str, set[bool]] = defaultdict(set)
    for trace in loaded.traces:
        others = {name: value for name, value in trace.others.items() if name != "training"}
        seen[f"{trace.inputs} {sorted(others.items())}"] |= trace.training
    lacking = sorted({str(value) for values in seen.values() for value in {True, False} - values})
    if lacking:
        return short("traces for training=True and False", f"none for {' and '.join(lacking)}", "trace both")
    return held(f"{len(loaded.traces)} traces: for training=True and False, and False by default.")


def combinations_traced(loaded: Loaded) -> Verdict:
    """D34: whatever values two optional arguments were traced for, they were traced together.

    A caller cannot know which combinations are lacking: the guide asks for all that are permitted.
    """
    by_inputs: dict[str, list[dict[str, str]]] = defaultdict(list)
    for trace in loaded.traces:
        by_inputs[str(trace.inputs)].append({name: str(value) for name, value in sorted(trace.others.items())})
    for calls in by_inputs.values():
        values = {name: sorted({call[name] for call in calls if name in call}) for name in calls[0]}
        for combination in product(*values.values()):
            wanted = dict(zip(values, combination, strict=True))
            if wanted not in calls:
                told = ", ".join(f"{name}={value}" for name, value in wanted.items())
                return short(
                    "traces for all combinations of the optional arguments", f"none for {told}", "trace it too"
                )
    return held(f"{len(loaded.traces)} traces: all combinations of the values that they have.")


def floats_as_float32(loaded: Loaded) -> Verdict:
    """D29: inputs that are floats are float32, which is what consumers have: no trace casts what it is given."""
    specs = [spec for trace in loaded.traces for spec in tf.nest.flatten(trace.inputs)]
    if other := [spec.dtype.name for spec in specs if spec.dtype.is_floating and spec.dtype != tf.float32]:
        return short("floats as float32 inputs", other[0], "take float32, and cast inside")
    return held(f"The inputs are of {', '.join(sorted({spec.dtype.name for spec in specs}))}.")


def _absent(variables: Iterable[tf.Variable], listed: Iterable[tf.Variable]) -> list[tf.Variable]:
    known = {variable.ref() for variable in listed if isinstance(variable, tf.Variable)}
    return [variable for variable in variables if variable.ref() not in known]


def _one_level(specs: Any) -> bool:
    if isinstance(specs, dict):
        specs = list(specs.values())
    leaves = specs if isinstance(specs, list | tuple) else [specs]
    return bool(leaves) and all(isinstance(leaf, _TENSORS) for leaf in leaves)
