"""A part of a large model's variables, for checks that hold several numbers for each of a variable's.

By a hash of name and content, so that equal models give equal samples, and no place in a model is left out for ever.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import tensorflow as tf

from piecehub.conformance.loaded import Loaded, bytes_of

_SAMPLE_BYTES = 1 << 26


@dataclass(frozen=True)
class Sample:
    """Some trainable variables.

    Attributes:
        variables: in the model's own order.
        of: how many it was taken from.
    """

    variables: list[tf.Variable]
    of: int

    @property
    def told(self) -> str:
        """What a report says of it; nothing where it is no sample."""
        n = len(self.variables)
        return "" if n == self.of else f", of a sample of {n} of {self.of} variables"


def sample_of(loaded: Loaded) -> Sample:
    """All trainable variables of a model of ordinary size, and of a large one as many as 64 MiB hold; at least one."""
    trainable = loaded.trainable_variables
    sizes = [bytes_of(variable) for variable in trainable]
    if sum(sizes) <= _SAMPLE_BYTES:
        return Sample(trainable, len(trainable))
    order = sorted(range(len(trainable)), key=lambda place: _digest(trainable[place]))
    chosen = set(_fitting(order, sizes)) or {min(order, key=sizes.__getitem__)}
    return Sample([variable for place, variable in enumerate(trainable) if place in chosen], len(trainable))


def _fitting(order: Iterable[int], sizes: list[int]) -> Iterable[int]:
    """Places, in that order, whose sizes still fit."""
    left = _SAMPLE_BYTES
    for place in order:
        if sizes[place] <= left:
            left -= sizes[place]
            yield place


def _digest(variable: tf.Variable) -> bytes:
    return hashlib.sha256(variable.name.encode() + b"\0" + variable.numpy().tobytes()).digest()
