"""The catalogue: what is there, what is not, and what is damaged."""

import json

import pytest

from piecehub.errors import RecipeError, StoreError
from piecehub.facts.handle import Handle
from piecehub.store.catalog import Store
from piecehub.store.publish import publish


def _publish(store, model, name="tiny", version=None):
    return publish(store, model, "acme", name, version=version, blobs={}, facts={}).handle


def test_a_store_that_does_not_exist_is_empty_and_stays_away(store):
    assert store.models() == [] and store.versions("acme", "tiny") == [] and store.newest("acme", "tiny") is None
    assert store.find(Handle("acme", "tiny", 1)) is None
    with pytest.raises(StoreError, match="Expected a published version"):
        store.manifest(Handle("acme", "tiny", 1))
    assert not store.root.exists()


def test_making_a_store_twice_changes_nothing(store):
    Store.create(store.root)
    before = (store.root / "store.json").read_bytes()
    assert Store.create(store.root) == store
    assert (store.root / "store.json").read_bytes() == before == b'{"schema": 1}\n'


@pytest.mark.parametrize("text", ['{"schema": 2}', "{", "[]", "{}"])
def test_a_layout_that_we_do_not_know_is_refused(text, store):
    store.root.mkdir()
    (store.root / "store.json").write_text(text)
    with pytest.raises(StoreError, match="Expected"):
        Store.open(store.root)
    with pytest.raises(StoreError):
        Store.create(store.root)


def test_the_newest_published_comes_first(store, make_model):
    published = [
        _publish(store, make_model(f"model {n}"), name, version)
        for n, (name, version) in enumerate([("tiny", 10), ("tiny/deep", 1), ("tiny", 9), ("tiny", 11)])
    ]
    assert [m.handle for m in store.models()] == published[::-1]
    assert store.versions("acme", "tiny") == [9, 10, 11] and store.versions("acme", "tiny/deep") == [1]
    assert store.newest("acme", "tiny").handle.version == 11


def test_only_folders_spelled_as_versions_count(store, make_model):
    handle = _publish(store, make_model())
    folder = store.manifest_path(handle).parent
    for name in ("01", "x", "٣", "2"):
        (folder.parent / name).mkdir()
    for name in ("01", "x"):
        (folder.parent / name / "manifest.json").write_text("{}")
    assert store.versions("acme", "tiny") == [1] and [m.handle for m in store.models()] == [handle]


@pytest.mark.parametrize(("publisher", "name"), [("..", "a"), ("acme", "../.."), ("acme", "/etc"), ("models", "a")])
def test_names_that_leave_the_store_are_refused(publisher, name, store):
    with pytest.raises(RecipeError):
        store.versions(publisher, name)


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../store.json", "sha256:" + "A" * 64, "md5:" + "a" * 64])
def test_only_digests_name_blobs(digest, store):
    with pytest.raises(StoreError, match="Expected a digest"):
        store.blob_path(digest)


def test_a_missing_blob_is_named(store, make_model):
    digest = store.manifest(_publish(store, make_model())).archive.digest
    store.blob_path(digest).unlink()
    with pytest.raises(StoreError, match=f"Expected the blob {digest}"):
        store.blob_path(digest)


def test_a_damaged_manifest_is_one_sentence(store, make_model):
    handle = _publish(store, make_model())
    path = store.manifest_path(handle)
    value = json.loads(path.read_text())
    value["model"]["files"][0]["sha256"] = "0" * 64
    for text in ("{", json.dumps(value), "[1]"):
        path.write_text(text)
        with pytest.raises(StoreError, match="Received: a damaged one"):
            store.manifest(handle)


def test_a_manifest_at_another_place_is_refused(store, make_model):
    handle = _publish(store, make_model())
    moved = store.manifest_path(Handle("acme", "tiny", 2))
    moved.parent.mkdir()
    store.manifest_path(handle).rename(moved)
    with pytest.raises(StoreError, match="Expected the manifest of acme/tiny/2"):
        store.newest("acme", "tiny")
