"""The hosting protocol, spoken over loopback with a real server."""

import asyncio
import base64
import hashlib
import http.client
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse

from piecehub.facts.handle import RESERVED_PUBLISHERS, Handle
from piecehub.facts.workdir import Workdir
from piecehub.store import curate
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from piecehub.store.server import hub_routes
from piecehub.ui.app import create_app
from tests.loopback import served

COMPRESSED = {"tf-hub-format": "compressed"}


@pytest.fixture
def hub(store, make_model, store_url):
    """A client of a store with acme/vision/tiny 1 and 2."""
    for number in (1, 2):
        blobs = {"documentation.md": f"# Tiny {number} größer".encode()}
        publish(store, make_model(f"model {number}"), "acme", "vision/tiny", blobs=blobs, facts={})
    with httpx.Client(base_url=store_url, trust_env=False) as client:
        yield client


def _archive(store: Store, version: int) -> bytes:
    return store.blob_path(store.manifest(Handle("acme", "vision/tiny", version)).archive.digest).read_bytes()


def test_the_archive_comes_in_chunks_with_its_digest(hub, store):
    answer = hub.get("/acme/vision/tiny/1", params=COMPRESSED)
    body, sha256 = _archive(store, 1), hashlib.sha256(_archive(store, 1))
    assert answer.status_code == 200 and answer.content == body
    assert answer.headers["transfer-encoding"] == "chunked" and "content-length" not in answer.headers
    assert answer.headers["content-type"] == "application/gzip" and "content-encoding" not in answer.headers
    assert answer.headers["etag"] == f'"sha256:{sha256.hexdigest()}"'
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(sha256.digest()).decode()}:"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_a_slash_at_the_end_or_another_parameter_changes_nothing(hub, store):
    for url in (
        "/acme/vision/tiny/1/?tf-hub-format=compressed",
        "/acme/vision/tiny/1?token=a&tf-hub-format=compressed",
    ):
        assert hub.get(url).content == _archive(store, 1)


def test_known_bytes_are_not_sent_again(hub):
    etag = hub.head("/acme/vision/tiny/1", params=COMPRESSED).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = hub.get("/acme/vision/tiny/1", params=COMPRESSED, headers={"If-None-Match": known})
        assert answer.status_code == 304 and answer.content == b"" and answer.headers["etag"] == etag
    other = hub.get("/acme/vision/tiny/2", params=COMPRESSED, headers={"If-None-Match": etag})
    assert other.status_code == 200 and other.headers["etag"] != etag


def test_a_range_is_a_part_with_its_length(hub, store):
    body = _archive(store, 1)
    etag = hub.head("/acme/vision/tiny/1", params=COMPRESSED).headers["etag"]
    for condition in ({}, {"If-Range": etag}):
        answer = hub.get("/acme/vision/tiny/1", params=COMPRESSED, headers={"Range": "bytes=10-19", **condition})
        assert answer.status_code == 206 and answer.content == body[10:20]
        assert answer.headers["content-range"] == f"bytes 10-19/{len(body)}"
        assert answer.headers["content-length"] == "10" and answer.headers["etag"] == etag
    answer = hub.get("/acme/vision/tiny/1", params=COMPRESSED, headers={"Range": "bytes=10-", "If-Range": '"old"'})
    assert answer.status_code == 200 and answer.content == body
    beyond = hub.get("/acme/vision/tiny/1", params=COMPRESSED, headers={"Range": f"bytes={len(body)}-"})
    assert beyond.status_code == 416


def test_head_tells_the_length_and_sends_nothing(hub, store):
    answer = hub.head("/acme/vision/tiny/1", params=COMPRESSED)
    assert answer.status_code == 200 and answer.content == b""
    assert answer.headers["content-length"] == str(len(_archive(store, 1)))


def test_without_a_version_the_newest_is_served_and_asked_for_again(hub, store):
    answer = hub.get("/acme/vision/tiny", params=COMPRESSED)
    assert answer.content == _archive(store, 2) and answer.headers["cache-control"] == "no-cache"
    page = hub.get("/acme/vision/tiny")
    assert page.status_code == 302 and page.headers["location"] == "/acme/vision/tiny/2"


def test_people_get_the_documentation(hub):
    answer = hub.get("/acme/vision/tiny/1")
    assert answer.status_code == 200 and answer.text == "# Tiny 1 größer"
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"


