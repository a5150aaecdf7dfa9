"""For each branch of D7, D8, D12, D26 and D27 a model for which it alone decides, and what the rule then says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from piecehub.conformance import behaviour, memory, practice, training
from piecehub.conformance.loaded import Loaded
from piecehub.conformance.verdict import Verdict
from tests.conformance.broken_models import BROKEN, ROWS, Make, changed, model, of, plain, save
from tests.transfer.faulty_pieces import FAULTY

Check = Callable[[Loaded], Verdict]
D7, D8, D12 = behaviour.examples_independent, behaviour.inference_pure, training.differentiates_again
D26, D27 = memory.stays_level, practice.trains_at_common_rates
_variable: Any = tf.Variable
_raw: Any = tf.raw_ops
_W = [[0.5, -1.0, 2.0]] * 4  # what the weights of these models are


def broken(name: str) -> Make:
    return BROKEN[name][0]


def _faulty(name: str) -> Make:
    def make(folder: Path) -> Path:
        FAULTY[name].write(folder)
        return folder

    return make


def _refuses(mode: bool | None, refused: Callable[[Any], Any]) -> Make:
    """Takes no batch of a refused size, in one mode or both."""

    def forward(root: Any, x: Any, training: bool) -> Any:
        if mode is None or training is mode:
            with tf.control_dependencies([tf.debugging.Assert(~refused(tf.shape(x)[0]), ["refused"])]):
                x = tf.identity(x)
        return plain(root, x, training)

    return of(forward)


def _refuses_one_and_five(root: Any, x: Any, training: bool) -> Any:
    with tf.control_dependencies([tf.debugging.Assert(tf.shape(x)[0] != (1 if training else 5), ["refused"])]):
        return plain(root, tf.identity(x), training)


# --- D7 ---------------------------------------------------------------------------------------------------------------


def _another_alone(root: Any, x: Any, training: bool) -> Any:
    return plain(root, x, training) + tf.cast(tf.shape(x)[0] == 1, tf.float32)


def _another_among_others(root: Any, x: Any, training: bool) -> Any:
    """Only the last of the other examples that D7 draws makes the first one's output another."""
    last = np.random.default_rng(1).random((5, 4))[-1, 0]
    return plain(root, x, training) + tf.cast(tf.abs(x[-1, 0] - last) < 1e-6, tf.float32)


def _sum_of_all(root: Any, x: Any, training: bool) -> Any:
    return tf.reduce_sum(plain(root, x, training))


def _ragged(root: Any, x: Any, training: bool) -> Any:
    lengths = 1 + tf.cast(2.9 * x[:, 0], tf.int64)
    return tf.RaggedTensor.from_tensor(plain(root, x, training), lengths=lengths)


def _as_wide_as_the_batch(root: Any, x: Any, training: bool) -> Any:
    return tf.ones([tf.shape(x)[0], tf.shape(x)[0]]) + 0.0 * tf.reduce_sum(root.w)


def _another_rank_alone(root: Any, x: Any, training: bool) -> Any:
    y, rows = plain(root, x, training), tf.shape(x)[0]
    return tf.reshape(y, tf.cond(rows == 1, lambda: tf.stack([rows, 3]), lambda: tf.stack([rows, 3, 1])))


def _as_wide_as_few_are(root: Any, x: Any, training: bool) -> Any:
    return tf.ones([tf.shape(x)[0], tf.maximum(1, 6 - tf.shape(x)[0])]) + 0.0 * tf.reduce_sum(root.w)


def _one_among_others(root: Any, x: Any, training: bool) -> Any:
    return {"a": plain(root, x, training), "b": _another_among_others(root, x, training)}


def _one_fixed(root: Any, x: Any, training: bool) -> Any:
    return plain(root, x["a"], training) + 0.0 * tf.reduce_sum(x["b"])


def _traced(*traces: tuple[int | None, bool]) -> Make:
    """Traces of some numbers of rows, in that order."""

    def make(folder: Path) -> Path:
        root = model(plain, traces=())
        for rows, mode in traces:
            root.__call__.get_concrete_function(tf.TensorSpec([rows, 4], tf.float32), training=mode)
        return save(root, folder)

    return make


def _alone_after_training(root: Any, x: Any, training: bool) -> Any:
    if training:
        root.seed.assign_add(1)
    return plain(root, x, training) + tf.cast((root.seed > 0) & (tf.shape(x)[0] == 1), tf.float32)


# --- D8 ---------------------------------------------------------------------------------------------------------------


def _another_at_the_fifth_call(root: Any, x: Any, training: bool) -> Any:
    root.seed.assign_add(1)
    return plain(root, x, training) + tf.cast(root.seed >= 5, tf.float32)


def counts(root: Any, x: Any, training: bool) -> Any:
    root.seed.assign_add(1)
    return plain(root, x, training)


