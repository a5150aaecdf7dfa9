"""Mapped rows: the same as rows in memory, in the form in which they came, and gone when nobody needs them."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from piecehub.errors import DataError, EnvironmentProblem
from piecehub.transfer.packing import Joined, MappedPlain, Picked
from piecehub.transfer.ragged import objects
from piecehub.transfer.spill import rows_folder, spilled
from piecehub.transfer.tasks import Task, task_from_features

ROOT = Path(__file__).resolve().parents[2]
RANDOM = np.random.default_rng(0)
SPLIT = {
    "image": RANDOM.integers(0, 255, (7, 4, 3), np.uint8),
    "one": RANDOM.normal(size=7),
    "words": objects([b"a", b"", b"some\0", b"b" * 90, b"\0", b"c", b"d\0\0"]),
    "pairs": np.array([[b"a", b"bb"]] * 6 + [[b"", b"\0"]], object),
    "tokens": objects([np.arange(n) for n in (2, 0, 1, 3, 0, 0, 4)]),
    "nested": objects([objects([np.array([b"x", b"y\0"], object)] * n) for n in (1, 0, 2, 1, 1, 0, 3)]),
    "flag": np.arange(7) % 2 == 0,
    "label": np.arange(7) % 2,
}


def in_batches(split, size=3):
    return ({key: values[i : i + size] for key, values in split.items()} for i in range(0, 7, size))


def same(one, other):
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


@pytest.fixture
def mapped(tmp_path):
    with rows_folder(tmp_path) as folder:
        yield spilled(in_batches(SPLIT), 7, folder, "pool")


@pytest.mark.parametrize("key", SPLIT)
def test_rows_come_back_as_they_were_whichever_are_picked(mapped, key):
    rows, expected = mapped[key], SPLIT[key]
    assert len(rows) == 7 and rows.shape == expected.shape
    assert rows.dtype == expected.dtype
    for places in (slice(None), slice(2, 5), np.array([6, 0, 3]), np.array([1]), slice(3, 3)):
        assert same(rows[places], expected[places])
    picked = Picked(rows, np.array([5, 2, 0]))
    assert len(picked) == 3 and same(picked[1:], expected[[2, 0]])


def test_bytes_stay_bytes_and_are_read_from_the_file(mapped):
    image = mapped["image"]
    assert isinstance(image, MappedPlain) and image.dtype == np.uint8
    first = image[:2]
    while first.base is not None and not isinstance(first, np.memmap):
        first = first.base
    assert isinstance(first, np.memmap)


@pytest.mark.parametrize(
    "inputs", [["image"], ["words"], ["tokens"], ["nested"], ["image", "words"], ["pairs", "tokens", "one", "flag"]]
)
def test_the_digest_is_that_of_the_same_rows_in_memory(mapped, inputs, tmp_path):
    mapped_task, held = (task_from_features("t", "label", split, split, inputs) for split in (mapped, SPLIT))
    assert mapped_task.digest == held.digest
    for number, task in enumerate((mapped_task, held)):
        task.write(tmp_path / f"task-{number}")
        read = Task.read(tmp_path / f"task-{number}")
        assert read.digest == held.digest and read.pool_y.tolist() == held.pool_y.tolist()
        for name in inputs:
            assert same(read.pool_x[np.array([4, 1])][name], SPLIT[name][[4, 1]])


def test_a_task_of_mapped_rows_is_written_without_them(mapped, tmp_path):
    task_from_features("t", "label", mapped, mapped, ["image"]).write(tmp_path / "task")
    assert {path.name for path in (tmp_path / "task").iterdir()} == {"task.json", "pool_y.npy", "test_y.npy"}


def test_rows_that_are_joined_are_those_of_one_and_then_of_the_other(mapped):
    both = Joined(mapped["image"], SPLIT["image"][:2])
    whole = np.concatenate([SPLIT["image"], SPLIT["image"][:2]])
    for places in (slice(None), slice(5, 8), np.array([8, 0, 7, 3])):
        assert np.array_equal(both[places], whole[places])


def test_the_folder_is_gone_at_the_end_whatever_happened(tmp_path):
    with pytest.raises(KeyError), rows_folder(tmp_path) as folder:
        spilled(in_batches(SPLIT), 7, folder, "pool")
        raise KeyError
    assert list((tmp_path / "rows").iterdir()) == []


def test_what_a_killed_evaluation_left_is_removed_by_the_next_one_and_nothing_else(tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom piecehub.transfer.spill import rows_folder\n"
        "with rows_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'pool.0.npy').write_bytes(b'rows')\n    print(folder, flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    left = Path(process.stdout.readline().strip())
    with rows_folder(tmp_path) as own:
        assert left.is_dir()  # it lives
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (left / "pool.0.npy").is_file()
        with rows_folder(tmp_path) as next_one:
            assert not left.exists() and own.is_dir() and next_one != own
    assert list((tmp_path / "rows").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "rows").write_text("in the way")
    with (
        pytest.raises(EnvironmentProblem, match=r"Expected a folder .* Received: .*another working folder"),
        rows_folder(tmp_path),
    ):
        pass


def test_batches_of_several_forms_are_refused(tmp_path):
    with rows_folder(tmp_path) as folder:
        with pytest.raises(DataError, match="one form of a feature"):
            spilled([{"x": np.zeros((2, 3))}, {"x": np.zeros((2, 4))}], 4, folder, "pool")
        with pytest.raises(DataError, match="as many examples as were counted"):
            spilled([{"x": np.zeros((2, 3))}], 4, folder, "test")
        with pytest.raises(DataError, match="none"):
            spilled([], 4, folder, "none")
