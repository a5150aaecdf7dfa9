"""D26: steps of training, and calls at inference, leave no more in memory than they found."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import tensorflow as tf

from piecehub.conformance.behaviour import EXAMPLES
from piecehub.conformance.loaded import STRANGERS, Loaded
from piecehub.conformance.pace import paced
from piecehub.conformance.training import some_loss
from piecehub.conformance.verdict import Verdict, held, short

_STEPS = 3
_WINDOWS, _WINDOW_STEPS = 4, 10
_LONGEST_S = 8.0  # for all windows: of what is too large for them, only the state is looked at
_ELEMENTS, _MOST_EXAMPLES = 2**16, 256
_SMALLEST_GROWTH_BYTES = 2**16  # in each window; of good models the heap moved by 10 KiB at most once they were warm
_EXPECTED = "memory that stays level over steps"


def stays_level(loaded: Loaded) -> Verdict:
    """D26: neither variables and tables nor the process grow from step to step.

    A variable without a fixed shape may take up what it has seen, and so may a table. What is kept elsewhere shows in
    the heap of the process alone: in what is allocated there, since its resident memory also grows while it warms up.
    """
    with loaded.unchanged():
        inputs = loaded.draw(EXAMPLES)
        _repeat(loaded, inputs, _STEPS)  # what is filled once is no growth
        before = _sizes(loaded)
        _repeat(loaded, inputs, _STEPS)
        after = _sizes(loaded)
        if grown := [name for name, size in after.items() if size > before.get(name, 0)]:
            received = f"{grown[0]}, which {_STEPS} steps bring from {before.get(grown[0], 0)} to {after[grown[0]]}"
            return short(_EXPECTED, received, "keep nothing of what was seen, or a fixed number of it")
        windows = _windows(loaded)
    after_the_first = windows[1:]  # it fills what is filled once
    if len(windows) == _WINDOWS and min(after_the_first) > _SMALLEST_GROWTH_BYTES:
        each = sum(after_the_first) / len(after_the_first) / _WINDOW_STEPS
        received = f"a heap that grows by {each / 2**10:.0f} KiB at each step"
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

    Fewer windows where time was short, and none where the C library cannot tell (glibc can from 2.33 on).
    """
    if not hasattr(psutil, "heap_info"):
        return []
    inputs, grown = loaded.draw(_examples(loaded)), list[int]()
    with _collecting_only_what_comes():
        allocated = _allocated_bytes()
        for step in paced(_WINDOWS * _WINDOW_STEPS, _LONGEST_S):
            _repeat(loaded, inputs, 1)
            if step % _WINDOW_STEPS == _WINDOW_STEPS - 1:
                now = _allocated_bytes()
                grown.append(now - allocated)
                allocated = now
    return grown


@contextmanager
def _collecting_only_what_comes() -> Iterator[None]:
    """Garbage is looked for in what is made from here on: through all of TensorFlow each search takes long."""
    frozen_by_others = gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not frozen_by_others:
            gc.unfreeze()


def _examples(loaded: Loaded) -> int:
    """Many where examples are small: what is kept of them then shows."""
    leaves = [tensor for tensor in tf.nest.flatten(loaded.draw(1)) if isinstance(tensor, tf.Tensor)]
    size = sum(int(tf.size(tensor)) for tensor in leaves)
    return max(EXAMPLES, min(_MOST_EXAMPLES, _ELEMENTS // max(1, size)))


def _allocated_bytes() -> int:
    """What the process holds of its heap, which TensorFlow's tensors on the CPU lie in."""
    gc.collect()
    heap = psutil.heap_info()
    return heap.heap_used + heap.mmap_used


def _sizes(loaded: Loaded) -> dict[str, int]:
    """The bytes of each variable, and the entries of each table, that a trace uses."""
    sizes = {f"the bytes of '{v.name.partition(':')[0]}'": v.numpy().nbytes for v in loaded.captured}
    captured = {id(tensor): tensor for function in loaded.functions() for tensor in function.captured_inputs}
    entries = [_entries(tensor) for tensor in captured.values() if tensor.dtype == tf.resource]
    return sizes | {f"the entries of table {i}": count for i, count in enumerate(entries) if count is not None}


def _entries(table: Any) -> int | None:
    """How many entries a table has; None if it is none."""
    raw: Any = tf.raw_ops
    try:
        return int(raw.LookupTableSizeV2(table_handle=table))
    except STRANGERS:
        return None
