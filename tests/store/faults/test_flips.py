"""Single bits that flip in stored objects: `fsck` and `verify` name the object, and no reader gets other bytes."""

import random
from contextlib import suppress

import pytest

from piecehub.errors import PiecehubError, StoreError
from piecehub.facts.handle import Handle
from piecehub.signing.trust import Trust
from piecehub.signing.verify import verify_version
from piecehub.store import curate, layout
from piecehub.store.catalog import Store
from piecehub.store.fsck import check_store
from piecehub.store.publish import publish
from piecehub.store.shelf import StoreShelf
from tests.signing.conftest import pairs, published  # noqa: F401  a fixture


def _fill(store: Store, model) -> None:
    blobs = {"documentation.md": "# größer\n".encode() * 30, "evidence.json": b'{"gain": 0.25}'}
    publish(store, model, "acme", "tiny", blobs=blobs, facts={"text": "größer"})
    curate.yank(store, Handle("acme", "tiny", 1), by="anna", why="old")
    curate.set_alias(
        store, publish(store, model, "acme", "other", blobs={}, facts={}).handle, "champion", by="a", why="b"
    )


def _put(store: Store, key: str, data: bytes) -> None:
    with store.backend.staging() as staging:
        (staging / "file").write_bytes(data)
        store.backend.put(key, staging / "file")


def _read(store: Store, key: str) -> object:
    """What a reader gets of that object; raises StoreError if it is told that something is wrong."""
    if (digest := layout.blob_digest(key)) is not None:
        return store.read_blob(digest)
    if (place := layout.manifest_place(key)) is not None:
        return store.find(Handle.parse(f"{place[0]}/{place[1]}"))
    if (event := layout.event_place(key)) is not None:
        return store.state(*event[0].split("/", 1))
    return Store.open(store.root)


def _campaign(flips, store, model, campaign):
    counted = campaign("single bits flipped in every stored object", "folder")
    _fill(store, model)
    generator = random.Random(11)
    # Of the index, which nobody relies on, tests/store/test_index.py tells.
    stored = [e.key for e in store.backend.list() if e.key.split("/")[0] not in ("tmp", layout.INDEX)]
    whole = {key: store.backend.read(key) or b"" for key in stored}
    assert {key.split("/")[0] for key in whole} == {"blobs", "m", "store.json"}
    for key, data in whole.items():
        places, right = range(len(data) * 8), _read(store, key)
        for place in generator.sample(places, min(flips, len(places))):
            flipped = bytearray(data)
            flipped[place // 8] ^= 1 << place % 8
            _put(store, key, flipped)
            found = check_store(store).damage
            named = [(f.key, f.digest) for f in found] == [(key, layout.blob_digest(key) or "")]
            counted.outcomes["named by fsck" if named else "not named"] += 1
            if not named:
                counted.not_one.append(f"{key} bit {place}: {found}")
            # Some flips leave the meaning: a space in store.json, a letter in the name of the seal.
            with suppress(StoreError):
                if _read(store, key) != right:
                    counted.wrong.append(f"{key} bit {place} was read as another")
        _put(store, key, data)
    assert check_store(store).damage == []
    counted.conclude(at_least=len(whole) * min(flips, 100))


def _verify_campaign(flips, store, model, key, campaign):
    """Of a signed version: archive, documents, signature, provenance, key, and the manifest that names them."""
    counted = campaign("single bits flipped in every object of a signed version", "folder")
    manifest, trust = published(store, model, key), Trust.in_key(key.public)
    names = {layout.blob_key(blob.digest): blob.digest for blob in (manifest.archive, *manifest.blobs)}
    names[layout.manifest_key(manifest.handle)] = str(manifest.handle)
    generator = random.Random(12)
    for at, name in names.items():
        data = store.backend.read(at)
        for place in generator.sample(range(len(data) * 8), min(flips, len(data) * 8)):
            flipped = bytearray(data)
            flipped[place // 8] ^= 1 << place % 8
            _put(store, at, flipped)
            try:
                verify_version(StoreShelf(store), manifest.handle, trust)
                counted.wrong.append(f"{at} bit {place} was verified")
            except PiecehubError as error:
                named = name in error.sentence and error.exit_code == 1
                counted.outcomes["named by verify" if named else "refused"] += 1
                if not named:
                    counted.not_one.append(f"{at} bit {place}: {error.sentence}")
        _put(store, at, data)
    verify_version(StoreShelf(store), manifest.handle, trust)
    counted.conclude(at_least=len(names) * min(flips, 100))


def test_some_flipped_bits_of_a_signed_version_are_named(store, make_model, pairs, campaign):  # noqa: F811
    _verify_campaign(6, store, make_model(), pairs[0], campaign)


@pytest.mark.long
def test_many_flipped_bits_of_a_signed_version_are_named(store, make_model, pairs, campaign):  # noqa: F811
    _verify_campaign(400, store, make_model(), pairs[0], campaign)


def test_some_flipped_bits_are_named(store, make_model, campaign):
    _campaign(6, store, make_model(), campaign)


@pytest.mark.long
def test_many_flipped_bits_are_named(store, make_model, campaign):
    _campaign(400, store, make_model(), campaign)
