"""A split as batches of tensors, decoded, in an order that is fixed by seed and pass.

    shards in canonical order ─ shuffled ─ parsed ─ decode ─ augment ─ batched

Canonical order is a shuffle that depends on content alone. For a pass of training shards are put in another order,
and records are shuffled in a buffer of at most `SHUFFLE_BYTES`, both by (seed, pass). Augmentation draws by (seed,
pass, place of the record in the pass). So a pass can be gone on with at any batch, without any state of an iterator.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.errors import DataError, PiecehubError
from piecehub.examples.canonical import no_examples
from piecehub.examples.features import Features, not_finite_of
from piecehub.examples.ingest import read_facts
from piecehub.examples.layout import split_files
from piecehub.examples.shards import SplitFacts

_RaggedTensor: Any = tf.RaggedTensor  # the same
SHUFFLE_BYTES = 256 * 2**20
# Of examples that are read into arrays, at a time.
_BATCH, _BATCH_BYTES = 256, 16 * 2**20
# One example's features by name -> the same in the form that the model takes; both without a batch.
Decode = Callable[[Mapping[str, Any]], Mapping[str, Any]]
# Decoded features and a seed, `[2] int32` for TensorFlow's stateless operations -> features of the same form.
Augment = Callable[[Mapping[str, Any], Any], Mapping[str, Any]]

_AUTOTUNE: Any = tf.data.AUTOTUNE
_random: Any = tf.random  # its stub lacks what is needed here


@dataclass(frozen=True)
class Stream:
    """A split of ingested examples (ingest.py).

    Attributes:
        split: its name, for sentences.
        files: its shards, in canonical order.
        facts: what the pass counted.
        features: how to parse it.
        decode: what the recipe makes of each example; None leaves features as they are.
    """

    split: str
    files: tuple[str, ...]
    facts: SplitFacts
    features: Features
    decode: Decode | None = None

    @classmethod
    def open(cls, uri: str, split: str, features: Features, decode: Decode | None = None) -> "Stream":
        """The split of an Examples artifact that `ingest` wrote.

        Raises:
            DataError: if there is no such split, it was not ingested, or has numbers that are not finite where the
                schema allows none.
        """
        found = read_facts(uri)
        if split not in found:
            raise no_examples(uri, split)
        features.refuse_not_finite(found[split], split)
        return cls(split, tuple(split_files(uri, split)), found[split], features, decode)

    @classmethod
    def specs_of(cls, features: Features, decode: Decode | None = None) -> dict[str, Any]:
        """Specs of a batch of decoded features, by name, where no examples are at hand."""
        return cls("", ("",), SplitFacts("", 0, 0, 0), features, decode).element_spec

    def __len__(self) -> int:
        """How many examples it has."""
        return self.facts.records

    @property
    def element_spec(self) -> dict[str, Any]:
        """Specs of a batch of decoded features, by name; the first dimension is the batch."""
        return dict(self.in_order(1).element_spec)

    def in_order(self, batch_size: int) -> Any:
        """All examples in canonical order: a `tf.data.Dataset` of dicts `{name: [batch, …]}`."""
        return self._batched(_records(self.files), batch_size)

    def shuffled(
        self, seed: int, number: int, batch_size: int, skip_batches: int = 0, augment: Augment | None = None
    ) -> Any:
        """The examples of one pass of training, as `in_order` gives them, shuffled.

        Args:
            seed: of the training.
            number: of the pass, from 0; each has another order.
            batch_size: the last batch may be smaller.
            skip_batches: leaves out that many batches, which are neither parsed nor decoded.
            augment: what is done to each decoded example.
        """
        rng = np.random.default_rng([seed, number])
        files = [self.files[i] for i in rng.permutation(len(self.files))]
        records = _records(files).shuffle(self._buffer(), seed=int(rng.integers(2**31)), reshuffle_each_iteration=False)
        records = records.skip(skip_batches * batch_size)
        if augment is None:
            return self._batched(records, batch_size)
        return self._augmented(records, batch_size, (seed, number), skip_batches * batch_size, augment)

    def as_arrays(self, batch_size: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Batches in canonical order as NumPy's arrays: `[batch, …]`; of a ragged feature one array an example.

        Args:
            batch_size: by default 256, and fewer of large examples.

        Raises:
            DataError: if a record lacks a feature, or has it in another form.
        """
        with self.told():
            for batch in self.in_order(batch_size or self._fitting()):
                yield {name: _array(tensor) for name, tensor in batch.items()}

    def finite_arrays(self) -> Iterator[dict[str, np.ndarray]]:
        """The same, and at the end it is looked whether all numbers are finite.

        Raises:
            DataError: as `as_arrays`, and if a number is not finite that `decode` made.
        """
        counts: dict[str, list[int]] = {}
        for batch in self.as_arrays():
            for name, values in batch.items():
                if values.dtype.kind == "f":
                    found = not_finite_of(values)
                    counts[name] = [a + b for a, b in zip(counts.get(name, [0] * 4), found, strict=True)]
            yield batch
        self.features.refuse_counts(counts, self.split, len(self))

    def arrays(self) -> dict[str, np.ndarray]:
        """All examples in canonical order, in memory, as `as_arrays` gives them.

        Raises:
            DataError: as `as_arrays`, and if a number is not finite that `decode` made.
        """
        batches = list(self.finite_arrays())
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}

    def told(self) -> Any:
        """A context in which errors of tf.data become sentences about a record."""
        return _Told(self)

    def fault(self) -> str | None:
        """A sentence about the first record that cannot be parsed or decoded; None if all can. It reads them all."""
        for number, record in enumerate(_records(self.files).as_numpy_iterator()):
            if found := self.features.fault(record):
                return found
            if self.decode and (found := self._undecodable(number, record)):
                return found
        return None

    def _undecodable(self, number: int, record: bytes) -> str | None:
        try:
            self._decoded(tf.constant(record))
        except PiecehubError as error:
            return f"{error.sentence.rstrip('.')}; it is example {number} of the split '{self.split}'."
        except Exception as error:  # noqa: BLE001 - what a recipe's code raises may be anything
            return (
                f"Expected 'decode' to take every example. Received: {type(error).__name__} at example {number} of the "
                f"split '{self.split}': {' '.join(str(error).split())[:300]}"
            )
        return None

    def _fitting(self) -> int:
        """How many examples are a batch of at most `_BATCH_BYTES`, as far as their shapes are known."""
        sizes = [_bytes_of(spec) for spec in self.element_spec.values()]
        return max(1, min(_BATCH, _BATCH_BYTES // max(1, sum(sizes))))

    def _buffer(self) -> int:
        """As many records as fit into `SHUFFLE_BYTES`, at least a thousand."""
        mean = max(1, self.facts.bytes // self.facts.records)
        return min(self.facts.records, max(1000, SHUFFLE_BYTES // mean))

    def _batched(self, records: Any, batch_size: int) -> Any:
        if self.decode is None:
            parse = lambda batch: tf.io.parse_example(batch, dict(self.features.specs))  # noqa: E731
            return records.batch(batch_size).map(parse, num_parallel_calls=_AUTOTUNE).prefetch(2)
        return _batches(records.map(self._decoded, num_parallel_calls=_AUTOTUNE), batch_size)

    def _augmented(self, records: Any, batch_size: int, seed: tuple[int, int], start: int, augment: Augment) -> Any:
        def changed(index: Any, record: Any) -> Any:
            drawn = _random.experimental.stateless_fold_in(tf.constant(seed, tf.int32), index)
            return dict(augment(self._decoded(record), drawn))

        return _batches(records.enumerate(start).map(changed, num_parallel_calls=_AUTOTUNE), batch_size)

    def _decoded(self, record: Any) -> dict[str, Any]:
        parsed = tf.io.parse_single_example(record, dict(self.features.specs))
        return dict(self.decode(parsed)) if self.decode else parsed


def _bytes_of(spec: Any) -> int:
    """Of one example, of a batch's spec; 0 of what has no fixed shape, or is text."""
    if not isinstance(spec, tf.TensorSpec) or not spec.shape[1:].is_fully_defined():
        return 0
    return spec.shape[1:].num_elements() * spec.dtype.size if spec.dtype != tf.string else 0


class _Told:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, tf.errors.OpError):
            raise DataError(self._sentence(error)) from error

    def _sentence(self, error: tf.errors.OpError) -> str:
        received = " ".join(str(error.message).split())
        read = f"Expected examples of the split '{self._stream.split}' to be read. Received: {received}"
        return self._stream.fault() or read


def _records(files: Any) -> Any:
    return tf.data.TFRecordDataset(list(files), buffer_size=2**20)


def _batches(examples: Any, batch_size: int) -> Any:
    """Examples in batches; what is not of one shape becomes ragged."""
    return examples.ragged_batch(batch_size).prefetch(2)


def _array(tensor: Any) -> np.ndarray:
    """A batch as an array: sparse tensors are filled up, of ragged ones each row is an array of its own."""
    if isinstance(tensor, tf.SparseTensor):
        return tf.sparse.to_dense(tensor).numpy()
    if isinstance(tensor, _RaggedTensor):
        rows = np.empty(tensor.shape[0], object)
        for index, row in enumerate(tensor):
            rows[index] = row.numpy()
        return rows
    return tensor.numpy()
