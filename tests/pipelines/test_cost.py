"""`piecehub run --dry-run`: it tells all parts of a run, and leaves nothing behind, however it ends."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from piecehub.errors import DataError, StoreError
from piecehub.examples.records import write_records
from piecehub.facts import runs
from piecehub.facts.content import content_digest, list_files
from piecehub.facts.handle import Handle
from piecehub.facts.plan import Took
from piecehub.facts.workdir import Workdir
from piecehub.store.catalog import Store
from piecehub.store.curate import quarantine
from piecehub.store.publish import publish
from pipelines.cost.arithmetic import PARTS
from pipelines.cost.earlier import taken
from pipelines.cost.processes import end_all, looked_at
from pipelines.cost.sample import take_sample
from pipelines.recipe.loader import load_recipe
from tests.command_line import ROOT, piecehub

RECIPE = Path(__file__).with_name("kinds_recipe")


def _state(folder: Path) -> tuple[str, list[tuple[str, int]]]:
    """All that lies in a folder, and when each of it was changed last."""
    paths = sorted([folder, *folder.rglob("*")])
    return content_digest(list_files(folder)), [(str(path), path.lstat().st_mtime_ns) for path in paths]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder for temporary files of a command."""
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


@pytest.mark.timeout(1200)
def test_a_dry_run_tells_each_part_of_a_run_and_leaves_every_folder_as_it_was(tmp_path: Path, temporary: Path) -> None:
    pytest.importorskip("tfx")
    workdir = tmp_path / "work"
    (workdir / "trials").mkdir(parents=True)
    (workdir / "trials" / "note.txt").write_text("of an earlier run")
    before = _state(workdir), _state(RECIPE)
    done = piecehub(
        "run", str(RECIPE), "--dry-run", "--workdir", str(workdir), "--set", "train.fit=own_fit", TMPDIR=str(temporary)
    )
    assert done.returncode == 0, done.stderr
    assert (_state(workdir), _state(RECIPE)) == before and not list(temporary.iterdir())
    plan, _, cost = done.stdout.partition("\n\nkinds")
    assert "so all of it is new" in plan and plan.splitlines()[-1].startswith("Plan: ")
    first, now, _, header, *lines = cost.splitlines()
    assert now.startswith("a run now: ") and "cache" not in now
    assert re.search(r": [\d.]+ CPU-(seconds|hours), .* of memory, .* of disk$", first)
    assert header.split() == ["part", "CPU", "time", "memory", "disk", "taken", "from"]
    rows = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert list(rows) == list(PARTS)
    assert all("timed: " in row for row in rows.values())
    assert lines[-1].startswith("Nothing was trained to its end, published or recorded")


def test_a_dry_run_that_a_person_stops_leaves_neither_files_nor_processes(tmp_path: Path, temporary: Path) -> None:
    pytest.importorskip("tfx")
    workdir = tmp_path / "work"
    command = [sys.executable, "-P", "-m", "piecehub.cli", "run", str(RECIPE), "--dry-run", "--workdir", str(workdir)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(lambda: any(temporary.glob("piecehub-dry-run-*/data")))  # what it writes first of all
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        end_all(process.pid)
    assert process.returncode == 1 and not said
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert not list(temporary.iterdir()) and not workdir.exists()


def _wait_for(happened: object) -> None:
    latest = time.monotonic() + 300
    while not happened():  # pyright: ignore[reportCallIssue]
        assert time.monotonic() < latest
        time.sleep(0.2)


def test_what_is_wrong_with_the_recipe_is_one_sentence_and_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    pytest.importorskip("tfx")
    words = ("run", str(RECIPE), "--dry-run", "--workdir", str(tmp_path / "work"), "--set", "piece.layer=nowhere")
    done = piecehub(*words, TMPDIR=str(temporary))
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("piecehub: Expected")
    assert "nowhere" in done.stderr and not done.stdout
    assert not list(temporary.iterdir()) and not (tmp_path / "work").exists()


def test_a_dry_run_asks_the_store_that_the_run_would_publish_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tfx")
    from pipelines.cost import dry_run, rehearsal

    monkeypatch.setattr(dry_run, "run_fresh", lambda _, arguments, run: rehearsal.rehearse(**arguments))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"graph")
    own, other = Workdir(tmp_path / "work"), Workdir(tmp_path / "work", str(tmp_path / "other"))
    publish(Store.create(other.store_place), tmp_path / "model", "acme", "parent", blobs={}, facts={})
    quarantine(Store.open(other.store_place), Handle("acme", "parent", 1), by="anna", why="It runs code of others.")
    settings = ["model.parent=acme/parent/1"]
    with pytest.raises(StoreError, match=r"quarantined on .*: It runs code of others\."):
        dry_run.rehearsed(load_recipe(str(RECIPE), settings), settings, other)
    with pytest.raises(StoreError, match=r"'acme/parent/1', which does not stand in '.*/work/store'"):
        dry_run.rehearsed(load_recipe(str(RECIPE), settings), settings, own)
    assert not own.root.exists()


