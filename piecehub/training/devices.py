"""On which devices a training runs, as its runner tells it.

    ""        what TensorFlow finds: one CPU, one GPU, or all GPUs
    "gpu:2"   the first two GPUs
    "cpu:2"   two logical devices of the CPU, in a process in which TensorFlow has computed nothing yet

Several devices have a copy of the model each (`tf.distribute.MirroredStrategy`), and share each batch: `batch_size` is
that of all of them.
"""

import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from piecehub.errors import TrainingError

_config: Any = tf.config
_distribute: Any = tf.distribute


@dataclass(frozen=True)
class Devices:
    """What a training runs on.

    Attributes:
        kind: "cpu" or "gpu".
        replicas: how many copies of the model there are.
        strategy: None where there is one.
    """

    kind: str = "cpu"
    replicas: int = 1
    strategy: Any = None

    def scope(self) -> AbstractContextManager[Any]:
        """In which the model is built, and whatever has variables."""
        return self.strategy.scope() if self.strategy else nullcontext()

    def facts(self) -> dict[str, Any]:
        """What is noted of them."""
        return {"kind": self.kind, "replicas": self.replicas}


def find_devices(told: str) -> Devices:
    """The devices that a runner told of (see above).

    Raises:
        TrainingError: if there are fewer, or the text says nothing of the kind.
    """
    gpus = len(_config.list_physical_devices("GPU"))
    if not told:
        return _mirrored("gpu", gpus) if gpus else Devices()
    if not (match := re.fullmatch("(cpu|gpu):([1-9][0-9]*)", told)):
        raise TrainingError(f"Expected devices such as 'gpu:2' or 'cpu:2', or none. Received: '{told}'.")
    kind, count = match[1], int(match[2])
    if kind == "cpu":
        _make_logical(count)
    elif gpus < count:
        raise TrainingError(f"Expected {count} GPUs for '{told}'. Received: {gpus}; ask for fewer, or for none.")
    return _mirrored(kind, count)


def resolved(told: str) -> str:
    """What a runner may tell the trainer, so that cache keys differ where numbers do: GPUs are named, one CPU is "".

    A runner asks before anything else of its process computes, and so makes logical devices in time.

    Raises:
        TrainingError: as `find_devices`.
    """
    found = find_devices(told)
    return told or (f"gpu:{found.replicas}" if found.kind == "gpu" else "")


def _mirrored(kind: str, count: int) -> Devices:
    if count == 1 and (kind == "gpu" or not _config.list_physical_devices("GPU")):
        return Devices(kind)
    return Devices(kind, count, _distribute.MirroredStrategy([f"{kind.upper()}:{each}" for each in range(count)]))


def _make_logical(count: int) -> None:
    [cpu, *_] = _config.list_physical_devices("CPU")
    already = len(_config.get_logical_device_configuration(cpu) or [None])
    if already >= count:
        return
    try:
        _config.set_logical_device_configuration(cpu, [_config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        raise TrainingError(
            f"Expected a process in which TensorFlow has computed nothing yet, to make {count} logical devices of the "
            f"CPU. Received: one with {already}; train in a fresh process."
        ) from error