def _one_by_chance(root: Any, x: Any, training: bool) -> Any:
    return {"a": plain(root, x, training), "b": plain(root, x, training) + tf.random.normal([1, 3])}


def _of_all_carriers(root: Any, x: Any, training: bool) -> Any:
    """A list of outputs, each in another carrier; none is of use if `state` is no number."""
    y = x @ root.w + 0.0 * (root.state + tf.cast(root.half, tf.float32))
    text = tf.strings.join([root.text, root.texts[0], tf.as_string(x)])
    return [y, tf.RaggedTensor.from_tensor(y), tf.sparse.from_dense(y), text]


def _writes_text(root: Any, x: Any, training: bool) -> Any:
    root.text.assign(tf.strings.join([root.text, "a"]))
    return plain(root, x, training)


def _with_texts_and_nan(folder: Path) -> Path:
    texts = {"text": _variable("a", trainable=False), "texts": _variable(["a"], trainable=False)}
    half = _variable(tf.constant(np.nan, tf.bfloat16), trainable=False)
    return of(_of_all_carriers, state=_variable(np.nan, trainable=False), half=half, **texts)(folder)


# --- D12 --------------------------------------------------------------------------------------------------------------


class WithGradientsByChance(Loaded):
    """A piece whose gradients are others each time; no operation that a SavedModel may hold is known to do it."""

    def train(self, inputs: Any) -> Any:
        @tf.custom_gradient
        def passed_on(outputs: Any) -> Any:
            return outputs, lambda upstream: upstream * tf.random.uniform([], 1.0, 2.0)

        return passed_on(super().train(inputs))


def _of_many_kinds(root: Any, x: Any, training: bool) -> Any:
    y = plain(root, x, training)
    numbers = {"half": tf.cast(y, tf.float16), "index": tf.cast(y, tf.int32), "mean": tf.reduce_mean(y)}
    return {"default": y, **numbers, "rows": _ragged(root, x, training), "text": tf.as_string(x)}


# --- D26 --------------------------------------------------------------------------------------------------------------


def _with_seen(forward: Any) -> Make:
    def make(folder: Path) -> Path:
        root = model(forward, traces=())
        root.seen = _variable(tf.zeros([0, 4]), shape=[None, 4], trainable=False, name="seen")
        root.variables = [*root.variables, root.seen]
        for mode in (False, True):
            root.__call__.get_concrete_function(ROWS, training=mode)
        return save(root, folder)

    return make


def _keeps_the_last(root: Any, x: Any, training: bool) -> Any:
    """Of the last rows more than a step has."""
    root.seen.assign(tf.concat([root.seen, x], axis=0)[-20:])
    return plain(root, x, training)


def _with_table(keys_of: Callable[[Any, Any], Any]) -> Make:
    """Inserts in a table that the piece holds."""

    def forward(root: Any, x: Any, training: bool) -> Any:
        root.table.insert(keys_of(root, x), tf.zeros([tf.shape(x)[0]]))
        return plain(root, x, training)

    table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)
    return lambda folder: save(model(forward, table=table), folder)


def _new_keys(root: Any, x: Any) -> Any:
    return tf.range(tf.shape(x, tf.int64)[0]) + root.table.size()


def _same_keys(root: Any, x: Any) -> Any:
    return tf.range(tf.shape(x, tf.int64)[0])


def out_of_sight(entries: int, modes: tuple[bool, ...] = (False, True), **attributes: Any) -> Make:
    """A table that no attribute holds gets so many entries at each call in those modes."""

    def forward(root: Any, x: Any, training: bool) -> Any:
        if training not in modes:
            return plain(root, x, training)
        table = _raw.MutableHashTableOfTensorsV2(
            key_dtype=tf.int32, value_dtype=tf.float32, value_shape=[256], shared_name=f"kept {entries} {modes}"
        )
        last = root.seed.assign_add(entries)
        values = tf.ones([entries, 256])
        _raw.LookupTableInsertV2(table_handle=table, keys=tf.range(last - entries, last), values=values)
        return plain(root, x, training)

    return of(forward, **attributes)


def _of_each_row(root: Any, x: Any, training: bool) -> Any:
    """Keeps little of each example, out of sight."""
    rows = tf.shape(x)[0]
    table = _raw.MutableHashTableOfTensorsV2(
        key_dtype=tf.int32, value_dtype=tf.float32, value_shape=[4], shared_name="kept of each row"
    )
    last = root.seed.assign_add(rows)
    _raw.LookupTableInsertV2(table_handle=table, keys=tf.range(last - rows, last), values=x)
    return plain(root, x, training)