def test_the_page_can_be_drawn_by_another_room(store, make_model):
    async def document(request, manifest):
        return PlainTextResponse(f"page of {manifest.handle}")

    publish(store, make_model(), "acme", "tiny", blobs={}, facts={})

    async def ask(routes):
        transport = httpx.ASGITransport(app=Starlette(routes=routes))
        async with httpx.AsyncClient(transport=transport, base_url="http://store") as client:
            return await client.get("/acme/tiny/1")

    assert asyncio.run(ask(hub_routes(lambda: store, document))).text == "page of acme/tiny/1"
    bare = asyncio.run(ask(hub_routes(lambda: store, None)))
    assert bare.status_code == 404 and "Expected documentation" in bare.text


@pytest.mark.parametrize(
    "url",
    [
        "/acme/vision/tiny/3",
        "/acme/vision/tiny/0",
        "/acme/vision/tiny/01",
        "/acme/vision/tiny/1/2",
        "/acme/vision/tiny/" + "9" * 6000,
        "/acme/vision",
        "/acme/1",
        "/other/tiny/1",
        "/ACME/vision/tiny/1",
        "/api/tiny/1",
        "/acme/..%2f..%2f..%2fstore.json",
        "/acme/%2e%2e/%2e%2e/store.json",
        "/..%2f..%2fetc/passwd",
        "/acme/vision/tiny/1/manifest.json",
        "/blobs/sha256/ab",
        "/acme/vi%00sion/1",
        "/acme/vision/tiny/1?tf-hub-format=uncompressed",
        "/acme/vision/tiny/1?tf-hub-format=zip",
    ],
)
def test_what_is_not_published_is_one_sentence(url, hub):
    for suffix in ("", "" if "?" in url else "?tf-hub-format=compressed"):
        answer = hub.get(url + suffix)
        assert answer.status_code == 404
        assert answer.text.startswith("Expected") and "Received:" in answer.text and "\n" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_only_reading_is_allowed(method, hub):
    for url in (
        "/acme/vision/tiny/1?tf-hub-format=compressed",
        "/acme/vision/tiny",
        "/api/v1/models",
        "/api/v1/models/acme/vision/tiny",
        "/healthz",
    ):
        assert hub.request(method, url).status_code == 405


def test_a_yanked_version_is_served_to_those_who_name_it(hub, store):
    curate.yank(store, Handle("acme", "vision/tiny", 2), by="anna", why="labels were swapped")
    assert hub.get("/acme/vision/tiny", params=COMPRESSED).content == _archive(store, 1)
    assert hub.get("/acme/vision/tiny").headers["location"] == "/acme/vision/tiny/1"
    assert [m["name"] for m in hub.get("/api/v1/models").json()] == ["acme/vision/tiny/1"]
    for params in (COMPRESSED, {}):
        answer = hub.get("/acme/vision/tiny/2", params=params)
        assert answer.status_code == 200 and 1.7e9 < float(answer.headers["deprecation"].removeprefix("@")) < 1e10
        assert "deprecation" not in hub.get("/acme/vision/tiny/1", params=params).headers
    assert hub.get("/acme/vision/tiny/2", params=COMPRESSED).content == _archive(store, 2)


def test_a_quarantined_version_is_gone_and_says_why(hub, store):
    for number in (2, 1):
        curate.quarantine(store, Handle("acme", "vision/tiny", number), by="anna", why="leaks names")
        for params in (COMPRESSED, {}):
            answer = hub.get(f"/acme/vision/tiny/{number}", params=params)
            assert answer.status_code == 410 and answer.text.endswith(": leaks names")
            assert hub.head(f"/acme/vision/tiny/{number}", params=params).status_code == 410
    assert hub.get("/acme/vision/tiny", params=COMPRESSED).status_code == 404
    curate.release(store, Handle("acme", "vision/tiny", 1), by="anna", why="it does not")
    assert hub.get("/acme/vision/tiny/1", params=COMPRESSED).content == _archive(store, 1)


def test_machines_get_every_version_of_a_model_with_its_status(hub, store):
    curate.yank(store, Handle("acme", "vision/tiny", 2), by="anna", why="old")
    curate.set_alias(store, Handle("acme", "vision/tiny", 1), "champion", by="anna", why="best")
    assert hub.get("/api/v1/models/acme/vision/tiny").json() == {
        "name": "acme/vision/tiny",
        "newest": 1,
        "aliases": {"champion": 1},
        "versions": [
            {"version": 1, "status": "published", "why": ""},
            {"version": 2, "status": "yanked", "why": "old"},
        ],
    }
    for unknown in ("acme/vision", "acme/other", "ACME/x", "acme/..%2f.."):
        assert hub.get(f"/api/v1/models/{unknown}").status_code == 404


