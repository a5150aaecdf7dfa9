"""D7, D8, D12, D26 and D27: each branch of the rule has a model for which it alone decides."""

import ctypes
import gc
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from piecehub.conformance import behaviour, heap, inputs, memory, pace, practice, sample, training
from piecehub.conformance.dynamic import dynamic_findings
from piecehub.conformance.loaded import Loaded, load
from piecehub.conformance.verdict import Verdict
from piecehub.facts.heap import give_back
from tests.conformance.broken_models import BROKEN, ROWS, Make, _with_bias, changed, model, of, plain, save
from tests.transfer.faulty_pieces import FAULTY

Check = Callable[[Loaded], Verdict]
D7, D8, D12 = behaviour.examples_independent, behaviour.inference_pure, training.differentiates_again
D26, D27 = memory.stays_level, practice.trains_at_common_rates
_variable: Any = tf.Variable
_raw: Any = tf.raw_ops
_W = [[0.5, -1.0, 2.0]] * 4  # what the weights of these models are


def _broken(name: str) -> Make:
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


def _counts(root: Any, x: Any, training: bool) -> Any:
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


class _WithGradientsByChance(Loaded):
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


def _out_of_sight(entries: int, modes: tuple[bool, ...] = (False, True), **attributes: Any) -> Make:
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


class _WithBackward(Loaded):
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


class _WithGarbage(_WithBackward):
    def at_gradients(self) -> None:
        """Leaves 64 KiB to the garbage collector."""
        circle: list[Any] = [np.ones(1 << 13)]
        circle.append(circle)


def _of_integers(root: Any, x: Any, training: bool) -> Any:
    return tf.cast(plain(root, x, training), tf.int32)


def _without_weights(forward: Any) -> Make:
    return lambda folder: save(model(forward, trainable_variables=[]), folder)


# --- D27 --------------------------------------------------------------------------------------------------------------


