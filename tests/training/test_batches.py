"""Which batches an epoch has: each pass once, any number of steps, gone on with at any step."""

from typing import Any

import numpy as np
import pytest

from piecehub.training.batches import Batches, in_order
from tests.streams import make_stream


@pytest.fixture(scope="module")
def batches_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Ten examples in batches of four, so three a pass, whatever number of steps an epoch has."""
    stream = make_stream(tmp_path_factory.mktemp("ten"), {"n": np.arange(10)})
    return lambda steps=None: Batches(stream, lambda batch: (batch["n"],), 4, seed=3, steps_per_epoch=steps)


def _rows(dataset: Any) -> list[list[int]]:
    return [batch.numpy().tolist() for (batch,) in dataset]


def test_an_epoch_is_a_pass_over_all_examples_in_an_order_of_its_own(batches_of: Any) -> None:
    epochs = [_rows(batches_of().epoch(number)) for number in (0, 1)]
    assert [[len(batch) for batch in epoch] for epoch in epochs] == [[4, 4, 2]] * 2
    assert all(sorted(n for batch in epoch for n in batch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7])
def test_epochs_of_any_number_of_steps_cut_one_sequence_of_passes(batches_of: Any, steps: int) -> None:
    endless = [batch for number in range(6) for batch in _rows(batches_of().epoch(number))]
    for epoch in range(2):
        assert _rows(batches_of(steps).epoch(epoch)) == endless[epoch * steps : (epoch + 1) * steps]


@pytest.mark.parametrize("steps", [None, 2, 5])
def test_an_epoch_goes_on_at_any_step_and_tells_how_many_are_left(batches_of: Any, steps: int | None) -> None:
    batches = batches_of(steps)
    for epoch in range(2):
        whole = _rows(batches.epoch(epoch))
        assert len(whole) == batches.steps
        for skipped in range(batches.steps):
            left = batches.epoch(epoch, skipped)
            assert int(left.cardinality()) == batches.steps - skipped
            assert _rows(left) == whole[skipped:]


def test_a_split_in_order_is_told_with_its_number_of_batches(batches_of: Any) -> None:
    found = in_order(batches_of().stream, batches_of().pair, 4)
    assert int(found.cardinality()) == 3 == len(_rows(found))
