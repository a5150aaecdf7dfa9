"""D7, D8, D12, D26 and D27: each branch of the rule has a model for which it alone decides (branch_models.py)."""

import ctypes
import gc
import re
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
from piecehub.facts.heap import give_back
from tests.conformance.branch_models import (
    D7,
    D8,
    D12,
    D26,
    D27,
    FALLS_SHORT,
    HOLDS,
    NOT_MADE,
    Check,
    WithBackward,
    WithGarbage,
    WithGradientsByChance,
    broken,
    counts,
    infinite_once_moved,
    out_of_sight,
)
from tests.conformance.broken_models import Make, _with_bias, model, of, plain, save

_variable: Any = tf.Variable


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
    loaded = load(broken("stopped for one of two")(tmp_path / "model"))
    verdict = D12(WithGradientsByChance(loaded.obj, loaded.graph, loaded.folder))
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
        findings = {f.check: f for f in dynamic_findings(broken(name)(tmp_path / check))}
        made = {"D1", "D5", "D33"} if check == "D7" else set()
        assert {number for number, f in findings.items() if f.passed} == made
        assert [number for number, f in findings.items() if f.passed is False] == [check]
        assert words in findings[check].sentence
        assert findings["D8"].sentence == f"Could not be made, since {check} fell short."


def test_checks_put_back_what_calls_change(tmp_path: Path) -> None:
    loaded = load(of(counts)(tmp_path / "model"))
    for check in (D8, D12, D26, D27):
        check(loaded)
        assert [int(v.numpy()) for v in loaded.captured if v.dtype.is_integer] == [0], check


def test_d26_without_time_or_means_for_the_heap_looks_at_the_state_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = out_of_sight(41)(tmp_path / "model")
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
    keeps = D26(WithBackward(loaded.obj, loaded.graph, loaded.folder))
    assert keeps.passed is False and "a heap that grows by" in keeps.sentence
    gc.disable()
    try:
        leaves = D26(WithGarbage(loaded.obj, loaded.graph, loaded.folder))
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
    loaded = load(of(infinite_once_moved(0.0))(tmp_path / "model"))
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
