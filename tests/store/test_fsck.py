"""Reading every byte, removing what nobody names, mending from a second copy."""

import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from obstore.store import MemoryStore

from piecehub.errors import RecipeError, StoreError
from piecehub.facts.content import list_files
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import Manifest, is_intact
from piecehub.store import archive, curate, layout
from piecehub.store.catalog import Store, read_manifest
from piecehub.store.cloud import BucketBackend
from piecehub.store.fsck import Kind, check_store
from piecehub.store.gc import collect, unreferenced
from piecehub.store.publish import publish
from piecehub.store.repair import repair

NOW = timedelta(0)


def _put(store: Store, key: str, data: bytes) -> None:
    with store.backend.staging() as staging:
        (staging / "file").write_bytes(data)
        store.backend.put(key, staging / "file")


def _fill(store: Store, make_model) -> None:
    """Two versions and two events."""
    for text in ("a", "b"):
        publish(store, make_model(text), "acme", "tiny", blobs={"documentation.md": f"# {text}".encode()}, facts={})
    curate.yank(store, Handle("acme", "tiny", 1), by="anna", why="old")
    curate.set_alias(store, Handle("acme", "tiny", 2), "champion", by="anna", why="better")


@pytest.fixture
def filled(anywhere, make_model) -> Store:
    _fill(anywhere, make_model)
    return anywhere


def _everything(store: Store) -> dict[str, bytes]:
    """What the store relies on: not its index, of which test_index.py tells."""
    kept = [e.key for e in store.backend.list() if e.key.split("/")[0] not in ("tmp", layout.INDEX)]
    return {key: store.backend.read(key) or b"" for key in kept}


def test_a_whole_store_has_no_findings(filled):
    checked = check_store(filled, grace=NOW)
    everything, of_lists = _everything(filled), list(filled.backend.list(layout.INDEX))
    assert len(everything) == 9 and checked.findings == () and checked.objects == 9 + len(of_lists)
    assert checked.size_bytes == sum(map(len, everything.values())) + sum(e.size_bytes for e in of_lists)


