"""Variables that `tf.distribute` keeps on several devices: a container stands for its replicas.

A model made in the scope of a `tf.distribute.MirroredStrategy` has containers in its lists, while functions capture the
replicas. A SavedModel has each variable once, with the value that reading the container gives: of the first replica, or
the mean or sum of all, as the variable is aggregated.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf


def replicas(variable: tf.Variable) -> list[Any]:
    """The variables that a container stands for; the variable itself where it is none."""
    return list(variable.values) if isinstance(variable, tf.distribute.DistributedValues) else [variable]


def container(variable: Any) -> Any:
    """The container that stands for a replica; the variable itself where none does."""
    known = getattr(variable.handle, "_distributed_container", None)  # a weak reference
    return variable if known is None else known()


@contextmanager
def aggregated(variables: Sequence[tf.Variable]) -> Iterator[None]:
    """All replicas have the aggregated value while the block runs: functions that are saved read the first one."""
    containers = [variable for variable in variables if isinstance(variable, tf.distribute.DistributedValues)]
    with unchanged(containers):
        for variable in containers:
            first, *others = replicas(variable)
            value = variable.numpy()
            first.assign(value)
            summed = variable.aggregation == tf.VariableAggregation.SUM
            for other in others:
                other.assign(tf.zeros_like(value) if summed else value)
        yield


@contextmanager
def unchanged(variables: Sequence[tf.Variable]) -> Iterator[None]:
    """Variables, and their replicas each, have their values of before after the block."""
    each = [replica for variable in variables for replica in replicas(variable)]
    before = [variable.numpy() for variable in each]
    try:
        yield
    finally:
        for variable, value in zip(each, before, strict=True):
            variable.assign(value)
