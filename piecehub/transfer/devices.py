"""On what trials run, each in a process of its own: on processors, or on GPUs, one process each.

    ""        all GPUs that TensorFlow finds, or else processors
    "gpu:2"   the first two GPUs
    "cpu"     processors, also where there are GPUs; "cpu:2" too, which says more of a training (training/devices.py)

A GPU gives other numbers than a processor, so its trials are other trials, and evidence of the two kinds is never
paired.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from typing import Any, Literal

from piecehub.errors import TrainingError

Kind = Literal["cpu", "gpu"]
_NO_GPU = "-1"


def find_gpus(told: str) -> tuple[str, ...]:
    """The GPUs that trials run on, as `CUDA_VISIBLE_DEVICES` names them; none where they run on processors.

    This process leaves memory of the GPUs to them: it takes no more than it needs, if it has computed nothing yet.

    Raises:
        TrainingError: as `chosen`.
    """
    import tensorflow as tf

    config: Any = tf.config
    found = config.list_physical_devices("GPU")
    for gpu in found:
        with contextlib.suppress(RuntimeError):  # it computes already
            config.experimental.set_memory_growth(gpu, True)
    return chosen(told, _names(len(found), os.environ.get("CUDA_VISIBLE_DEVICES", "")))


def chosen(told: str, gpus: Sequence[str]) -> tuple[str, ...]:
    """Of these GPUs those that a person told of (see above); none where trials run on processors.

    Raises:
        TrainingError: if there are fewer, or the text says nothing of the kind.
    """
    if not (match := re.fullmatch(r"|cpu(?::[1-9][0-9]*)?|gpu(?::([1-9][0-9]*))?", told)):
        raise TrainingError(f"Expected devices such as 'gpu:2' or 'cpu', or none. Received: '{told}'.")
    if told.startswith("cpu"):
        return ()
    wanted = int(match[1] or 1) if told else 0
    if wanted > len(gpus):
        raise TrainingError(f"Expected {wanted} GPUs for '{told}'. Received: {len(gpus)}; ask for fewer, or for none.")
    return tuple(gpus[: int(match[1])]) if match[1] else tuple(gpus)


def kind_of(gpus: Sequence[str]) -> Kind:
    """What trials are said to have run on."""
    return "gpu" if gpus else "cpu"


def seen_by_processes(gpus: Sequence[str], most: int) -> tuple[str, ...]:
    """`CUDA_VISIBLE_DEVICES` of each process that runs trials: its one GPU, or none; at most so many processes."""
    return tuple(gpus[:most]) or (_NO_GPU,) * most


def _names(count: int, visible: str) -> list[str]:
    """How processes that are started name the GPUs that this one sees, of which some may be hidden."""
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]