def test_one_flipped_bit_in_any_object_is_named(filled):
    generator = random.Random(7)
    for key, data in _everything(filled).items():
        flipped = bytearray(data)
        flipped[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        _put(filled, key, flipped)
        (found,) = check_store(filled).damage
        assert (found.kind, found.key) == (Kind.DAMAGED, key)
        assert found.digest == (layout.blob_digest(key) or "") and (found.digest != "") == key.startswith("blobs/")
        _put(filled, key, data)
    assert check_store(filled).damage == []


def test_a_truncated_a_lengthened_and_an_emptied_object_are_named(filled):
    for key, data in _everything(filled).items():
        for changed in (data[:-1], data + b"\n", b""):
            _put(filled, key, changed)
            assert {f.key for f in check_store(filled).damage} == {key}
        _put(filled, key, data)


def test_every_object_that_is_gone_is_named(filled):
    for key, data in _everything(filled).items():
        filled.backend.delete(key)
        named = {f.key for f in check_store(filled).damage}
        if layout.manifest_place(key):
            assert named == set()  # nobody can know of a version whose only trace is gone
        elif key.endswith("000002.json"):
            assert named == set()  # the same for the last entry of a log
        else:
            assert named == {key}
        _put(filled, key, data)


def test_no_flipped_bit_of_a_manifest_goes_unseen(store, make_model):
    handle = publish(store, make_model(), "acme", "tiny", blobs={}, facts={"gain": 0.25, "text": "größer"}).handle
    data = store.backend.read(layout.manifest_key(handle))
    assert is_intact(data.decode()) and Manifest.from_json(data) == store.manifest(handle)
    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            with contextlib.suppress(UnicodeDecodeError):
                assert not is_intact(flipped.decode())
            with pytest.raises(StoreError, match="of 'acme/tiny/1' as it was written"):
                read_manifest(bytes(flipped), handle)


def test_manifests_from_before_there_were_seals_are_read(store, make_model):
    handle = publish(store, make_model(), "acme", "tiny", blobs={}, facts={}).handle
    manifest = store.manifest(handle)
    store.manifest_path(handle).write_text(manifest.unsealed_json())
    assert store.manifest(handle) == manifest and check_store(store).damage == []
    assert [f.kind for f in check_store(store).findings] == [Kind.UNSEALED]


def test_what_stands_at_another_place_is_named(filled):
    everything = _everything(filled)
    _put(filled, "m/acme/tiny/7/manifest.json", everything["m/acme/tiny/1/manifest.json"])
    _put(filled, "m/acme/tiny/_events/000004.json", everything["m/acme/tiny/_events/000001.json"])
    assert {(f.kind, f.key) for f in check_store(filled).damage} == {
        (Kind.MISPLACED, "m/acme/tiny/7/manifest.json"),
        (Kind.MISPLACED, "m/acme/tiny/_events/000004.json"),
        (Kind.GAP, "m/acme/tiny/_events/000003.json"),
    }


def test_what_takes_room_is_no_damage(filled):
    digest = layout.blob_key(f"sha256:{'ab' * 32}")
    orphan = layout.blob_key(f"sha256:{hashlib.sha256(b'orphan').hexdigest()}")
    _put(filled, orphan, b"orphan")
    _put(filled, "notes.txt", b"mine")
    _put(filled, "trash/x/y", b"left")
    assert [(f.kind, f.key) for f in check_store(filled).findings] == [(Kind.UNKNOWN, "notes.txt")]
    kinds = {f.key: f.kind for f in check_store(filled, grace=NOW).findings}
    assert kinds[orphan] is Kind.UNREFERENCED and kinds["trash/x/y"] is Kind.LEFTOVER
    assert check_store(filled, grace=NOW).damage == [] and digest not in kinds


def test_gc_removes_what_no_version_names_and_nothing_else(filled, make_model):
    before = _everything(filled)
    _leave_blobs(filled, make_model("c"))
    orphans = _everything(filled).keys() - before.keys()
    assert len(orphans) == 2 and unreferenced(filled) == []
    assert collect(filled).removed == ()  # they may be somebody's work
    assert {e.key for e in unreferenced(filled, grace=NOW)} == orphans
    collected = collect(filled, grace=NOW)
    assert {layout.blob_key(d) for d in collected.removed} == orphans and collected.restored == ()
    assert _everything(filled) == before and check_store(filled, grace=NOW).findings == ()


def _leave_blobs(store: Store, model) -> None:
    """What a publisher leaves that is killed before its manifest."""
    handle = publish(store, model, "acme", "killed", blobs={"a.json": b"[1]"}, facts={}).handle
    store.backend.delete(layout.manifest_key(handle))


class _Hooked:
    """A backend before whose n-th call something else happens."""

    def __init__(self, inner: Any, hook: Any, number: int) -> None:
        self._inner, self._hook, self._left = inner, hook, number

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **more: Any) -> Any:
            self._left -= 1
            if self._left == -1:
                self._hook()
            found = value(*arguments, **more)
            return list(found) if name == "list" else found

        return call

    @property
    def was_reached(self) -> bool:
        return self._left < 0


@pytest.fixture(params=["folder", "memory"])
def fresh(request, tmp_path) -> Callable[[], Store]:
    """Makes one empty store after another."""

    def make() -> Store:
        if request.param == "folder":
            return Store.create(tmp_path / uuid.uuid4().hex)
        memory = MemoryStore()
        return Store(BucketBackend("memory://", memory, memory)).made()

    return make


def _is_whole(store: Store) -> bool:
    for manifest in store.models():
        with store.blob_file(manifest.archive.digest) as path:
            archive.verify(path, manifest.files)
    return check_store(store).damage == []


def test_gc_at_any_moment_of_a_publishing_harms_nothing(fresh, make_model):
    """With no grace at all, before every single call that the publisher makes."""
    reached, took = [True], 0
    while reached[-1]:
        store, collected = fresh(), []
        hooked = _Hooked(store.backend, lambda s=store, c=collected: c.append(collect(s, grace=NOW)), len(reached) - 1)
        published = publish(Store(hooked), make_model(), "acme", "tiny", blobs={"a": b"x"}, facts={})
        assert published.created and _is_whole(store)
        reached.append(hooked.was_reached)
        took += sum(len(c.removed) for c in collected)
    assert len(reached) > 10 and took > 3  # it did take blobs away from under the publisher


def test_a_publishing_at_any_moment_of_gc_harms_nothing(fresh, make_model):
    """The content's blobs stand unreferenced already, so gc and the publisher want the same ones."""
    reached, brought_back = [True], 0
    while reached[-1]:
        store = fresh()
        _leave_blobs(store, make_model())

        def publish_now(store=store) -> None:
            publish(store, make_model(), "acme", "tiny", blobs={"a.json": b"[1]"}, facts={})

        hooked = _Hooked(store.backend, publish_now, len(reached) - 1)
        brought_back += len(collect(Store(hooked), grace=NOW).restored)
        assert _is_whole(store)
        reached.append(hooked.was_reached)
    assert len(reached) > 8 and brought_back > 0


