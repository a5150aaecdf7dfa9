"""Which batches an epoch has: one pass over the examples, or a number of steps of passes without end.

    passes        0 0 0 0 1 1 1 1 2 2 2 2 …      each in an order of its own, its last batch smaller
    epochs        0 0 0 0 1 1 1 1 2 2 2 2 …      by default
    of 3 steps    0 0 0 1 1 1 2 2 2 3 3 3 …      `steps_per_epoch = 3`

An epoch is made anew from its number and a count of batches to leave out, so training goes on within it.
"""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from piecehub.examples.stream import Augment, Stream
from piecehub.training.pairing import Pairing

_cardinality: Any = tf.data.experimental.assert_cardinality


@dataclass(frozen=True)
class Batches:
    """The training split as epochs.

    Attributes:
        stream: the examples.
        pair: what the model takes of a batch.
        batch_size: how many examples a batch has; the last of a pass may have fewer.
        seed: of the order.
        steps_per_epoch: None is a pass.
        augment: what is done to each decoded example.
    """

    stream: Stream
    pair: Pairing
    batch_size: int
    seed: int
    steps_per_epoch: int | None = None
    augment: Augment | None = None

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return self.steps_per_epoch or self._pass_steps

    def epoch(self, number: int, skip: int = 0) -> Any:
        """The batches of an epoch as a `tf.data.Dataset`, without its first `skip`."""
        left = self.steps - skip
        begun, start = divmod(number * self.steps + skip, self._pass_steps)
        dataset = self._pass(begun, start)
        for later in range(begun + 1, begun + 1 + (start + left - 1) // self._pass_steps):
            dataset = dataset.concatenate(self._pass(later, 0))
        return counted(dataset.take(left).map(self.pair), left)

    @property
    def _pass_steps(self) -> int:
        return steps(len(self.stream), self.batch_size)

    def _pass(self, number: int, skip: int) -> Any:
        return self.stream.shuffled(self.seed, number, self.batch_size, skip, self.augment)


def in_order(stream: Stream, pair: Pairing, batch_size: int) -> Any:
    """All of a split, once, in canonical order, as `model.evaluate` takes it."""
    return counted(stream.in_order(batch_size).map(pair), steps(len(stream), batch_size))


def steps(examples: int, batch_size: int) -> int:
    """How many batches that many examples are."""
    return -(-examples // batch_size)


def counted(dataset: Any, batches: int) -> Any:
    """The dataset with the number of its batches, which Keras would otherwise find by running out of data."""
    return dataset.apply(_cardinality(batches)).prefetch(2)