def test_a_store_in_a_bucket_is_served_alike(s3_uri, make_model):
    store = Store.create(s3_uri)
    publish(store, make_model(), "acme", "tiny", blobs={"documentation.md": b"# Tiny"}, facts={})
    body = store.read_blob(store.newest("acme", "tiny").archive.digest)
    with served(s3_uri) as url, httpx.Client(base_url=url, trust_env=False) as client:
        whole = client.get("/acme/tiny/1", params=COMPRESSED)
        assert whole.content == body and whole.headers["transfer-encoding"] == "chunked"
        head = client.head("/acme/tiny/1", params=COMPRESSED)
        assert head.content == b"" and head.headers["content-length"] == str(len(body))
        etag = whole.headers["etag"]
        for asked, part in [("bytes=10-19", body[10:20]), ("bytes=10-", body[10:]), (f"bytes=5-{10**9}", body[5:])]:
            answer = client.get("/acme/tiny/1", params=COMPRESSED, headers={"Range": asked, "If-Range": etag})
            assert answer.status_code == 206 and answer.content == part
            start = 5 if asked.startswith("bytes=5") else 10
            assert answer.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{len(body)}"
        for ignored in (
            {"Range": "bytes=1-2", "If-Range": '"old"'},
            {"Range": "bytes=0-1,4-5"},
            {"Range": "lines=1-2"},
        ):
            answer = client.get("/acme/tiny/1", params=COMPRESSED, headers=ignored)
            assert answer.status_code == 200 and answer.content == body
        beyond = client.get("/acme/tiny/1", params=COMPRESSED, headers={"Range": f"bytes={len(body)}-"})
        assert beyond.status_code == 416 and beyond.headers["content-range"] == f"bytes */{len(body)}"
        assert client.get("/acme/tiny/1", headers={"Accept": "*/*"}).text == "# Tiny"
        assert client.get("/acme/tiny/1", params=COMPRESSED, headers={"If-None-Match": etag}).status_code == 304


def test_no_publisher_can_hide_a_route_of_the_server(tmp_path):
    paths = [route.path for route in create_app(Workdir(tmp_path)).routes]
    firsts = {path.split("/")[1] for path in paths} - {"", "{publisher}"}
    assert {"api", "models", "runs"} <= firsts <= RESERVED_PUBLISHERS


def test_machines_get_health_and_the_list(hub, store, store_url):
    assert hub.get("/healthz").json() == {"status": "ok"}
    listed = hub.get("/api/v1/models").json()
    assert [m["name"] for m in listed] == ["acme/vision/tiny/2", "acme/vision/tiny/1"]
    newest = store.newest("acme", "vision/tiny")
    assert listed[0] == {
        "name": "acme/vision/tiny/2",
        "handle": f"{store_url}/acme/vision/tiny/2",
        "digest": newest.digest,
        "published_at": newest.published_at,
        "status": "published",
    }


def test_a_store_that_does_not_exist_yet_serves_nothing(store_url, store):
    with httpx.Client(base_url=store_url, trust_env=False) as client:
        assert client.get("/api/v1/models").json() == []
        assert client.get("/acme/tiny/1", params=COMPRESSED).status_code == 404
    assert not store.root.exists()


def test_a_damaged_store_says_so_and_never_sends_half_an_archive(hub, store):
    path = store.blob_path(store.newest("acme", "vision/tiny").archive.digest)
    path.write_bytes(path.read_bytes()[:100])
    answers = [hub.get("/acme/vision/tiny/2", params=COMPRESSED)]
    path.unlink()
    answers.append(hub.get("/acme/vision/tiny/2", params=COMPRESSED))
    store.manifest_path(store.newest("acme", "vision/tiny").handle).write_text("{")
    answers.append(hub.get("/acme/vision/tiny/2", params=COMPRESSED))
    for entry in list(store.backend.list("index")):  # with it, lists need no manifest
        store.backend.delete(entry.key)
    answers.append(hub.get("/api/v1/models"))
    (store.root / "store.json").write_text("{")
    answers.append(hub.get("/acme/vision/tiny/1", params=COMPRESSED))
    for answer in answers:
        assert answer.status_code == 500 and answer.text.startswith("Expected") and str(store.root) not in answer.text


def test_a_client_that_stops_reading_leaves_the_server_well(hub, store, store_url):
    for _ in range(5):
        connection = http.client.HTTPConnection(urlsplit(store_url).netloc, timeout=5)
        connection.request("GET", "/acme/vision/tiny/1?tf-hub-format=compressed")
        assert connection.getresponse().read(10)
        connection.close()
    assert hub.get("/acme/vision/tiny/1", params=COMPRESSED).content == _archive(store, 1)