def test_what_a_killed_gc_took_from_a_version_comes_back(fresh, make_model):
    store = fresh()
    handle = publish(store, make_model(), "acme", "tiny", blobs={"a": b"x"}, facts={}).handle
    digest = store.manifest(handle).archive.digest
    key = layout.blob_key(digest)
    for bring_back in (lambda: collect(store).restored == (digest,), lambda: repair(store, []).lost == ()):
        store.backend.move(key, f"trash/killed/{key.rpartition('/')[2]}")
        assert [f.key for f in check_store(store).damage] == [key]
        assert bring_back() and _is_whole(store)


def test_gc_removes_nothing_while_a_manifest_cannot_be_read(filled):
    before = {**_everything(filled), "m/acme/tiny/1/manifest.json": b"{"}
    _put(filled, "m/acme/tiny/1/manifest.json", b"{")
    with pytest.raises(StoreError, match="a damaged one"):
        collect(filled, grace=NOW)
    assert _everything(filled) == before


def test_leftovers_of_the_killed_are_swept_when_they_are_old(store, make_model):
    _fill(store, make_model)
    old = store.root / "tmp" / "killed" / "model.tar.gz"
    old.parent.mkdir()
    old.write_bytes(b"half")
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    assert [f.kind for f in check_store(store).findings] == [Kind.LEFTOVER]
    assert collect(store).leftovers == ("tmp/killed/model.tar.gz",) and check_store(store).findings == ()


def test_everything_is_mended_from_a_second_store(filled, tmp_path, make_model):
    copy = Store.create(tmp_path / "copy")
    for key, data in _everything(filled).items():
        _put(copy, key, data)
    before = _everything(filled)
    for key in before:
        _put(filled, key, b"damaged")
    assert len(check_store(filled).damage) == len(before)
    repaired = repair(filled, [copy.root])
    assert {f.key for f in repaired.mended} == before.keys() and repaired.lost == ()
    assert _everything(filled) == before


def test_archives_are_mended_from_files_of_any_name(filled, tmp_path):
    manifest = filled.newest("acme", "tiny")
    key = layout.blob_key(manifest.archive.digest)
    (tmp_path / "kept" / "deep").mkdir(parents=True)
    (tmp_path / "kept" / "deep" / "download (1).tgz").write_bytes(filled.backend.read(key))
    (tmp_path / "kept" / "other").write_bytes(b"other")
    filled.backend.delete(key)
    _put(filled, "m/acme/tiny/1/manifest.json", b"{")
    repaired = repair(filled, [tmp_path / "kept"])
    assert [f.key for f in repaired.mended] == [key]
    assert [f.key for f in repaired.lost] == ["m/acme/tiny/1/manifest.json"]


def test_a_damaged_copy_mends_nothing(store, make_model, tmp_path):
    _fill(store, make_model)
    shutil.copytree(store.root, tmp_path / "copy")
    key = layout.blob_key(store.newest("acme", "tiny").archive.digest)
    (store.root / key).write_bytes(b"damaged")
    (tmp_path / "copy" / key).write_bytes(b"damaged in another way")
    repaired = repair(store, [tmp_path / "copy"])
    assert repaired.mended == () and [f.key for f in repaired.lost] == [key]
    assert (store.root / key).read_bytes() == b"damaged"  # what nobody can mend stays as it is
    with pytest.raises(RecipeError, match="'nowhere', which is none"):
        repair(store, ["nowhere"])


def test_a_mended_archive_unpacks_to_what_was_published(filled, tmp_path, make_model):
    manifest = filled.newest("acme", "tiny")
    key = layout.blob_key(manifest.archive.digest)
    archive.pack(make_model("b"), tmp_path / "again.tar.gz")  # equal files give equal bytes
    _put(filled, key, b"damaged")
    assert repair(filled, [tmp_path / "again.tar.gz"]).lost == ()
    with filled.blob_file(manifest.archive.digest) as path:
        archive.unpack(path, tmp_path / "back")
    assert tuple(list_files(tmp_path / "back")) == manifest.files