def _infinite_once_moved(by: float, to: float = np.inf) -> Any:
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
    "D7 a fixed batch": (D7, _broken("fixed batch"), r"shape \(8, 4\)"),
    "D7 one is refused": (D7, _refuses(None, lambda n: n == 1), "for 1 in inference"),
    "D7 many are refused": (D7, _refuses(None, lambda n: n > 32), "for 33 in inference"),
    "D7 one is refused in training": (D7, _refuses(True, lambda n: n == 1), "for 1 in training"),
    "D7 many are refused in training": (D7, _refuses(True, lambda n: n > 32), "for 33 in training"),
    "D7 one is refused in training, and five at inference": (D7, of(_refuses_one_and_five), "for 1 in training"),
    "D7 other rows": (D7, _broken("no row for each example"), "5 rows for 5 examples"),
    "D7 no rows": (D7, of(_sum_of_all), "5 rows for 5 examples"),
    "D7 another alone": (D7, of(_another_alone), "another alone"),
    "D7 another among others": (D7, of(_another_among_others), "another among other examples"),
    "D7 one of two outputs": (D7, of(_one_among_others), "another among other examples"),
    "D7 numbers behind the row alone": (D7, of(_as_wide_as_few_are), "another alone"),
    "D7 numbers behind the row": (D7, of(_as_wide_as_the_batch), "another alone"),
    "D7 another rank": (D7, of(_another_rank_alone), "another alone"),
    "D8 a variable moves": (D8, _broken("impure inference"), "changes of 'state'"),
    "D8 a text changes": (D8, lambda folder: of(_writes_text, text=_variable("a", name="text"))(folder), "of 'text'"),
    "D8 chance": (D8, _broken("random inference"), "others at call 2"),
    "D8 others between": (D8, _broken("inference that other inputs change"), "others at call 2"),
    "D8 the last call": (D8, of(_another_at_the_fifth_call), "others at call 4"),
    "D8 one of two outputs": (D8, of(_one_by_chance), "others at call 2"),
    "D12 no float": (D12, of(_of_integers), "TypeError in a persistent tape: no output is a float"),
    "D12 twice from a tape": (D12, _broken("variables inside a loop"), "in a persistent tape|in a tf.function"),
    "D26 a variable": (D26, _broken("a variable that grows"), "the bytes of 'seen'"),
    "D26 a table": (D26, _with_table(_new_keys), "the entries of table"),
    "D26 the heap in training": (D26, _out_of_sight(40, (True,)), "a heap that grows"),
    "D26 the heap at inference": (D26, _out_of_sight(40, (False,)), "a heap that grows"),
    "D26 the heap in training, of no weights": (D26, _out_of_sight(42, (True,), trainable_variables=[]), "a heap that"),
    "D26 the heap, by little of each example": (D26, of(_of_each_row), "a heap that grows"),
    "D27 NaN with Adam": (D27, of(_infinite_once_moved(0.0, np.nan)), "to inf with Adam at 0.001"),
    "D27 no number with Adam": (D27, of(_infinite_once_moved(0.0)), "to inf with Adam at 0.001"),
    "D27 far up with Adam": (D27, _broken("outputs of thousands"), r"to \d.* with Adam at 0.001"),
    "D27 the penalty": (D27, changed(_penalty_once_moved), "with Adam at 0.001"),
    "D27 no number with momentum": (D27, _faulty("features times a thousand"), "after .? steps of gradient descent"),
}
HOLDS: dict[str, tuple[Check, Make, str]] = {
    "D7 training that takes nothing at all": (D7, _refuses(True, lambda n: n > 0), "Batches of 1 and 5 agree, 33 may"),
    "D7 zeros behind the row": (D7, of(_ragged), "examples do not touch each other"),
    "D7 what training leaves behind": (D7, of(_alone_after_training), "33 may come too"),
    "D7 no training": (D7, lambda folder: save(model(plain, traces=(False,)), folder), "33 may come too"),
    "D8 integer state": (D8, of(_counts), "only integer state"),
    "D8 texts, and state that is no number": (D8, _with_texts_and_nan, "no variable changed"),
    "D8 nothing": (D8, of(plain), "no variable changed"),
    "D12 no gradient at all": (D12, _broken("stopped for one of two"), "inside of a tf.function.$"),
    "D12 no training": (D12, lambda folder: save(model(plain, traces=(False,)), folder), "inside of a tf.function.$"),
    "D12 an output of any rank": (D12, of(_another_rank_alone), "inside of a tf.function.$"),
    "D12 outputs of many kinds": (D12, of(_of_many_kinds), "inside of a tf.function.$"),
    "D26 what is filled in one window": (D26, of(_much_at_once), "table or heap"),
    "D26 what is filled once": (D26, _with_seen(_keeps_the_last), "After 46 steps no variable, table or heap"),
    "D26 a table that is full": (D26, _with_table(_same_keys), "table or heap"),
    "D26 less than 64 KiB in 10 steps": (D26, _out_of_sight(1), "table or heap"),
    "D26 nothing to differentiate": (D26, _without_weights(_of_integers), "table or heap"),
    "D27 a weight that nothing reaches": (D27, _broken("stopped for one of two"), "In 20 steps"),
    "D27 outputs of many kinds": (D27, of(_of_many_kinds), "In 20 steps"),
    "D27 a loss below 0": (D27, changed(_below_zero), "at most -"),
    "D27 weights of half precision": (D27, _with_half_weights, "In 20 steps"),
    "D27 outputs of other rows": (D27, of(_of_other_rows), "In 20 steps"),
}
NOT_MADE: dict[str, tuple[Check, Make, str]] = {
    "D12 nothing to train": (D12, _broken("no trainable variable"), "No variable"),
    "D27 nothing to train": (D27, _broken("no trainable variable"), "No variable"),
    "D27 no float": (D27, of(_of_integers), "no output is a dense"),
    "D27 no dense output": (D27, of(_ragged), "no output is a dense"),
    "D27 a penalty that is no number": (D27, _broken("loss that is no number"), "no finite loss"),
    "D27 features that are no numbers": (D27, _broken("infinite in training"), "no finite loss"),
    "D27 no training at all": (D27, _refuses(True, lambda n: n > 0), "no finite loss"),
}


