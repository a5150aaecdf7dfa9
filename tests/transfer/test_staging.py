import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from piecehub.errors import EnvironmentProblem, NoSpace
from piecehub.facts.content import list_files
from piecehub.transfer import staging
from piecehub.transfer.packing import MappedFields
from piecehub.transfer.spill import spilled
from piecehub.transfer.staging import Staged, bring, folder_for, hand_in, here, of_folder, stage
from piecehub.transfer.tasks import Task, portable
from piecehub.transfer.trials import Trial, TrialResult, TrialStore
from tests.full_disk import full
from tests.s3_server import BUCKET, beam_arguments, client_of, running_s3

TRIAL = Trial("task", "piece", "", "fine_tuning", 5, 5, 0, 0.01, 20, 8, (), 3, (("numpy", "2"),))
RESULT = TrialResult(0.5, np.ones((4, 2), np.float32), False, np.ones(3, np.float32))


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with running_s3() as endpoint:
        yield endpoint


@pytest.fixture
def place(s3: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A place in a bucket, which Beam's file systems of this process can reach."""
    FileSystems.set_options(PipelineOptions(beam_arguments(s3)))
    yield f"s3://{BUCKET}/{request.node.name}"
    FileSystems.set_options(PipelineOptions([]))


@pytest.fixture
def other_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of a machine on which nothing lies yet."""
    folder = tmp_path / "other machine"
    folder.mkdir()
    monkeypatch.setattr(staging.tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a file below another, one that Beam would unpack by its name, and an empty one."""
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph" * 1000)
    (folder / "variables" / "words.gz").write_bytes(b"no archive at all")
    (folder / "variables" / "empty").write_bytes(b"")
    return folder


def _copies(machine: Path) -> list[Path]:
    return [path for path in machine.glob("piecehub-*/*") if path.is_dir() and path.name != "rows"]


def test_a_folder_comes_back_from_a_bucket_as_it_was_and_is_fetched_once(place, model, other_machine, s3) -> None:
    staged = stage(of_folder(model), place)
    before = list_files(model)
    model.rename(model.with_name("gone"))
    with here(staged) as folder:
        assert list_files(folder) == before and folder.is_relative_to(other_machine)
    for entry in before:
        client_of(s3).delete_object(Bucket=BUCKET, Key=f"{staged.uri.partition(BUCKET + '/')[2]}/{entry.path}")
    with here(staged) as again:  # nothing is there any more to fetch
        assert again == folder and list_files(again) == before


def test_what_lies_there_already_is_not_brought_again(place, model, monkeypatch) -> None:
    first = stage(of_folder(model), place)
    monkeypatch.setattr(staging, "_put", lambda *_: pytest.fail("brought again"))
    assert stage(of_folder(model), place) == first


def test_a_folder_that_was_brought_half_is_brought_again(place, model, other_machine, monkeypatch) -> None:
    put = staging._put

    def killed(source: Path, uri: str) -> None:
        if uri.endswith("saved_model.pb"):
            raise KeyboardInterrupt
        put(source, uri)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(staging, "_put", killed)
        stage(of_folder(model), place)
    with here(stage(of_folder(model), place)) as folder:
        assert list_files(folder) == list_files(model)


def test_other_bytes_than_were_staged_are_refused_and_not_kept(place, model, other_machine, s3) -> None:
    staged = stage(of_folder(model), place)
    key = f"{staged.uri.partition(BUCKET + '/')[2]}/saved_model.pb"
    client_of(s3).put_object(Bucket=BUCKET, Key=key, Body=b"graph" * 999 + b"graft")
    with (
        pytest.raises(EnvironmentProblem, match=r"what was staged there\. Received: other bytes; remove"),
        here(staged),
    ):
        pytest.fail("taken")
    assert _copies(other_machine) == []


def test_workers_that_want_a_folder_at_once_fetch_it_once(place, model, other_machine, monkeypatch) -> None:
    staged, fetched, get = stage(of_folder(model), place), list[str](), staging._get

    def slowly(uri: str, target: Path) -> None:
        fetched.append(uri)
        time.sleep(0.1)
        get(uri, target)

    monkeypatch.setattr(staging, "_get", slowly)
    together = threading.Barrier(4)

    def work(_: int) -> Path:
        with here(staged) as folder:
            together.wait(10)  # all use it at the same time
            return folder

    with ThreadPoolExecutor(4) as many:
        assert len(set(many.map(work, range(4)))) == 1
    assert len(fetched) == len(set(fetched)) == 2


def test_a_path_is_read_where_it_is(model, other_machine, tmp_path) -> None:
    with here(Staged(str(model))) as folder:
        assert folder == model
    staged = stage(of_folder(model), str(tmp_path / "shared"))
    with here(staged) as folder:
        assert folder.is_relative_to(tmp_path / "shared") and list_files(folder) == list_files(model)
    assert list(other_machine.iterdir()) == []


def test_a_worker_that_does_not_see_a_path_says_what_to_give(tmp_path) -> None:
    with (
        pytest.raises(EnvironmentProblem, match=r"/gone' on every machine .* give --beam-arg=--temp_location=URI"),
        here(Staged(str(tmp_path / "gone"))),
    ):
        pytest.fail("taken")


def test_what_nobody_used_for_a_day_is_removed_when_another_is_taken(place, model, other_machine) -> None:
    def named(text: str) -> Staged:
        (model / "saved_model.pb").write_text(text)
        return stage(of_folder(model), place)

    def long_ago(folder: Path) -> None:
        day_before = time.time() - 25 * 3600
        os.utime(staging._lock_of(folder), (day_before, day_before))

    with here(named("unused")) as unused:
        pass
    with here(named("used")) as used:
        long_ago(unused)
        long_ago(used)
        with here(named("new")) as new:
            assert not unused.exists() and used.is_dir() and new.is_dir()


@pytest.mark.parametrize("in_bucket", [True, False])
def test_finished_trials_come_back_as_they_were_handed_in(place, tmp_path, other_machine, in_bucket) -> None:
    uri = place if in_bucket else str(tmp_path / "shared")
    own, theirs = tmp_path / "own", tmp_path / "theirs"
    TrialStore(own).write(TRIAL, RESULT)
    bring([TRIAL], uri, theirs)
    assert TrialStore(theirs).read(TRIAL) is None
    hand_in(TRIAL, own, uri)
    bring([TRIAL], uri, theirs)
    assert TrialStore(theirs).path(TRIAL).read_bytes() == TrialStore(own).path(TRIAL).read_bytes()


def test_trials_for_a_path_are_written_there_and_those_for_a_bucket_beside(place, tmp_path, other_machine) -> None:
    with folder_for(str(tmp_path / "shared")) as folder:
        assert folder == tmp_path / "shared"
        TrialStore(folder).write(TRIAL, RESULT)
        hand_in(TRIAL, folder, str(folder))  # nothing to do
    with folder_for(place) as folder:
        assert folder.is_relative_to(other_machine)
    assert not folder.exists()


@pytest.mark.parametrize("uri", ["s3://no-such-bucket/x", "nowhere://bucket/x", "/proc/nobody/x"])
def test_a_place_that_cannot_be_reached_is_told_in_one_sentence(place, model, uri) -> None:
    with pytest.raises(
        EnvironmentProblem, match=rf"'{uri}.*--beam-arg=--temp_location=URI, or what Beam needs"
    ) as told:
        stage(of_folder(model), uri)
    assert "\n" not in str(told.value)


def test_a_worker_whose_disk_is_full_says_so_and_keeps_nothing_half(place, model, other_machine) -> None:
    staged = stage(of_folder(model), place)
    with full(other_machine, room=200), pytest.raises(NoSpace), here(staged):
        pytest.fail("taken")
    assert _copies(other_machine) == []


def _rows(kind: str) -> np.ndarray:
    numbers = np.arange(24, dtype=np.float32).reshape(6, 4)
    if kind == "texts":
        return np.array([b"a", b"bc\0", b"", b"d" * 300, b"e", b"f"], object)
    if kind == "ragged":
        return np.array([row[: 1 + i % 3] for i, row in enumerate(numbers)], object)
    if kind == "fields":
        return np.array([(row, b"w%d" % i) for i, row in enumerate(numbers)], [("x", "f4", 4), ("w", object)])
    return numbers


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("kind", ["numbers", "texts", "ragged", "fields"])
def test_a_task_is_read_by_its_portable_files_wherever_they_are(kind: str, mapped: bool, tmp_path: Path) -> None:
    rows, y = _rows(kind), np.array([0, 1] * 3)
    if mapped:
        (tmp_path / "rows").mkdir()
        columns = {name: rows[name] for name in rows.dtype.names or ()} if kind == "fields" else {"": rows}
        pool, test = (spilled([columns], 6, tmp_path / "rows", name) for name in ("pool", "test"))
        pool, test = (MappedFields(each) if kind == "fields" else each[""] for each in (pool, test))
    else:
        pool = test = rows
    task = Task.from_arrays("t", pool, y, test, y)
    digest, staged = task.digest, list[Staged]()
    for name in ("one", "other"):
        task.write(tmp_path / name)
        staged.append(stage(portable(tmp_path / name), str(tmp_path / "shared")))
    assert staged[0] == staged[1]  # equal tasks are equal files
    for folder in ("rows", "one", "other"):
        if (tmp_path / folder).exists():
            (tmp_path / folder).rename(tmp_path / f"{folder}-gone")
    with here(staged[0]) as folder:
        assert Task.read(folder).digest == digest
