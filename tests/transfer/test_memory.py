"""What trials take of memory does not grow with the examples that they are scored on."""

from pathlib import Path

import pytest

from benchmarks.bench_size_evaluation import network
from benchmarks.size_pictures import export_small_piece, measure


def _growth_mb(folder: Path, few: int, many: int, side: int) -> float:
    """How much more anonymous memory the parent and two workers take together for many pictures than for few."""
    export_small_piece(folder, side)
    one, other = (measure(folder, folder / f"trials-{count}", count, side) for count in (few, many))
    assert one.trials == other.trials == 12
    assert not [*folder.glob("trials-*/rows/*")]
    return other.peak_mb - one.peak_mb


def test_wall_11_test_pictures_are_in_the_memory_of_no_process(tmp_path):
    # Held once a process, as bytes, these 8,000 more pictures would take 295 MB, and as features of raw input 1,200 MB;
    # what a start of three processes peaks at differs by up to 80 MB from one to the next.
    assert _growth_mb(tmp_path, 1_000, 9_000, 64) < 150


@pytest.mark.long
def test_wall_11_ten_thousand_pictures_take_what_a_thousand_take(tmp_path):
    assert _growth_mb(tmp_path, 1_000, 10_000, 224) < 50


@pytest.mark.long
def test_wall_8_a_worker_takes_what_a_training_of_a_real_network_takes_in_plain_keras():
    (ours, keras), _ = network()
    assert ours["peak_mb"] <= 1.2 * keras["peak_mb"]