@pytest.mark.parametrize("name", FALLS_SHORT)
def test_a_branch_decides_that_a_model_falls_short(name: str, tmp_path: Path) -> None:
    check, make, words = FALLS_SHORT[name]
    _says(check, make, words, False, tmp_path)


@pytest.mark.parametrize("name", HOLDS)
def test_a_branch_decides_that_a_model_holds(name: str, tmp_path: Path) -> None:
    check, make, words = HOLDS[name]
    _says(check, make, words, True, tmp_path)


@pytest.mark.parametrize("name", NOT_MADE)
def test_a_branch_decides_that_there_is_nothing_to_check(name: str, tmp_path: Path) -> None:
    check, make, words = NOT_MADE[name]
    _says(check, make, words, None, tmp_path)


def _says(check: Check, make: Make, words: str, passed: bool | None, tmp_path: Path) -> None:
    loaded = load(make(tmp_path / "model"))
    with loaded.unchanged():
        verdict = check(loaded)
    assert verdict.passed is passed, verdict.sentence
    assert re.search(words, verdict.sentence), verdict.sentence


def test_d12_gradients_that_differ_fall_short(tmp_path: Path) -> None:
    """One of two is enough: the other has none at either time."""
    loaded = load(_broken("stopped for one of two")(tmp_path / "model"))
    verdict = D12(_WithGradientsByChance(loaded.obj, loaded.graph, loaded.folder))
    assert verdict.passed is False and "Expected the same gradient twice" in verdict.sentence


def test_d12_gradients_are_the_same_up_to_rounding() -> None:
    large, small = np.array([1000.0, 0.0]), np.array([np.nan, 0.0])
    same, different = ((None, None), (large, large * 1.0001), (small, small + 1e-7)), ((None, large), (large, None))
    assert [training._same(a, b) for a, b in same] == [True, True, True]
    assert [training._same(a, b) for a, b in (*different, (large, large + 10.0), (small, small + 0.01))] == 4 * [False]


def test_d7_and_d8_outputs_are_the_same_up_to_rounding() -> None:
    half, whole = tf.cast([1e-6, np.nan], tf.bfloat16).numpy(), np.array([100_000])
    large, small, text = np.array([1000.0]), np.array([0.0, np.nan]), np.array([b"a"], object)
    same = (large, large + 0.01), (small, small + 1e-6), (half, 2 * half), (whole, whole), (text, text)
    others = (large, large + 10.0), (small, small + 0.01), (whole, whole + 1), (large, large[None]), (text, text + b"b")
    assert [behaviour.close(a, b) for a, b in same] == 5 * [True]
    assert [behaviour.close(a, b) for a, b in others] == 5 * [False]


def test_d7_puts_the_first_example_among_others_in_each_carrier() -> None:
    one, other = tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([[5.0, 6.0], [7.0, 8.0]])
    for carried, plainly in (
        (tf.identity, lambda y: y.numpy()),
        (tf.RaggedTensor.from_tensor, lambda y: y.to_tensor().numpy()),
        (tf.sparse.from_dense, lambda y: tf.sparse.to_dense(y).numpy()),
    ):
        assert plainly(inputs.first_rows(carried(one), 1)).tolist() == [[1.0, 2.0]]
        assert plainly(inputs.mixed(carried(one), carried(other))).tolist() == [[1.0, 2.0], [7.0, 8.0]]


def test_d7_a_model_of_one_batch_size_falls_short_there_alone_and_one_of_none_at_d1(tmp_path: Path) -> None:
    for name, check, words in (("a batch of 32", "D7", "takes 32 examples"), ("a batch of its own", "D1", "be called")):
        findings = {f.check: f for f in dynamic_findings(_broken(name)(tmp_path / check))}
        made = {"D1", "D5", "D33"} if check == "D7" else set()
        assert {number for number, f in findings.items() if f.passed} == made
        assert [number for number, f in findings.items() if f.passed is False] == [check]
        assert words in findings[check].sentence
        assert findings["D8"].sentence == f"Could not be made, since {check} fell short."


