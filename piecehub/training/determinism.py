"""Operations that give equal bits at every run, for as long as that is wanted."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.framework import config  # TensorFlow exports no way back, and Keras asks here too


@contextmanager
def deterministic_operations() -> Iterator[None]:
    """Every operation inside is deterministic; afterwards TensorFlow is as it was.

    Left on, it would take XLA from every other model of the process (Keras then compiles none), and refuse random
    operations without a seed.
    """
    before = config.is_op_determinism_enabled()
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        if not before:
            config.disable_op_determinism()
