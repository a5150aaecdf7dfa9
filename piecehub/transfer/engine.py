"""Trains downstream models on an exported piece, through its Reusable SavedModel interface only.

Nothing of Keras is used: what is measured is what a consumer of the SavedModel gets. The numbers are bit-identical from
process to process if TensorFlow runs with one thread (`use_one_thread`); with four, logits differ by 3e-5. A piece that
draws from TensorFlow's stateful random operations without a seed is the exception: it differs from run to run.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from piecehub.errors import NotReusableError, PieceError
from piecehub.transfer import batch_norm
from piecehub.transfer.fitting import refuse_misfit
from piecehub.transfer.inputs import Inputs
from piecehub.transfer.kinds import Kind
from piecehub.transfer.packing import Some
from piecehub.transfer.probe import Head

Rows = NDArray[np.generic]
Floats = NDArray[np.float32]
Labels = NDArray[Any]

_WARM_UP = 0.1
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7
# Examples that are asked at a time, and bytes of them, as numbers of single precision.
_INFERENCE_BATCH, _LEAST_BATCH, _INFERENCE_BYTES = 256, 32, 4 * 2**20
_BLOCK_BYTES = 64 * 2**20


def use_one_thread() -> None:
    """Makes TensorFlow compute with one thread; to be called before its first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def learning_rates(peak: float, steps: int) -> Floats:
    """The rate of each step: 10 % linear warm-up, then a half cosine towards 0, `[steps]`."""
    warm_up = max(1, round(steps * _WARM_UP))
    step = np.arange(steps)
    cosine = 0.5 * (1 + np.cos(np.pi * (step - warm_up) / max(1, steps - warm_up)))
    return (peak * np.where(step < warm_up, (step + 1) / warm_up, cosine)).astype(np.float32)