def test_checks_put_back_what_calls_change(tmp_path: Path) -> None:
    loaded = load(of(_counts)(tmp_path / "model"))
    for check in (D8, D12, D26, D27):
        check(loaded)
        assert [int(v.numpy()) for v in loaded.captured if v.dtype.is_integer] == [0], check


def test_d26_without_time_or_means_for_the_heap_looks_at_the_state_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _out_of_sight(41)(tmp_path / "model")
    large = load(folder)
    large.__dict__["activation_bytes"] = 1 << 30
    assert "6 steps no variable or table is" in D26(large).sentence
    with monkeypatch.context() as patch:
        patch.setattr(memory, "paced", lambda steps: range(min(steps, 25)))
        assert "6 steps no variable or table is" in D26(load(folder)).sentence
    with monkeypatch.context() as patch:
        patch.setattr(heap, "can_be_told", lambda: False)
        assert "6 steps no variable or table is" in D26(load(folder)).sentence
    assert D26(load(folder)).passed is False


def test_d26_looks_at_gradients_too_and_lets_garbage_be(tmp_path: Path) -> None:
    loaded = load(of(plain)(tmp_path / "model"))
    keeps = D26(_WithBackward(loaded.obj, loaded.graph, loaded.folder))
    assert keeps.passed is False and "a heap that grows by" in keeps.sentence
    gc.disable()
    try:
        leaves = D26(_WithGarbage(loaded.obj, loaded.graph, loaded.folder))
    finally:
        gc.enable()
    assert leaves.passed is True, leaves.sentence


def test_d26_keeps_what_there_was_from_the_collector_and_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, frozen = load(of(plain)(tmp_path / "model")), list[int]()
    monkeypatch.setattr(memory, "_allocated_bytes", lambda: frozen.append(gc.get_freeze_count()) or 0)
    gc.unfreeze()  # what all tests leave aside (tests/conftest.py)
    try:
        D26(loaded)
        assert len(frozen) == 5 and min(frozen) > 0 and gc.get_freeze_count() == 0
    finally:
        gc.freeze()


