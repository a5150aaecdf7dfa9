"""What machines read: versions, manifests, blobs by digest; the copy on gs://; and damage on the way out."""

import hashlib
import http.client
import json
import threading
from urllib.parse import urlsplit

import httpx
import pytest
from obstore.store import MemoryStore
from starlette.applications import Starlette
from starlette.testclient import TestClient

from piecehub.errors import RecipeError
from piecehub.facts.content import list_files
from piecehub.facts.handle import Handle
from piecehub.facts.manifest import Manifest
from piecehub.store import archive, curate, expanded, layout
from piecehub.store.catalog import Store
from piecehub.store.cloud import BucketBackend
from piecehub.store.fsck import Kind, check_store
from piecehub.store.publish import publish
from piecehub.store.server import hub_routes

API = "/api/v1/models/acme/vision/tiny"
COMPRESSED = {"tf-hub-format": "compressed"}
BLOBS = {"documentation.md": b"# Tiny", "provenance.json": b'{"made": "of"}', "evidence/digits/plot.svg": b"<svg/>"}


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def hub(anywhere, model):
    """A client of a store, in each kind of place, with acme/vision/tiny/1."""
    publish(anywhere, model, "acme", "vision/tiny", blobs=BLOBS, facts={"fine_tunable": True})
    return TestClient(Starlette(routes=[*hub_routes(lambda: anywhere)]), base_url="http://hub.example")