def test_a_manifest_of_another_version_mends_none(store, make_model, tmp_path):
    """A manifest that is whole, and of another place: as a copy whose files somebody renamed."""
    _fill(store, make_model)
    shutil.copytree(store.root, tmp_path / "copy")
    keys = [layout.manifest_key(Handle("acme", "tiny", number)) for number in (1, 2)]
    shutil.copyfile(store.root / keys[1], tmp_path / "copy" / keys[0])
    _put(store, keys[0], b"{")
    repaired = repair(store, [tmp_path / "copy"])
    assert repaired.mended == () and [f.key for f in repaired.lost] == [keys[0]]
    assert store.backend.read(keys[0]) == b"{"


def test_an_event_of_another_number_mends_none(store, make_model, tmp_path):
    _fill(store, make_model)
    shutil.copytree(store.root, tmp_path / "copy")
    keys = [layout.event_key("acme/tiny", number) for number in (1, 2)]
    shutil.copyfile(store.root / keys[1], tmp_path / "copy" / keys[0])
    _put(store, keys[0], b"{")
    repaired = repair(store, [tmp_path / "copy"])
    assert repaired.mended == () and [f.key for f in repaired.lost] == [keys[0]]
    assert store.backend.read(keys[0]) == b"{"


def test_a_blob_of_another_size_than_its_manifest_says_is_named(store, make_model):
    handle = publish(store, make_model(), "acme", "tiny", blobs={}, facts={}).handle
    manifest = store.manifest(handle)
    size_bytes = manifest.archive.size_bytes
    lying = replace(manifest, archive=replace(manifest.archive, size_bytes=size_bytes + 1))
    store.manifest_path(handle).write_text(lying.to_json())
    (found,) = check_store(store).damage
    assert (found.kind, found.key) == (Kind.DAMAGED, layout.blob_key(manifest.archive.digest))
    assert found.sentence == f"acme/tiny/1 says {size_bytes + 1} bytes."


def test_a_check_at_any_moment_of_gc_or_of_a_publishing_finds_no_damage(fresh, make_model):
    def collect_all(store: Store) -> None:
        collect(store, grace=NOW)

    def publish_another(store: Store) -> None:
        publish(store, make_model("another"), "acme", "tiny", blobs={"b.json": b"[2]"}, facts={})

    for beside in (collect_all, publish_another):
        reached = [True]
        while reached[-1]:
            store = fresh()
            publish(store, make_model(), "acme", "tiny", blobs={"a.json": b"[1]"}, facts={})
            _leave_blobs(store, make_model("orphan"))
            hooked = _Hooked(store.backend, lambda s=store, b=beside: b(s), len(reached) - 1)
            assert check_store(Store(hooked)).damage == []
            reached.append(hooked.was_reached)
        assert len(reached) > 5


class _ListedBefore:
    """A backend whose listing went past one object's folder before that object came."""

    def __init__(self, inner: Any, key: str) -> None:
        self._inner, self._key = inner, key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def list(self, prefix: str = "") -> Any:
        return (entry for entry in self._inner.list(prefix) if entry.key != self._key)


def test_a_blob_that_came_while_the_store_was_listed_is_not_missing(fresh, make_model):
    store = fresh()
    handle = publish(store, make_model(), "acme", "tiny", blobs={"a.json": b"[1]"}, facts={}).handle
    key = layout.blob_key(store.manifest(handle).archive.digest)
    assert check_store(Store(_ListedBefore(store.backend, key)), grace=NOW).findings == ()
    store.backend.delete(key)
    assert [f.key for f in check_store(Store(_ListedBefore(store.backend, key))).damage] == [key]


def test_a_repair_ends_where_nothing_gets_better(store, make_model, tmp_path):
    """A manifest that lies about a size makes its archive damaged for ever, whatever good copy is put in its place."""
    handle = publish(store, make_model(), "acme", "tiny", blobs={}, facts={}).handle
    manifest = store.manifest(handle)
    shutil.copytree(store.root, tmp_path / "copy")
    lying = replace(manifest, archive=replace(manifest.archive, size_bytes=manifest.archive.size_bytes + 1))
    store.manifest_path(handle).write_text(lying.to_json())
    # In a process of its own, with a limit: one that never ends would keep all tests from ending.
    program = (
        "import sys; from piecehub.store.catalog import Store; from piecehub.store.repair import repair; "
        "repaired = repair(Store.open(sys.argv[1]), [sys.argv[2]]); print(len(repaired.mended), len(repaired.lost))"
    )
    command = [sys.executable, "-P", "-c", program, str(store.root), str(tmp_path / "copy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["0", "1"]
