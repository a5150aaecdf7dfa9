"""D26: steps of training, and calls at inference, leave no more in memory than they found."""

import gc
from typing import Any

import tensorflow as tf

from piecehub.conformance import heap
from piecehub.conformance.loaded import STRANGERS, Loaded, bytes_of
from piecehub.conformance.pace import affordable, paced
from piecehub.conformance.passes import some_loss
from piecehub.conformance.verdict import Verdict, held, short
from piecehub.facts.heap import set_aside

_STEPS = 3
_WINDOWS, _WINDOW_STEPS = 4, 10
_ALL_BYTES = 1 << 31  # of activations, in all steps of all windows: of what is larger only the state is looked at
_ELEMENTS, _EXAMPLES, _MOST_EXAMPLES = 2**16, 5, 256
_SMALLEST_GROWTH_BYTES = 2**16  # in each window; of good models the heap moved by 10 KiB at most once they were warm
_EXPECTED = "memory that stays level over steps"


def stays_level(loaded: Loaded) -> Verdict:
    """D26: neither variables and tables nor the process grow from step to step.

    A variable without a fixed shape may take up what it has seen, and so may a table. What is kept elsewhere shows in
    the heap of the process alone: in what is allocated there, since its resident memory also grows while it warms up.
    """
    with loaded.unchanged():
        inputs = loaded.draw(loaded.few_examples)
        _repeat(loaded, inputs, _STEPS)  # what is filled once is no growth
        before = _sizes(loaded)
        _repeat(loaded, inputs, _STEPS)
        after = _sizes(loaded)
        if grown := [name for name, size in after.items() if size > before.get(name, 0)]:
            received = f"{grown[0]}, which {_STEPS} steps bring from {before.get(grown[0], 0)} to {after[grown[0]]}"
            return short(_EXPECTED, received, "keep nothing of what was seen, or a fixed number of it")
        windows = _windows(loaded)
    least = min(windows, default=0)  # in one window may be filled what is filled once
    if least > _SMALLEST_GROWTH_BYTES:
        received = f"a heap that grows by {least / _WINDOW_STEPS / 2**10:.0f} KiB at each step"
        return short(_EXPECTED, received, "look for tables and stacks that keep what they have seen")
    steps = 2 * _STEPS + len(windows) * _WINDOW_STEPS
    what = "variable, table or heap" if windows else "variable or table"
    return held(f"After {steps} steps no {what} is larger than before.")


def _repeat(loaded: Loaded, inputs: Any, steps: int) -> None:
    """Gradients in training, and a call at inference, some times."""
    trainable = loaded.trainable_variables
    for _ in range(steps):
        if trainable:
            with tf.GradientTape() as tape:
                loss = some_loss(loaded.train(inputs))
            tape.gradient(loss, trainable)
        else:
            loaded.train(inputs)
        loaded.obj(inputs)


def _windows(loaded: Loaded) -> list[int]:
    """How many bytes the heap grew by in each window of steps.

    None where time is short for all of them, and where the C library cannot tell.
    """
    examples = _examples(loaded)
    if not heap.can_be_told() or not examples:
        return []
    inputs, grown = loaded.draw(examples), list[int]()
    with set_aside():
        allocated = _allocated_bytes()
        for step in paced(_WINDOWS * _WINDOW_STEPS):
            _repeat(loaded, inputs, 1)
            if step % _WINDOW_STEPS == _WINDOW_STEPS - 1:
                now = _allocated_bytes()
                grown.append(now - allocated)
                allocated = now
    return grown if len(grown) == _WINDOWS else []


def _examples(loaded: Loaded) -> int:
    """Many where examples are small: what is kept of them then shows. 0 where one is too much for so many steps."""
    size = sum(int(tf.size(tensor)) for tensor in tf.nest.flatten(loaded.draw(1)))
    most = max(_EXAMPLES, min(_MOST_EXAMPLES, _ELEMENTS // max(1, size)))
    steps = _WINDOWS * _WINDOW_STEPS
    return affordable(most, steps * loaded.activation_bytes, _ALL_BYTES, at_least=0)


def _allocated_bytes() -> int:
    """What the process holds of its heap, but for garbage."""
    gc.collect()
    return heap.allocated_bytes()


def _sizes(loaded: Loaded) -> dict[str, int]:
    """The bytes of each variable, and the entries of each table, that a trace uses."""
    sizes = {f"the bytes of '{v.name.partition(':')[0]}'": bytes_of(v) for v in loaded.captured}
    captured = {id(tensor): tensor for function in loaded.functions() for tensor in function.captured_inputs}
    return sizes | {f"the entries of table {i}": _entries(tensor) for i, tensor in enumerate(captured.values())}


def _entries(table: Any) -> int:
    """How many entries a table has; 0 if it is none."""
    raw: Any = tf.raw_ops
    try:
        return int(raw.LookupTableSizeV2(table_handle=table))
    except STRANGERS:
        return 0
