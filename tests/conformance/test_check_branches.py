"""D7, D8, D12, D26 and D27: each branch of the rule has a model for which it alone decides."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from piecehub.conformance import behaviour, heap, memory, practice, sample, training
from piecehub.conformance.loaded import Loaded, load
from piecehub.conformance.verdict import Verdict
from piecehub.facts.heap import give_back
from tests.conformance.broken_models import BROKEN, ROWS, Make, _with_bias, changed, model, of, plain, save
from tests.transfer.faulty_pieces import FAULTY

Check = Callable[[Loaded], Verdict]
D7, D8, D12 = behaviour.examples_independent, behaviour.inference_pure, training.differentiates_again
D26, D27 = memory.stays_level, practice.trains_at_common_rates
_variable: Any = tf.Variable
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


# --- D8 ---------------------------------------------------------------------------------------------------------------


def _another_at_the_fifth_call(root: Any, x: Any, training: bool) -> Any:
    root.seed.assign_add(1)
    return plain(root, x, training) + tf.cast(root.seed >= 5, tf.float32)


def _counts(root: Any, x: Any, training: bool) -> Any:
    root.seed.assign_add(1)
    return plain(root, x, training)


# --- D12 --------------------------------------------------------------------------------------------------------------


class _WithGradientsByChance(Loaded):
    """A piece whose gradients are others each time; no operation that a SavedModel may hold is known to do it."""

    def train(self, inputs: Any) -> Any:
        @tf.custom_gradient
        def passed_on(outputs: Any) -> Any:
            return outputs, lambda upstream: upstream * tf.random.uniform([], 1.0, 2.0)

        return passed_on(super().train(inputs))


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
    root.seen.assign(x)
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


def _out_of_sight(entries: int, modes: tuple[bool, ...] = (False, True)) -> Make:
    """A table that no attribute holds gets so many entries at each call in those modes."""
    raw: Any = tf.raw_ops

    def forward(root: Any, x: Any, training: bool) -> Any:
        if training not in modes:
            return plain(root, x, training)
        table = raw.MutableHashTableOfTensorsV2(
            key_dtype=tf.int32, value_dtype=tf.float32, value_shape=[256], shared_name=f"kept {entries} {modes}"
        )
        last = root.seed.assign_add(entries)
        raw.LookupTableInsertV2(table_handle=table, keys=tf.range(last - entries, last), values=tf.ones([entries, 256]))
        return plain(root, x, training)

    return of(forward)


def _of_integers(root: Any, x: Any, training: bool) -> Any:
    return tf.cast(plain(root, x, training), tf.int32)


def _without_weights(forward: Any) -> Make:
    return lambda folder: save(model(forward, trainable_variables=[]), folder)


# --- D27 --------------------------------------------------------------------------------------------------------------


def _infinite_once_moved(by: float) -> Any:
    def forward(root: Any, x: Any, training: bool) -> Any:
        moved = tf.reduce_max(tf.abs(root.w - _W)) > by
        return 3.0 * plain(root, x, training) + tf.where(moved, np.inf, 0.0)

    return forward


def _penalty_once_moved(root: Any) -> None:
    penalty = tf.function(lambda: 1e6 * tf.reduce_max(tf.abs(root.w - _W)), input_signature=[])
    root.regularization_losses = [penalty]


def _of_other_rows(root: Any, x: Any, training: bool) -> Any:
    y = plain(root, x, training)
    return {"a": y, "b": tf.concat([y, y], axis=0)}


FALLS_SHORT: dict[str, tuple[Check, Make, str]] = {
    "D7 no batch at all": (D7, of(lambda root, x, training: x * root.w, tf.TensorSpec([], tf.float32)), r"shape \(\)"),
    "D7 a fixed batch": (D7, _broken("fixed batch"), r"shape \(8, 4\)"),
    "D7 one is refused": (D7, _refuses(None, lambda n: n == 1), "for 1 in inference"),
    "D7 many are refused": (D7, _refuses(None, lambda n: n > 32), "for 33 in inference"),
    "D7 one is refused in training": (D7, _refuses(True, lambda n: n == 1), "for 1 in training"),
    "D7 many are refused in training": (D7, _refuses(True, lambda n: n > 32), "for 33 in training"),
    "D7 other rows": (D7, _broken("no row for each example"), "5 rows for 5 examples"),
    "D7 no rows": (D7, of(_sum_of_all), "5 rows for 5 examples"),
    "D7 another alone": (D7, of(_another_alone), "another alone"),
    "D7 another among others": (D7, of(_another_among_others), "another among other examples"),
    "D7 numbers behind the row": (D7, of(_as_wide_as_the_batch), "another alone"),
    "D7 another rank": (D7, of(_another_rank_alone), "another alone"),
    "D8 a variable moves": (D8, _broken("impure inference"), "changes of 'state'"),
    "D8 chance": (D8, _broken("random inference"), "others at call 2"),
    "D8 others between": (D8, _broken("inference that other inputs change"), "others at call 2"),
    "D8 the last call": (D8, of(_another_at_the_fifth_call), "others at call 4"),
    "D12 twice from a tape": (D12, _broken("variables inside a loop"), "in a persistent tape|in a tf.function"),
    "D26 a variable": (D26, _broken("a variable that grows"), "the bytes of 'seen'"),
    "D26 a table": (D26, _with_table(_new_keys), "the entries of table"),
    "D26 the heap in training": (D26, _out_of_sight(40, (True,)), "a heap that grows"),
    "D26 the heap at inference": (D26, _out_of_sight(40, (False,)), "a heap that grows"),
    "D27 no number with Adam": (D27, of(_infinite_once_moved(0.0)), "to inf with Adam at 0.001"),
    "D27 far up with Adam": (D27, _broken("outputs of thousands"), r"to \d.* with Adam at 0.001"),
    "D27 the penalty": (D27, changed(_penalty_once_moved), "with Adam at 0.001"),
    "D27 no number with momentum": (D27, _faulty("features times a thousand"), "after .? steps of gradient descent"),
}
HOLDS: dict[str, tuple[Check, Make, str]] = {
    "D7 training that takes nothing at all": (D7, _refuses(True, lambda n: n > 0), "Batches of 1 and 5 agree, 33 may"),
    "D7 zeros behind the row": (D7, of(_ragged), "examples do not touch each other"),
    "D7 no training": (D7, lambda folder: save(model(plain, traces=(False,)), folder), "33 may come too"),
    "D8 integer state": (D8, of(_counts), "only integer state"),
    "D8 nothing": (D8, of(plain), "no variable changed"),
    "D12 no gradient at all": (D12, _broken("stopped for one of two"), "inside of a tf.function.$"),
    "D26 what is filled once": (D26, _with_seen(_keeps_the_last), "After 46 steps no variable, table or heap"),
    "D26 a table that is full": (D26, _with_table(_same_keys), "table or heap"),
    "D26 less than 64 KiB in 10 steps": (D26, _out_of_sight(1), "table or heap"),
    "D26 nothing to differentiate": (D26, _without_weights(_of_integers), "table or heap"),
    "D27 a weight that nothing reaches": (D27, _broken("stopped for one of two"), "In 20 steps"),
    "D27 outputs of other rows": (D27, of(_of_other_rows), "In 20 steps"),
}
NOT_MADE: dict[str, tuple[Check, Make, str]] = {
    "D12 nothing to train": (D12, _broken("no trainable variable"), "No variable"),
    "D27 nothing to train": (D27, _broken("no trainable variable"), "No variable"),
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
    loaded = load(of(plain)(tmp_path / "model"))
    verdict = D12(_WithGradientsByChance(loaded.obj, loaded.graph, loaded.folder))
    assert verdict.passed is False and "Expected the same gradient twice" in verdict.sentence


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


def test_d27_ends_at_the_first_loss_that_is_no_number(tmp_path: Path) -> None:
    loaded = load(of(_infinite_once_moved(0.0))(tmp_path / "model"))
    losses = practice._losses(loaded, lambda gradient, slots, step: 1e-2 * practice._momentum(gradient, slots, step))
    assert np.isfinite(losses[:-1]).all() and not np.isfinite(losses[-1]) and len(losses) < 20


# What a large model gets less of. Nothing of these depends on a clock.


def test_of_a_large_model_d12_and_d27_look_at_a_sample_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = (lambda folder: save(_with_bias(_biased), folder))(tmp_path / "model")
    assert "sample" not in D12(load(folder)).sentence + D27(load(folder)).sentence
    monkeypatch.setattr(sample, "_SAMPLE_BYTES", 48)  # 'w' has 48 bytes, 'bias' 12
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


@pytest.mark.parametrize(("megabytes", "examples", "many"), [(0, 5, 33), (20, 5, 33), (60, 4, 12), (500, 2, 3)])
def test_examples_go_by_what_their_activations_take(megabytes: int, examples: int, many: int, tmp_path: Path) -> None:
    loaded = load(of(plain)(tmp_path / "model"))
    loaded.__dict__["activation_bytes"] = megabytes << 20
    assert (loaded.examples, behaviour.many(loaded)) == (examples, many)
    assert f"Batches of 1 and {examples} agree, {many} may come too" in D7(loaded).sentence
    assert D8(loaded).passed is D12(loaded).passed is D27(loaded).passed is True


def test_activations_are_measured_from_what_a_tape_holds(tmp_path: Path) -> None:
    def widened(root: Any, x: Any, training: bool) -> Any:
        return tf.reduce_mean(tf.tanh(tf.tile(x @ root.w, [1, 1 << 18])), axis=1, keepdims=True)

    wide = load(of(widened)(tmp_path / "wide"))
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