def _much_at_once(root: Any, x: Any, training: bool) -> Any:
    """Keeps 4 MiB, out of sight, at one call in the first of the windows that D26 looks at."""
    table = _raw.MutableHashTableOfTensorsV2(
        key_dtype=tf.int32, value_dtype=tf.float32, value_shape=[256], shared_name="kept at once"
    )
    entries = tf.where(root.seed.assign_add(1) == 20, 4096, 1)
    _raw.LookupTableInsertV2(table_handle=table, keys=tf.range(entries), values=tf.ones([entries, 256]))
    return plain(root, x, training)


class WithBackward(Loaded):
    """A piece at whose gradients something is done to memory; a SavedModel holds no such operation."""

    def train(self, inputs: Any) -> Any:
        @tf.custom_gradient
        def passed_on(outputs: Any) -> Any:
            def backward(upstream: Any) -> Any:
                self.at_gradients()
                return upstream

            return outputs, backward

        return passed_on(super().train(inputs))

    def at_gradients(self) -> None:
        """Keeps 64 KiB."""
        self.__dict__.setdefault("kept", []).append(np.ones(1 << 13))


class WithGarbage(WithBackward):
    def at_gradients(self) -> None:
        """Leaves 64 KiB to the garbage collector."""
        circle: list[Any] = [np.ones(1 << 13)]
        circle.append(circle)


def _of_integers(root: Any, x: Any, training: bool) -> Any:
    return tf.cast(plain(root, x, training), tf.int32)


def _without_weights(forward: Any) -> Make:
    return lambda folder: save(model(forward, trainable_variables=[]), folder)


# --- D27 --------------------------------------------------------------------------------------------------------------


def infinite_once_moved(by: float, to: float = np.inf) -> Any:
    def forward(root: Any, x: Any, training: bool) -> Any:
        moved = tf.reduce_max(tf.abs(root.w - _W)) > by
        return 3.0 * plain(root, x, training) + tf.where(moved, to, 0.0)

    return forward


def _penalty_once_moved(root: Any) -> None:
    penalty = tf.function(lambda: 1e6 * tf.reduce_max(tf.abs(root.w - _W)), input_signature=[])
    root.regularization_losses = [penalty]


def _below_zero(root: Any) -> None:
    root.regularization_losses = [tf.function(lambda: tf.constant(-10.0, tf.float64), input_signature=[])]


def _in_half_precision(root: Any, x: Any, training: bool) -> Any:
    return 0.01 * tf.cast(tf.cast(x, tf.float16) @ root.half, tf.float32)


def _with_half_weights(folder: Path) -> Path:
    half = _variable(tf.cast(_W, tf.float16), name="half")
    return of(_in_half_precision, half=half, variables=[half], trainable_variables=[half])(folder)


def _of_other_rows(root: Any, x: Any, training: bool) -> Any:
    y = plain(root, x, training)
    return {"a": y, "b": tf.concat([y, y], axis=0)}


