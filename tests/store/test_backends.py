"""What every place of a store must do: one suite over a folder, S3, and the library's memory."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from piecehub.errors import EnvironmentProblem, RecipeError, StoreError
from piecehub.store import probe
from piecehub.store.backend import Backend
from piecehub.store.place import open_backend


@pytest.fixture
def backend(anywhere) -> Backend:
    return anywhere.backend


def _together(count: int, job: Callable[[int], Any]) -> list[Any]:
    results: list[Any] = [None] * count
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        results[number] = job(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def _put(backend: Backend, key: str, data: bytes) -> None:
    with backend.staging() as staging:
        (staging / "file").write_bytes(data)
        backend.put(key, staging / "file")
        assert (staging / "file").read_bytes() == data


def test_a_place_that_is_not_there_is_empty(backend):
    assert backend.read("a/b") is None and backend.stat("a/b") is None and list(backend.list()) == []
    backend.delete("a/b")
    assert backend.move("a/b", "c") is False
    with pytest.raises(StoreError, match="Expected the object 'a/b'"):
        list(backend.stream("a/b"))


def test_a_key_is_created_once(backend):
    assert backend.create("m/a/1", b"first") and not backend.create("m/a/1", b"second")
    assert not backend.create("m/a/1", b"first")
    assert backend.read("m/a/1") == b"first"


def test_of_racing_creators_one_wins_and_its_bytes_stand(backend):
    for round_number in range(5):
        won = _together(16, lambda n, r=round_number: backend.create(f"m/{r}", f"writer {n}".encode()))
        assert sum(won) == 1 and backend.read(f"m/{round_number}") == f"writer {won.index(True)}".encode()


def test_putting_again_replaces(backend):
    for data in (b"one", b"two", b"two", b""):
        _put(backend, "blobs/x", data)
        assert backend.read("blobs/x") == data == b"".join(backend.stream("blobs/x"))
        assert backend.stat("blobs/x").size_bytes == len(data)


def test_folders_are_told_without_what_lies_in_them(backend):
    assert backend.folders("spans") == ()
    for key in ("spans/1/a", "spans/1/b/c", "spans/10/a", "spans/file", "top/x"):
        _put(backend, key, b"x")
    assert backend.folders("spans") == ("1", "10")
    assert {"spans", "top"} <= set(backend.folders())


def test_a_large_file_arrives_in_its_parts(backend):
    data = bytes(range(256)) * 80_000  # 20 MB, three parts
    _put(backend, "blobs/large", data)
    assert b"".join(backend.stream("blobs/large")) == data
    for start, end in [(0, 1), (5, 10), (8_388_600, 8_388_620), (20_479_999, 20_480_000), (7, 7)]:
        assert b"".join(backend.stream("blobs/large", start, end)) == data[start:end]
    assert b"".join(backend.stream("blobs/large", 20_479_990)) == data[-10:]


def test_a_listing_has_what_lies_below_a_folder(backend):
    keys = ["m/a/1/manifest.json", "m/a/b/1/manifest.json", "m/ab/1/manifest.json", "store.json"]
    for key in keys:
        backend.create(key, key.encode())
    assert sorted(e.key for e in backend.list()) == keys
    assert sorted(e.key for e in backend.list("m/a")) == keys[:2] and list(backend.list("nothing")) == []
    assert {e.size_bytes for e in backend.list("m/ab")} == {len(keys[2])}


def test_a_moved_object_has_another_key_and_counts_as_new(backend):
    backend.create("blobs/x", b"bytes")
    before = backend.stat("blobs/x").modified
    assert backend.move("blobs/x", "trash/y/x")
    assert backend.read("blobs/x") is None and backend.read("trash/y/x") == b"bytes"
    assert backend.stat("trash/y/x").modified >= before
    backend.delete("trash/y/x")
    backend.delete("trash/y/x")
    assert list(backend.list()) == []


def test_staging_is_gone_afterwards(backend):
    with backend.staging() as staging:
        (staging / "half").write_bytes(b"half")
    assert not staging.exists() and list(backend.list()) == []


def test_the_probe_finds_it_trustworthy_and_leaves_nothing(backend):
    assert probe.ask(backend) == probe.Probed(True, True, True)
    assert list(backend.list()) == []


class _Overwriting:
    """A backend that takes every creation, as servers do that ignore If-None-Match."""

    def __init__(self, inner: Backend, tells: bool) -> None:
        self.inner = inner
        self.tells = tells

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def create(self, key: str, data: bytes) -> bool:
        _put(self.inner, key, data)
        return self.tells


@pytest.mark.parametrize("tells", [True, False])
def test_the_probe_refuses_what_overwrites(tells, backend):
    overwriting = _Overwriting(backend, tells)
    found = probe.ask(overwriting)
    assert not found.keeps_first and not found.trustworthy
    with pytest.raises(EnvironmentProblem, match=r"which overwrote an object .* use one that honours If-None-Match"):
        probe.check(overwriting, found)


@pytest.mark.parametrize("place", ["ftp://host/store", "s3://", "http://host/bucket"])
def test_an_unknown_kind_of_place_is_refused(place):
    with pytest.raises(RecipeError, match="Expected a folder, or a uri"):
        open_backend(place)