def test_d26_draws_many_examples_where_they_are_small(tmp_path: Path) -> None:
    loaded = load(of(plain)(tmp_path / "model"))
    for activation_bytes, size, examples in (
        (0, 4, 256), (0, 1 << 12, 16), (0, 1 << 16, 5), (0, 0, 256), (1 << 23, 4, 6), (1 << 30, 4, 0),
    ):  # fmt: skip
        for carried in (tf.identity, tf.RaggedTensor.from_tensor, tf.sparse.from_dense):
            half = carried(tf.ones([1, size // 2]))
            loaded.__dict__.update(activation_bytes=activation_bytes, draw=lambda _, half=half: [half, half])
            assert memory._examples(loaded) == examples, (activation_bytes, size, carried)


def test_the_heap_is_told_of_all_threads_and_without_what_was_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    before = heap.allocated_bytes()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(lambda: [bytearray(100_000 + n) for n in range(200)]).result()
        assert 15e6 < heap.allocated_bytes() - before < 25e6
        del held[::2]  # holes between what is held, which the C library keeps
        assert 5e6 < heap.allocated_bytes() - before < 15e6
        held.append(bytearray(64 << 20))  # which the C library maps
        assert heap.allocated_bytes() - before > 70e6
        held.clear()
        places = pool.submit(_take_and_free, 200_000).result()  # so small that the C library keeps each for its like
        assert abs(heap.allocated_bytes() - before) < 5e6 < 100 * len(places)
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", _unknown_device)
    assert heap.can_be_told() and heap.tensor_bytes() > 1e6
    monkeypatch.setattr(heap, "_LIBRARY", object())
    assert (heap.can_be_told(), heap.tensor_bytes()) == (False, 0)


def _take_and_free(chunks: int) -> list[int]:
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    places = [library.malloc(100) for _ in range(chunks)]
    for place in places:
        library.free(place)
    return places  # itself so large that to free it would clear up what is kept


def _unknown_device(_: str) -> None:
    raise ValueError("no such device")


def test_steps_end_where_the_processor_is_far_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 19.0, 21.0])
    monkeypatch.setattr(pace.time, "process_time", lambda: next(times))
    assert list(pace.paced(5)) == [0, 1]
    assert [pace.affordable(20, step_bytes, 100, at_least=4) for step_bytes in (0, 10, 100)] == [20, 10, 4]


def test_d27_steps_are_those_of_keras() -> None:
    """Of Adam and of gradient descent with momentum, at the rates that D27 tells."""
    for optimizer, rule, rate in (
        (keras.optimizers.Adam(1e-3), practice._adam, 1e-3),
        (keras.optimizers.SGD(1e-2, momentum=0.9), practice._momentum, 1e-2),
    ):
        theirs, ours, slots = keras.Variable([1.0, 2.0]), np.array([1.0, 2.0]), [0.0, 0.0]
        for step, gradient in enumerate(([0.3, -2.0], [0.1, 1.0], [-4.0, 1.0])):
            optimizer.apply([tf.constant(gradient)], [theirs])
            ours = ours - rate * np.asarray(rule(tf.constant(gradient), slots, step))
        np.testing.assert_allclose(np.asarray(theirs.value), ours, rtol=1e-5)
    half, small = _variable(tf.zeros([1], tf.float16)), tf.constant([1e-3], tf.float16)  # its square is 0 in float16
    practice._update([half], [small], [[0.0, 0.0]], 0, lambda *of: 1e-3 * practice._adam(*of))
    np.testing.assert_allclose(half.numpy(), [-1e-3], rtol=1e-2)


def test_d27_ends_at_the_first_loss_that_is_no_number(tmp_path: Path) -> None:
    loaded = load(of(_infinite_once_moved(0.0))(tmp_path / "model"))
    losses = practice._losses(loaded, lambda gradient, slots, step: 1e-2 * practice._momentum(gradient, slots, step))
    assert np.isfinite(losses[:-1]).all() and not np.isfinite(losses[-1]) and len(losses) < 20


# What a large model gets less of. Nothing of these depends on a clock.


def test_of_a_large_model_d12_and_d27_look_at_a_sample_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = (lambda folder: save(_with_bias(_biased), folder))(tmp_path / "model")
    with monkeypatch.context() as patch:
        patch.setattr(sample, "_digest", None)  # nor is a small model read for it
        assert "sample" not in D12(load(folder)).sentence + D27(load(folder)).sentence
    monkeypatch.setattr(sample, "_SAMPLE_BYTES", 48)  # 'w' has 48 bytes, 'bias' 12
    for digest, name in ((lambda v: v.name, "bias:0"), (lambda v: -ord(v.name[0]), "w:0")):
        with monkeypatch.context() as patch:
            patch.setattr(sample, "_digest", digest)
            assert [v.name for v in sample.sample_of(load(folder)).variables] == [name]
    chosen = [[v.name for v in sample.sample_of(load(folder)).variables] for _ in range(2)]
    assert chosen[0] == chosen[1] and len(chosen[0]) == 1
    seen: list[Any] = []
    monkeypatch.setattr(training, "_same", lambda a, b: bool(seen.append("D12")) or True)
    monkeypatch.setattr(practice, "_update", lambda weights, *_: seen.append(len(weights)))
    for check in (D12, D27):
        assert check(load(folder)).sentence.endswith(", of a sample of 1 of 2 variables.")
    assert seen == ["D12"] + 40 * [2]  # one gradient; one weight and the head, for each rate
    monkeypatch.setattr(sample, "_SAMPLE_BYTES", 4)
    assert [v.name for v in sample.sample_of(load(folder)).variables] == ["bias:0"]  # the smallest, where none fits


def test_a_sample_goes_by_name_and_content(tmp_path: Path) -> None:
    loaded = load(of(plain)(tmp_path / "model"))
    [weights] = loaded.trainable_variables
    before = sample._digest(weights)
    assert sample._digest(weights) == before
    weights.assign_add(tf.ones_like(weights))
    assert sample._digest(weights) != before
    assert sample._digest(_variable(weights, name="another")) != sample._digest(_variable(weights, name="w"))


@pytest.mark.parametrize(
    ("megabytes", "examples", "many", "few", "a_step", "steps"),
    [(0, 5, 33, 5, 32, 20), (20, 5, 33, 3, 3, 17), (60, 4, 12, 1, 2, 8), (500, 2, 3, 1, 2, 4)],
)
def test_examples_and_steps_go_by_what_activations_take(
    megabytes: int, examples: int, many: int, few: int, a_step: int, steps: int, tmp_path: Path
) -> None:
    loaded, drawn = load(of(plain)(tmp_path / "model")), list[int]()
    loaded.__dict__["activation_bytes"] = megabytes << 20
    loaded.__dict__["draw"] = lambda n, seed=0: drawn.append(n) or Loaded.draw(loaded, n, seed)
    assert (loaded.examples, behaviour.many(loaded)) == (examples, many)
    assert f"Batches of 1 and {examples} agree, {many} may come too" in D7(loaded).sentence
    drawn.clear()
    assert D8(loaded).passed is D12(loaded).passed is True
    assert drawn == [examples, examples, few]
    assert f"In {steps} steps the loss" in D27(loaded).sentence
    assert drawn[-2:] == [a_step, a_step]


def test_activations_are_measured_from_what_a_tape_holds(tmp_path: Path) -> None:
    def widened(root: Any, x: Any, training: bool) -> Any:
        return tf.reduce_mean(tf.tanh(tf.tile(x @ root.w, [1, 1 << 18])), axis=1, keepdims=True)

    wide = load(of(widened)(tmp_path / "wide"))
    wide.__dict__["_held_bytes"] = lambda examples: -1  # where others free what they held
    assert wide.activation_bytes == 0
    wide = load(tmp_path / "wide")
    # 3 MiB for each example: what is tiled, and its tanh, of which gradients need the one or both.
    assert 3 << 20 <= wide.activation_bytes <= 7 << 20
    assert load(of(plain)(tmp_path / "model")).activation_bytes < 1 << 16


def test_values_that_stay_are_held_once(tmp_path: Path) -> None:
    """What checks put back takes memory only where a variable changes, and none of them leaves any behind."""
    table = _variable(tf.random.stateless_uniform([1 << 20, 8], [1, 2]), name="table")
    size = table.numpy().nbytes
    loaded = load(_looking_up(table)(tmp_path / "model"))
    del table
    for check in (D7, D8, D12, D27, training.step_lowers_loss, training.gradients_reach):
        assert check(loaded).passed is True, check
    give_back()
    before = heap.allocated_bytes()
    with loaded.unchanged() as values:
        assert heap.allocated_bytes() - before < size // 8
        loaded.captured[0].assign_add(tf.ones_like(loaded.captured[0]))
        assert not np.array_equal(loaded.captured[0].numpy(), values[0].numpy())
    for check in (D7, D8, D12, D27, training.step_lowers_loss, training.gradients_reach):
        check(loaded)
    give_back()
    assert heap.allocated_bytes() - before < size // 8


def _looking_up(table: Any) -> Make:
    """An embedding in which far more is stored than a step touches."""

    def forward(root: Any, x: Any, training: bool) -> Any:
        return tf.gather(root.table, x)

    spec = tf.TensorSpec([None], tf.int32, name="inputs")
    return lambda folder: save(
        model(forward, spec, table=table, variables=[table], trainable_variables=[table], regularization_losses=[]),
        folder,
        spec=spec,
    )


def _biased(root: Any, x: Any, training: bool) -> Any:
    return plain(root, x, training) + root.bias