def test_a_version_tells_everything_that_was_published(hub, anywhere, model):
    value = hub.get(f"{API}/1").json()
    manifest = anywhere.newest("acme", "vision/tiny")
    assert (value["name"], value["handle"]) == ("acme/vision/tiny/1", "http://hub.example/acme/vision/tiny/1")
    assert value["digest"] == manifest.digest and value["facts"] == {"fine_tunable": True}
    assert value["status"] == "published" and value["why"] == "" and value["aliases"] == []
    expected = [{"path": f.path, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in list_files(model)]
    assert value["files"] == hub.get(f"{API}/1/files").json() == expected
    for blob in (value["archive"], *value["blobs"]):
        answer = hub.get(blob["url"])
        assert f"sha256:{hashlib.sha256(answer.content).hexdigest()}" == blob["digest"]
        assert len(answer.content) == blob["size_bytes"] and answer.headers["content-type"].startswith(
            blob["media_type"]
        )
        assert hub.get(f"{API}/1/blobs/{blob['title']}").content == answer.content
        assert "sandbox" in answer.headers["content-security-policy"]
    assert {b["title"] for b in value["blobs"]} == BLOBS.keys()


def test_the_manifest_comes_byte_for_byte(hub, anywhere):
    answer = hub.get(f"{API}/1/manifest")
    assert answer.content == anywhere.backend.read(layout.manifest_key(Handle("acme", "vision/tiny", 1)))
    assert Manifest.from_json(answer.content) == anywhere.newest("acme", "vision/tiny")
    assert answer.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"
    etag = answer.headers["etag"]
    assert etag == f'"sha256:{hashlib.sha256(answer.content).hexdigest()}"'
    assert hub.get(f"{API}/1/manifest", headers={"If-None-Match": etag}).status_code == 304


def test_provenance_has_an_address_of_its_own(hub):
    assert hub.get(f"{API}/1/provenance").json() == {"made": "of"}
    assert hub.get(f"{API}/1/signature").status_code == 404


def test_the_handle_answers_in_json_to_who_accepts_only_that(hub):
    described = hub.get("/acme/vision/tiny/1", headers={"Accept": "application/json"})
    assert described.json() == hub.get(f"{API}/1").json() and described.headers["vary"] == "Accept"
    for accept in ("*/*", "text/html,application/json", "text/html"):
        assert hub.get("/acme/vision/tiny/1", headers={"Accept": accept}).text == "# Tiny"


def test_no_blob_of_another_version_is_had_through_this_one(hub, anywhere, make_model):
    publish(anywhere, make_model("other"), "acme", "other", blobs={"secret.txt": b"secret"}, facts={})
    digest = anywhere.newest("acme", "other").blob("secret.txt").digest
    assert hub.get(f"/api/v1/models/acme/other/1/blobs/{digest}").text == "secret"
    for name in (
        digest,
        "secret.txt",
        "sha256:" + "0" * 64,
        "",
        "..%2fmanifest",
        "..%2f..%2fstore.json",
        "/etc/passwd",
    ):
        answer = hub.get(f"{API}/1/blobs/{name}")
        assert answer.status_code == 404 and answer.text.startswith("Expected"), name
    for what in ("nothing", "manifest/more", "files/saved_model.pb", "provenance/x", "blobs"):
        assert hub.get(f"{API}/1/{what}").status_code == 404, what


def test_status_is_told_and_what_is_quarantined_is_gone(hub, anywhere):
    handle = Handle("acme", "vision/tiny", 1)
    curate.set_alias(anywhere, handle, "champion", by="anna", why="best")
    assert hub.get(f"{API}/1").json()["aliases"] == ["champion"]
    curate.yank(anywhere, handle, by="anna", why="labels were swapped")
    value = hub.get(f"{API}/1")
    assert (value.json()["status"], value.json()["why"]) == ("yanked", "labels were swapped")
    assert "deprecation" in value.headers and "deprecation" in hub.get(f"{API}/1/manifest").headers
    digest = anywhere.find(handle).archive.digest
    curate.quarantine(anywhere, handle, by="anna", why="leaks names")
    for path in ("", "/manifest", "/files", "/provenance", f"/blobs/{digest}"):
        answer = hub.get(f"{API}/1{path}")
        assert answer.status_code == 410 and answer.text.endswith(": leaks names"), path
    assert hub.get(API).json()["versions"] == [{"version": 1, "status": "quarantined", "why": "leaks names"}]


@pytest.fixture
def on_gs(make_model):
    """A store that says it lies on gs://, with acme/tiny/1."""
    memory = MemoryStore()
    store = Store(BucketBackend("gs://bucket/some/store", memory, memory)).made()
    publish(store, make_model(), "acme", "tiny", blobs={}, facts={})
    return store


def test_an_expanded_copy_on_gs_is_what_uncompressed_answers_with(on_gs, make_model):
    hub = TestClient(Starlette(routes=[*hub_routes(lambda: on_gs)]), follow_redirects=False)
    manifest = on_gs.newest("acme", "tiny")
    assert hub.get("/acme/tiny/1?tf-hub-format=uncompressed").status_code == 404
    place = expanded.expand(on_gs, manifest)
    assert place == f"gs://bucket/some/store/expanded/{manifest.digest.removeprefix('sha256:')}"
    for path in ("/acme/tiny/1", "/acme/tiny"):
        answer = hub.get(f"{path}?tf-hub-format=uncompressed")
        # No Location: urllib would raise where it names gs://; and no line end: the client takes it for the path's.
        assert (answer.status_code, answer.text) == (303, place) and "location" not in answer.headers
    folder = place.removeprefix("gs://bucket/some/store/")
    for file in list_files(make_model()):
        assert hashlib.sha256(on_gs.backend.read(f"{folder}/{file.path}")).hexdigest() == file.sha256
    assert check_store(on_gs).findings == ()
    on_gs.backend.delete(f"{folder}/saved_model.pb")
    assert hub.get("/acme/tiny/1?tf-hub-format=uncompressed").status_code == 404


def test_a_damaged_expanded_copy_is_named_and_written_again(on_gs):
    manifest = on_gs.newest("acme", "tiny")
    key = expanded.expand(on_gs, manifest).removeprefix("gs://bucket/some/store/") + "/assets/vocabulary.txt"
    for changed in (b"one\ntwO\n", b""):
        on_gs.backend.delete(key)
        on_gs.backend.create(key, changed)
        (found,) = check_store(on_gs).damage
        assert (found.kind, found.key) == (Kind.DAMAGED, key)
        expanded.expand(on_gs, manifest)
        assert check_store(on_gs).findings == ()


def test_a_copy_that_no_client_could_read_is_not_made(store, make_model):
    publish(store, make_model(), "acme", "tiny", blobs={}, facts={})
    with pytest.raises(RecipeError, match="Expected a store on gs://"):
        expanded.expand(store, store.newest("acme", "tiny"))


def test_a_flipped_archive_is_never_sent_to_its_end(store, store_url, make_model):
    """Flips that a client would not see: the answer is broken off, so that even urllib notices."""
    publish(store, make_model("x" * 9), "acme", "tiny", blobs={}, facts={})
    path = store.blob_path(store.newest("acme", "tiny").archive.digest)
    whole = path.read_bytes()
    for position in range(0, len(whole), max(len(whole) // 16, 1)):
        flipped = bytearray(whole)
        flipped[position] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(http.client.IncompleteRead):
            _read(store_url)
        path.write_bytes(whole)
        assert _read(store_url) == _read(store_url) == whole  # hashed, then known to be sound
        assert len(_read(store_url)) == len(whole)


def test_a_bucket_s_flipped_archive_is_never_sent_to_its_end(s3_uri, make_model):
    from tests.loopback import served

    store = Store.create(s3_uri)
    publish(store, make_model(), "acme", "tiny", blobs={}, facts={})
    key = layout.blob_key(store.newest("acme", "tiny").archive.digest)
    whole = store.backend.read(key)
    with served(s3_uri) as url:
        assert _read(url) == whole
        with store.backend.staging() as staging:
            (staging / "x").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            store.backend.put(key, staging / "x")
        with pytest.raises(http.client.IncompleteRead):
            _read(url)


def test_an_archive_that_shrinks_while_it_is_sent_is_broken_off(store, store_url, tmp_path):
    """More than the sockets' buffers hold, so that the server is still reading when the file is cut."""
    model = tmp_path / "large"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(1_000_000)))
    publish(store, model, "acme", "tiny", blobs={}, facts={})
    path = store.blob_path(store.newest("acme", "tiny").archive.digest)
    assert len(_read(store_url)) == path.stat().st_size  # known to be sound from now on
    connection = http.client.HTTPConnection(urlsplit(store_url).netloc, timeout=30)
    connection.request("GET", "/acme/tiny/1?tf-hub-format=compressed")
    answer = connection.getresponse()
    assert answer.read(10)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    with pytest.raises(http.client.IncompleteRead):
        answer.read()


def _read(url: str) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("GET", "/acme/tiny/1?tf-hub-format=compressed", headers={"Accept-Encoding": "identity"})
        return connection.getresponse().read()
    finally:
        connection.close()


def test_many_readers_at_once_get_the_same_bytes(store, store_url, make_model):
    publish(store, make_model(), "acme", "tiny", blobs={}, facts={})
    bodies: list[bytes] = []
    threads = [threading.Thread(target=lambda: bodies.append(_read(store_url))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bodies) == 16 and set(bodies) == {store.read_blob(store.newest("acme", "tiny").archive.digest)}


def test_a_log_that_cannot_be_read_stops_the_api_too(store, store_url, make_model):
    handle = publish(store, make_model(), "acme", "tiny", blobs={}, facts={}).handle
    curate.yank(store, handle, by="anna", why="old")
    (store.root / layout.event_key("acme/tiny", 1)).write_text(json.dumps({"kind": "yank"}))
    with httpx.Client(base_url=store_url, trust_env=False) as client:
        for path in ("/api/v1/models/acme/tiny", "/api/v1/models/acme/tiny/1", "/acme/tiny/1?tf-hub-format=compressed"):
            assert client.get(path).status_code == 500, path


def test_archives_sent_unpack_to_what_was_published(hub, model, tmp_path):
    (tmp_path / "got.tar.gz").write_bytes(hub.get("/acme/vision/tiny/1", params=COMPRESSED).content)
    archive.unpack(tmp_path / "got.tar.gz", tmp_path / "back")
    assert list_files(tmp_path / "back") == list_files(model)