@pytest.mark.long
def test_a_task_that_would_stop_the_run_for_what_it_has_in_common_stops_the_dry_run(tmp_path: Path) -> None:
    pytest.importorskip("tfx")
    recipe = shutil.copytree(RECIPE, tmp_path / "recipe")
    writer = (recipe / "data.py").read_text("utf-8")
    again = writer.replace(
        "for split in splits:\n", "for split in splits:\n            rng = np.random.default_rng(0)\n"
    )
    assert again.count("default_rng(0)") == 2  # pool and test are the same
    (recipe / "data.py").write_text(again, "utf-8")
    words, refused = ["--set", "evaluation.max_leakage=0.0"], r"Expected at most 0\.00% of the test .*?max_leakage\."
    told = []
    for more in ([], ["--dry-run"]):
        done = piecehub("run", str(recipe), "--workdir", str(tmp_path / "work"), *words, *more)
        assert done.returncode == 1
        told.append(re.findall(refused, done.stderr))
    assert told[0] and told[0] == told[1]


def _rows(count: int) -> list[dict[str, list[int]]]:
    return [{"value": [1000 + number] * 40} for number in range(count)]


def test_a_sample_is_a_part_of_each_file_and_says_what_part_it_is(tmp_path: Path) -> None:
    write_records(tmp_path / "all", _rows(400), shards=4)
    whole = take_sample(tmp_path / "all", tmp_path / "whole")
    assert (whole.records, whole.share) == (400, 1.0)
    half = take_sample(tmp_path / "all", tmp_path / "half", most_records=200)
    assert half.records == 200 and half.share == pytest.approx(0.5) and half.all_records == 400
    small = take_sample(tmp_path / "all", tmp_path / "small", most_bytes=2000)
    assert sum(file.stat().st_size for file in (tmp_path / "small").iterdir()) < 2200
    assert small.all_records == pytest.approx(400, rel=0.05)


def test_a_damaged_record_is_named_by_its_own_file(tmp_path: Path) -> None:
    write_records(tmp_path / "all", _rows(10), shards=1)
    (file,) = (tmp_path / "all").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(DataError, match="part-00000-of-00001"):
        take_sample(tmp_path / "all", tmp_path / "sample")


def test_memory_is_that_of_all_processes_and_a_workers_own_is_known() -> None:
    worker = "import time; own = b'x' * (64 << 20); time.sleep(60)"
    first = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {worker!r}]); time.sleep(60)"
    root = "import subprocess, sys, time; own = b'y' * (32 << 20); "
    root += f"subprocess.Popen([sys.executable, '-c', {first!r}]); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", root])
    try:
        with looked_at(process.pid) as looks:
            _wait_for(lambda: looks and looks[-1].own_bytes > 64 << 20)
    finally:
        end_all(process.pid)
        process.wait()
    assert 96 << 20 < looks[-1].dirty_bytes < 160 << 20 and looks[-1].own_bytes < 96 << 20
    assert looks.within(looks[0].at, looks[0].at) == looks[:1] and looks.within(1e18, 2e18) == looks[-1:]


def test_an_earlier_run_counts_where_it_was_told_the_same_and_computed_it(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    told = {"FullModelTrainer": {"train": "a"}, "PieceExtractor": {"seed": 1}, "ReusabilityValidator": {"name": "n"}}
    upstream = {"ReusabilityValidator": ("PieceExtractor",), "PieceExtractor": ("FullModelTrainer",)}
    for run, arguments in (("1", told), ("2", told | {"PieceExtractor": {"seed": 2}})):
        nodes = tuple(runs.Node(node, upstream.get(node, ()), value) for node, value in arguments.items())
        runs.write_run(workdir, runs.Run(run, "p", "r", runs.now(), 1, nodes))
    events = [("1", "FullModelTrainer", "done", 5.0), ("1", "PieceExtractor", "done", 6.0)]
    events += [
        ("1", "ReusabilityValidator", "done", 8.0),
        ("2", "ReusabilityValidator", "done", 9.0),
    ]
    events += [("2", "FullModelTrainer", "cached", 0.1), ("2", "PieceExtractor", "done", 7.0)]
    for run, node, state, seconds in events:
        runs.append_event(
            workdir, run, runs.Event(runs.now(), node, state, cpu_s=seconds, memory_bytes=9, disk_bytes=4)
        )
    found = {"FullModelTrainer": 5.0, "PieceExtractor": 6.0, "ReusabilityValidator": 8.0}
    assert taken(workdir, told) == {node: Took("1", seconds, 9, 4) for node, seconds in found.items()}
    assert taken(workdir, told | {"FullModelTrainer": {"train": "b"}}) == {}
    assert taken(Workdir(tmp_path / "none"), told) == {}