def batch_order(examples: int, steps: int, batch_size: int, seed: int) -> NDArray[np.int32]:
    """The examples of each step, `[steps, batch_size]`: whole permutations, one after another.

    It depends on its arguments only, so treatment and control of a seed see the same data in the same order.
    """
    generator = np.random.default_rng([seed, examples])
    epochs = -(-steps * batch_size // examples)
    order = np.concatenate([generator.permutation(examples) for _ in range(epochs)])
    return order[: steps * batch_size].reshape(steps, batch_size).astype(np.int32)


class Engine:
    """One loaded piece with a linear head; its weights are set anew for every training."""

    def __init__(self, saved_model: Path, outputs: int, kind: Kind = "classification", output: str = "") -> None:
        """Loads the SavedModel.

        Args:
            saved_model: the exported piece.
            outputs: the width of the head.
            kind: of the task, which decides the loss (see `kinds`).
            output: the key of what the head reads, where the piece returns a dict.

        Raises:
            NotReusableError: if it lacks a part of the interface.
        """
        piece: Any = tf.saved_model.load(str(saved_model))
        for name in ("variables", "trainable_variables", "regularization_losses"):
            if not hasattr(piece, name):
                raise NotReusableError(f"Expected a Reusable SavedModel with '{name}'. Received: '{saved_model}'.")
        if not callable(piece):
            raise NotReusableError(f"Expected a Reusable SavedModel that can be called. Received: '{saved_model}'.")
        self._piece: Any = piece
        self._inputs = Inputs(piece)
        self._variables: list[Any] = list(self._piece.variables)
        self._trainable: list[Any] = list(self._piece.trainable_variables)
        self._piece_weights = [v.numpy() for v in self._variables]
        self._outputs, self._output = outputs, output
        self._losses = _LOSSES[kind]
        self._train = tf.function(self._train_loop, reduce_retracing=True)
        self._head: list[tf.Variable] = []
        self._slots: list[tuple[tf.Variable, tf.Variable]] = []

    def refuse_misfit(self, task: str, x: Some) -> None:
        """Raises DataError or PieceError unless the piece takes the examples `x` of a task, and gives features."""
        refuse_misfit(task, self._piece, self._inputs.taken(self._inputs.held(x[:1])), self._output)

    def use_piece(self) -> None:
        """Sets the weights that the SavedModel came with."""
        for variable, value in zip(self._variables, self._piece_weights, strict=True):
            variable.assign(value)

    def use_control(self, folder: Path) -> None:
        """Sets the weights of the control in `folder`, a checkpoint `v=[…]` in the order of `variables`.

        Raises:
            PieceError: if the folder does not hold exactly one such checkpoint.
        """
        prefix = _checkpoint_prefix(folder)
        stored = {name: shape for name, shape in tf.train.list_variables(prefix) if name.startswith("v/")}
        expected = [v.shape.as_list() for v in self._variables]
        shapes = [stored.get(f"v/{i}/.ATTRIBUTES/VARIABLE_VALUE") for i in range(len(expected))]
        if len(stored) != len(expected) or shapes != expected:
            raise PieceError(
                f"Expected the piece's {len(expected)} variables in the control '{folder}', in their order and shape. "
                f"Received: {len(stored)} variables; extract and export the piece anew."
            )
        tf.train.Checkpoint(v=self._variables).read(prefix).assert_existing_objects_matched().expect_partial()

    def features(self, x: Some) -> Floats:
        """What the piece makes of `x` in inference, `[examples, feature_width] float32`."""
        return np.concatenate(list(self.parts(x)))

    def parts(self, x: Some) -> Iterator[Floats]:
        """The same, some examples at a time."""
        count = _inference_batch(x)
        for start in range(0, len(x), count):
            yield self._call(self._inputs.held(x[start : start + count]), training=False).numpy()

    def fine_tune(
        self,
        x: Rows,
        y: Labels,
        *,
        seed: int,
        learning_rate: float,
        steps: int,
        batch_size: int,
        head: Head | None = None,
    ) -> Floats:
        """Trains all weights from where they stand, with a new head; returns each step's loss, `[steps]`.

        The head is linear and starts at 0 or as given (LP-FT), the loss is that of the task's kind (softmax or sigmoid
        cross-entropy, mean squared error) and the piece's regularization losses, the optimizer Adam. Then the running
        statistics are re-estimated on `x` in batches of the same size (see `batch_norm`).
        """
        rows, examples = self._inputs.held(x), len(x)
        del x  # the shots are in memory once
        self._reset_head(rows, head)
        order, rates = batch_order(examples, steps, batch_size, seed), learning_rates(learning_rate, steps)
        losses = self._train(rows, tf.constant(y), tf.constant(order), tf.constant(rates))
        self._reestimate(rows, self._dealt(examples, batch_size, seed))
        return losses.numpy()

    def logits(self, x: Some) -> Floats:
        """What piece and head say of `x` in inference, `[examples, outputs] float32`."""
        kernel, bias = (v.numpy() for v in self._head)
        return np.concatenate([features @ kernel + bias for features in _blocks(self.parts(x))])

    def _dealt(self, examples: int, batch_size: int, seed: int) -> list[batch_norm.Places]:
        return batch_norm.batches(examples, batch_size, seed)

    def _reestimate(self, rows: Any, dealt: Sequence[batch_norm.Places]) -> None:
        def call(places: batch_norm.Places) -> Any:
            return self._call(_taken(rows, places), training=True)

        batch_norm.reestimate(call, dealt, self._variables, self._trainable)

    def _call(self, inputs: Any, *, training: bool) -> Any:
        """What the head reads of the piece's outputs for rows as `Inputs` holds them, `[examples, width] float32`."""
        outputs = self._piece(self._inputs.taken(inputs), training=training)
        return outputs[self._output] if self._output else outputs

    def _reset_head(self, rows: Any, head: Head | None) -> None:
        if not self._head:
            width = self._call(_taken(rows, [0]), training=False).shape[-1]
            self._head = [tf.Variable(tf.zeros([width, self._outputs])), tf.Variable(tf.zeros([self._outputs]))]
            self._slots = [(_zeros_like(v), _zeros_like(v)) for v in self._trainable + self._head]
        for variable in [*self._head, *(slot for pair in self._slots for slot in pair)]:
            variable.assign(tf.zeros_like(variable))
        for variable, value in zip(self._head, head or (), strict=False):
            variable.assign(value.astype(np.float32))

    def _train_loop(self, x: Any, y: Any, order: Any, rates: Any) -> Any:
        """All steps in one graph: 200 calls from Python cost more than what they compute."""
        losses = tf.TensorArray(tf.float32, size=tf.shape(order)[0])
        for step in tf.range(tf.shape(order)[0]):
            loss = self._step(_taken(x, order[step]), tf.gather(y, order[step]), rates[step], step)
            losses = losses.write(step, loss)
        return losses.stack()

    def _step(self, x: Any, y: Any, rate: Any, step: Any) -> Any:
        weights = self._trainable + self._head
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            logits = tf.matmul(self._call(x, training=True), self._head[0]) + self._head[1]
            losses = self._losses(y, logits)
            penalty = tf.add_n([loss() for loss in self._piece.regularization_losses] or [tf.constant(0.0)])
            loss = tf.reduce_mean(losses) + penalty
        self._adam(tape.gradient(loss, weights), rate, tf.cast(step + 1, tf.float32))
        return loss

    def _adam(self, gradients: Sequence[Any], rate: Any, count: Any) -> None:
        """Adam as one fused operation a weight; a weight that no gradient reaches stays as it is."""
        powers = tf.pow(_BETA_1, count), tf.pow(_BETA_2, count)
        for weight, slots, gradient in zip(self._trainable + self._head, self._slots, gradients, strict=True):
            if gradient is not None:
                tf.raw_ops.ResourceApplyAdam(
                    var=weight.handle,
                    m=slots[0].handle,
                    v=slots[1].handle,
                    beta1_power=powers[0],
                    beta2_power=powers[1],
                    lr=rate,
                    beta1=_BETA_1,
                    beta2=_BETA_2,
                    epsilon=_EPSILON,
                    grad=tf.convert_to_tensor(gradient),
                )


def _inference_batch(x: Some) -> int:
    """How many examples are asked at a time: fewer of large ones, whose activations are large."""
    columns = [x.dtype[name].shape for name in x.dtype.names] if x.dtype.names else [x.shape[1:]]
    values = sum(int(np.prod(shape, dtype=int)) for shape in columns)
    return min(_INFERENCE_BATCH, max(_LEAST_BATCH, _INFERENCE_BYTES // (4 * max(1, values))))


def _blocks(parts: Iterable[Floats]) -> Iterator[Floats]:
    """Features joined, as long as they are small: the last bits of a product may depend on how many rows it has."""
    held: list[Floats] = []
    for part in parts:
        held.append(part)
        if sum(features.nbytes for features in held) >= _BLOCK_BYTES:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _squared_error(y: Any, logits: Any) -> Any:
    return tf.math.squared_difference(tf.cast(y, tf.float32), logits[:, 0])


def _label_cross_entropy(y: Any, logits: Any) -> Any:
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(y, tf.float32), logits=logits)
    return tf.reduce_mean(losses, axis=-1)


def _class_cross_entropy(y: Any, logits: Any) -> Any:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)


# Of labels and logits, `[batch]` each.
_LOSSES: dict[Kind, Callable[[Any, Any], Any]] = {
    "classification": _class_cross_entropy,
    "multi_label": _label_cross_entropy,
    "regression": _squared_error,
}


def _taken(inputs: Any, indices: Any) -> Any:
    """The examples at `indices`, in the structure of `inputs`."""
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, indices), inputs)


def _zeros_like(variable: Any) -> tf.Variable:
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)


def _checkpoint_prefix(folder: Path) -> str:
    """The one checkpoint of a folder, whatever its name."""
    if latest := tf.train.latest_checkpoint(str(folder)):
        return latest
    indices = sorted(folder.glob("*.index"))
    if len(indices) != 1:
        raise PieceError(f"Expected one checkpoint in the control '{folder}'. Received: {len(indices)}.")
    return str(indices[0].with_suffix(""))