FALLS_SHORT: dict[str, tuple[Check, Make, str]] = {
    "D7 no batch at all": (D7, of(lambda root, x, training: x * root.w, tf.TensorSpec([], tf.float32)), r"shape \(\)"),
    "D7 a fixed batch in the first trace": (D7, _traced((8, False), (None, True)), r"shape \(8, 4\)"),
    "D7 a fixed batch in the last trace": (D7, _traced((None, False), (8, True)), r"shape \(8, 4\)"),
    "D7 a fixed batch of one of two inputs": (
        D7,
        of(_one_fixed, {"a": ROWS, "b": tf.TensorSpec([8], tf.float32)}),
        r"shape \(8,\)",
    ),
    "D7 a fixed batch": (D7, broken("fixed batch"), r"shape \(8, 4\)"),
    "D7 one is refused": (D7, _refuses(None, lambda n: n == 1), "for 1 in inference"),
    "D7 many are refused": (D7, _refuses(None, lambda n: n > 32), "for 33 in inference"),
    "D7 one is refused in training": (D7, _refuses(True, lambda n: n == 1), "for 1 in training"),
    "D7 many are refused in training": (D7, _refuses(True, lambda n: n > 32), "for 33 in training"),
    "D7 one is refused in training, and five at inference": (D7, of(_refuses_one_and_five), "for 1 in training"),
    "D7 other rows": (D7, broken("no row for each example"), "5 rows for 5 examples"),
    "D7 no rows": (D7, of(_sum_of_all), "5 rows for 5 examples"),
    "D7 another alone": (D7, of(_another_alone), "another alone"),
    "D7 another among others": (D7, of(_another_among_others), "another among other examples"),
    "D7 one of two outputs": (D7, of(_one_among_others), "another among other examples"),
    "D7 numbers behind the row alone": (D7, of(_as_wide_as_few_are), "another alone"),
    "D7 numbers behind the row": (D7, of(_as_wide_as_the_batch), "another alone"),
    "D7 another rank": (D7, of(_another_rank_alone), "another alone"),
    "D8 a variable moves": (D8, broken("impure inference"), "changes of 'state'"),
    "D8 a text changes": (D8, lambda folder: of(_writes_text, text=_variable("a", name="text"))(folder), "of 'text'"),
    "D8 chance": (D8, broken("random inference"), "others at call 2"),
    "D8 others between": (D8, broken("inference that other inputs change"), "others at call 2"),
    "D8 the last call": (D8, of(_another_at_the_fifth_call), "others at call 4"),
    "D8 one of two outputs": (D8, of(_one_by_chance), "others at call 2"),
    "D12 no float": (D12, of(_of_integers), "TypeError in a persistent tape: no output is a float"),
    "D12 twice from a tape": (D12, broken("variables inside a loop"), "in a persistent tape|in a tf.function"),
    "D26 a variable": (D26, broken("a variable that grows"), "the bytes of 'seen'"),
    "D26 a table": (D26, _with_table(_new_keys), "the entries of table"),
    "D26 the heap in training": (D26, out_of_sight(40, (True,)), "a heap that grows"),
    "D26 the heap at inference": (D26, out_of_sight(40, (False,)), "a heap that grows"),
    "D26 the heap in training, of no weights": (D26, out_of_sight(42, (True,), trainable_variables=[]), "a heap that"),
    "D26 the heap, by little of each example": (D26, of(_of_each_row), "a heap that grows"),
    "D27 NaN with Adam": (D27, of(infinite_once_moved(0.0, np.nan)), "to inf with Adam at 0.001"),
    "D27 no number with Adam": (D27, of(infinite_once_moved(0.0)), "to inf with Adam at 0.001"),
    "D27 far up with Adam": (D27, broken("outputs of thousands"), r"to \d.* with Adam at 0.001"),
    "D27 the penalty": (D27, changed(_penalty_once_moved), "with Adam at 0.001"),
    "D27 no number with momentum": (D27, _faulty("features times a thousand"), "after .? steps of gradient descent"),
}
HOLDS: dict[str, tuple[Check, Make, str]] = {
    "D7 training that takes nothing at all": (D7, _refuses(True, lambda n: n > 0), "Batches of 1 and 5 agree, 33 may"),
    "D7 zeros behind the row": (D7, of(_ragged), "examples do not touch each other"),
    "D7 what training leaves behind": (D7, of(_alone_after_training), "33 may come too"),
    "D7 no training": (D7, lambda folder: save(model(plain, traces=(False,)), folder), "33 may come too"),
    "D8 integer state": (D8, of(counts), "only integer state"),
    "D8 texts, and state that is no number": (D8, _with_texts_and_nan, "no variable changed"),
    "D8 nothing": (D8, of(plain), "no variable changed"),
    "D12 no gradient at all": (D12, broken("stopped for one of two"), "inside of a tf.function.$"),
    "D12 no training": (D12, lambda folder: save(model(plain, traces=(False,)), folder), "inside of a tf.function.$"),
    "D12 an output of any rank": (D12, of(_another_rank_alone), "inside of a tf.function.$"),
    "D12 outputs of many kinds": (D12, of(_of_many_kinds), "inside of a tf.function.$"),
    "D26 what is filled in one window": (D26, of(_much_at_once), "table or heap"),
    "D26 what is filled once": (D26, _with_seen(_keeps_the_last), "After 46 steps no variable, table or heap"),
    "D26 a table that is full": (D26, _with_table(_same_keys), "table or heap"),
    "D26 less than 64 KiB in 10 steps": (D26, out_of_sight(1), "table or heap"),
    "D26 nothing to differentiate": (D26, _without_weights(_of_integers), "table or heap"),
    "D27 a weight that nothing reaches": (D27, broken("stopped for one of two"), "In 20 steps"),
    "D27 outputs of many kinds": (D27, of(_of_many_kinds), "In 20 steps"),
    "D27 a loss below 0": (D27, changed(_below_zero), "at most -"),
    "D27 weights of half precision": (D27, _with_half_weights, "In 20 steps"),
    "D27 outputs of other rows": (D27, of(_of_other_rows), "In 20 steps"),
}
NOT_MADE: dict[str, tuple[Check, Make, str]] = {
    "D12 nothing to train": (D12, broken("no trainable variable"), "No variable"),
    "D27 nothing to train": (D27, broken("no trainable variable"), "No variable"),
    "D27 no float": (D27, of(_of_integers), "no output is a dense"),
    "D27 no dense output": (D27, of(_ragged), "no output is a dense"),
    "D27 a penalty that is no number": (D27, broken("loss that is no number"), "no finite loss"),
    "D27 features that are no numbers": (D27, broken("infinite in training"), "no finite loss"),
    "D27 no training at all": (D27, _refuses(True, lambda n: n > 0), "no finite loss"),
}
