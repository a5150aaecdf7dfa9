"""What a pod keeps in a bucket: the next one, with an empty disk, finds it whole or not at all."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from piecehub.containers import failures
from piecehub.errors import EnvironmentProblem
from piecehub.facts.content import list_files
from piecehub.facts.kept import keeper
from piecehub.store import layout
from piecehub.store.backend import Backend
from piecehub.store.catalog import Store
from piecehub.store.fsck import check_store
from piecehub.store.keeping import InBucket, kept_here
from piecehub.store.place import open_backend
from tests.s3_server import BUCKET, told_to


@pytest.fixture
def place(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A place in a bucket that the library's variables lead to."""
    for name, value in told_to(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    yield open_backend(f"s3://{BUCKET}/{request.node.name}")


def _written(folder: Path, **files: bytes) -> Path:
    for name, data in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def _pod(place: Backend, disk: Path) -> InBucket:
    disk.mkdir()
    return InBucket({disk: place})


def test_a_new_pod_finds_files_and_folders_as_they_were_last_kept(place: Backend, tmp_path: Path) -> None:
    first = _pod(place, tmp_path / "first")
    folder = _written(tmp_path / "first" / "training", checkpoint=b"one", own__done=b"", own__more=b"1")
    first.keep(folder)
    _written(folder, checkpoint=b"two" * 1000)
    (folder / "own" / "more").unlink()
    first.keep(folder)
    _written(tmp_path / "first", ab__trial=b"result")
    first.keep(tmp_path / "first" / "ab" / "trial")

    second = _pod(place, tmp_path / "second")
    things = [tmp_path / "second" / name for name in ("training", "ab/trial", "ab/other")]
    second.bring(things)
    assert list_files(things[0]) == list_files(folder)
    assert things[1].read_bytes() == b"result"
    assert not things[2].exists()
    assert {path.name for path in (tmp_path / "second").iterdir()} == {"training", "ab"}, "nothing half-written is left"
    data = [entry.key for entry in place.list("training") if not entry.key.endswith("whole.json")]
    assert len(data) == 2, "what a later checkpoint replaced is gone"

    second.drop(things[0])
    third = _pod(place, tmp_path / "third")
    third.bring([tmp_path / "third" / "training"])
    assert list((tmp_path / "third").iterdir()) == []
    assert list(place.list("training")) == []


def test_what_is_not_whole_is_none(place: Backend, tmp_path: Path) -> None:
    first = _pod(place, tmp_path / "first")
    first.keep(_written(tmp_path / "first" / "kept", checkpoint=b"numbers"))
    listed, (data,) = place.read("kept/whole.json"), [e.key for e in place.list("kept") if "whole" not in e.key]
    assert listed
    told = json.loads(listed)
    outside = {**told, "files": [["../outside", *told["files"][0][1:]]]}

    def put(key: str, content: bytes) -> None:
        (tmp_path / "draft").write_bytes(content)
        place.put(key, tmp_path / "draft")

    def found(case: str) -> bool:
        pod = _pod(place, tmp_path / case)
        pod.bring([tmp_path / case / "kept"])
        assert not (tmp_path / "outside").exists() and not (tmp_path / case / "outside").exists()
        return (tmp_path / case / "kept").exists()

    assert found("as it was kept")
    for case, key, content in [
        ("data were cut short", data, b"numb"),
        ("data are others", data, b"NUMBERS"),
        ("data are more", data, b"numbers" * 1000),
        ("the list was cut short", "kept/whole.json", listed[:-5]),
        ("the list is another", "kept/whole.json", listed.replace(b"checkpoint", b"checkpoinT")),
        ("the list leads outside", "kept/whole.json", json.dumps(outside).encode()),
        ("the list is of another form", "kept/whole.json", b"[1]"),
    ]:
        before = place.read(key)
        assert before
        put(key, content)
        assert not found(case), case
        put(key, before)
    place.delete("kept/whole.json")
    assert not found("the list was never written")
    put("kept/whole.json", listed)
    place.delete(data)
    assert not found("data are gone")


def test_while_work_is_kept_folders_here_stand_for_uris(place: Backend, tmp_path: Path) -> None:
    uri = f"{place.uri}/trials"
    with kept_here([uri, str(tmp_path)]) as folders:
        assert folders[str(tmp_path)] == str(tmp_path)
        here = Path(folders[uri])
        _written(here, ab__trial=b"result")
        keeper().keep(here / "ab" / "trial")
        _written(tmp_path, ab__trial=b"result")
        keeper().keep(tmp_path / "ab" / "trial")
    assert not here.exists()
    assert {entry.key.partition("/")[0] for entry in place.list()} == {"trials"}
    keeper().keep(here / "ab" / "trial")  # nobody is asked any more


def test_trials_in_the_store_are_none_of_its_objects(place: Backend) -> None:
    store = Store.create(place.uri)
    before = check_store(store)
    store.backend.create(f"{layout.WORK}/trials/ab/x", b"result")
    assert check_store(store) == before


def test_a_failure_is_marked_in_a_bucket_too(place: Backend) -> None:
    failures.leave(place.uri, "/s3/b/run/Task/1/output_metadata.json", "Expected größer. Received.")
    assert failures.known(place.uri, "/s3/b/run/Task/1/output_metadata.json") == "Expected größer. Received."
    assert failures.known(place.uri, "/s3/b/run/Task/2/output_metadata.json") == ""


def test_a_missing_bucket_is_told_before_anything_is_done(place: Backend) -> None:
    with pytest.raises(EnvironmentProblem, match="Expected to reach 's3://gone/work'"):
        failures.known("s3://gone/work", "x")
    failures.leave("s3://gone/work", "x", "Expected. Received.")  # nowhere to be marked: it is only tried again


def test_minio_is_s3_of_the_server_that_is_named(place: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = place.uri.replace("s3://", "minio://")
    open_backend(uri).create("key", b"one")
    assert (place.read("key"), open_backend(uri).uri) == (b"one", uri)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with pytest.raises(EnvironmentProblem, match=r"in AWS_ENDPOINT_URL\. Received: none"):
        open_backend(uri)
