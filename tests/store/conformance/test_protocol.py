"""The hosting protocol by HTTP: rows of the table in docs/serving.md, each on every server that promises it."""

import base64
import gzip
import hashlib
import http.client
import io
import tarfile
from datetime import datetime
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import pytest

COMPRESSED = "tf-hub-format=compressed"
needs = pytest.mark.needs


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_every_version_is_sent_as_it_was_published(server, http):
    for version in server.expected.served:
        answer = http.get(f"/{version.name}?{COMPRESSED}")
        assert answer.status_code == 200 and _sha256(answer.content) == version.archive_sha256
        assert "content-encoding" not in answer.headers


def test_the_client_s_own_headers_get_it(server, newest):
    """H1: what urllib sends, on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    sent = {"Accept-Encoding": "identity", "User-Agent": "Python-urllib/3.11", "Connection": "close"}
    connection.request("GET", f"{urlsplit(server.url).path}/{newest.name}?{COMPRESSED}", headers=sent)
    answer = connection.getresponse()
    assert answer.status == 200 and _sha256(answer.read()) == newest.archive_sha256
    connection.close()


def test_other_parameters_change_nothing(server, http, newest):
    """H2: the client keeps the query of a handle."""
    for query in (f"token=a%2Fb&{COMPRESSED}", f"{COMPRESSED}&x=1"):
        assert _sha256(http.get(f"/{newest.name}?{query}").content) == newest.archive_sha256


def test_archives_keep_the_rules_of_the_client(server, http):
    """H8 to H11, H23: one gzip member; folders before their files; no links; the model at the root and last."""
    for version in server.expected.served:
        body = http.get(f"/{version.name}?{COMPRESSED}").content
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(body))) as tar:
            members = tar.getmembers()
            found = {m.name: _sha256(tar.extractfile(m).read()) for m in members if m.isfile()}
        assert found == version.files and all(m.isfile() or m.isdir() for m in members)
        seen = {"."}
        for member in members:
            assert str(PurePosixPath(member.name).parent) in seen
            seen |= {member.name} if member.isdir() else set()
        assert members[-1].name == "saved_model.pb"


@pytest.mark.parametrize(
    "path",
    [
        "{model}/9999",
        "{model}/0",
        "{model}/01",
        "{model}/{version}/saved_model.pb",
        "nobody/nothing/1",
        "{model}/..%2f..%2f..%2fstore.json",
        "..%2f..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "{model}/%2e%2e/%2e%2e/store.json",
    ],
)
def test_what_is_not_there_is_404_with_or_without_the_query(path, server, http, newest):
    """H5; 400 for what is no path at all."""
    asked = path.format(model=newest.model, version=newest.name.rpartition("/")[2])
    for query in ("", f"?{COMPRESSED}"):
        answer = http.get(f"/{asked}{query}")
        assert answer.status_code in (404, 400) and b"root:" not in answer.content, answer.status_code


def test_what_nobody_may_have_is_not_sent(server, http):
    for version in server.expected.versions:
        if version.is_gone:
            answer = http.get(f"/{version.name}?{COMPRESSED}")
            assert answer.status_code in (404, 410) and _sha256(answer.content) != version.archive_sha256


@needs("read_only")  # Python's http.server gives no answer at all to a zero byte
def test_a_zero_byte_is_refused(server, http, newest):
    assert http.get(f"/{newest.name}%00?{COMPRESSED}").status_code in (400, 404)


@needs("gone")
def test_it_is_gone_and_the_reason_is_told(server, http):
    gone = [version for version in server.expected.versions if version.is_gone]
    for version in gone:
        for path in (f"/{version.name}?{COMPRESSED}", f"/{version.name}", f"/api/v1/models/{version.name}/manifest"):
            answer = http.get(path)
            assert answer.status_code == 410 and answer.text.strip().endswith(f": {version.why}")


@needs("chunked")
def test_the_archive_comes_in_chunks(server, newest):
    """H7: of a chunked body the client notices every cut."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("GET", f"{urlsplit(server.url).path}/{newest.name}?{COMPRESSED}")
    answer = connection.getresponse()
    assert answer.getheader("Transfer-Encoding") == "chunked" and answer.getheader("Content-Length") is None
    assert _sha256(answer.read()) == newest.archive_sha256
    connection.close()


@needs("slash")
def test_a_slash_at_the_end_changes_nothing(server, http, newest):
    """H16: it is another handle for the client, and the same version."""
    assert _sha256(http.get(f"/{newest.name}/?{COMPRESSED}").content) == newest.archive_sha256


@needs("newest")
def test_without_a_version_the_newest_is_sent_and_asked_for_again(server, http, newest):
    """H21."""
    answer = http.get(f"/{newest.model}?{COMPRESSED}")
    assert _sha256(answer.content) == newest.archive_sha256 and answer.headers["cache-control"] == "no-cache"
    assert http.get(f"/{newest.model}").status_code in (200, 302)


@needs("to_newest")
def test_people_are_sent_to_the_newest_page(server, http, newest):
    answer = http.get(f"/{newest.model}")
    assert answer.status_code == 302 and answer.headers["location"].endswith(f"/{newest.name}")


@needs("immutable")
def test_a_version_may_be_kept_for_ever(server, http, newest):
    assert http.get(f"/{newest.name}?{COMPRESSED}").headers["cache-control"] == "public, max-age=31536000, immutable"


@needs("range")
def test_parts_are_sent_with_their_length(server, http, newest):
    url = f"/{newest.name}?{COMPRESSED}"
    body, size = http.get(url).content, newest.archive_bytes
    for asked, part in [("bytes=10-19", body[10:20]), ("bytes=10-", body[10:]), (f"bytes=5-{10**9}", body[5:])]:
        answer = http.get(url, headers={"Range": asked})
        assert answer.status_code == 206 and answer.content == part
        start = int(asked[6:].split("-")[0])
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{size}"
        assert answer.headers["content-length"] == str(len(part))
    beyond = http.get(url, headers={"Range": f"bytes={size}-"})
    assert beyond.status_code == 416 and beyond.headers["content-range"] == f"bytes */{size}"


@needs("range")
def test_head_tells_the_length_and_sends_nothing(server, http, newest):
    answer = http.head(f"/{newest.name}?{COMPRESSED}")
    assert answer.status_code == 200 and answer.headers["content-length"] == str(newest.archive_bytes)
    assert answer.content == b""


@needs("etag", "range")
def test_a_part_of_another_file_is_never_sent(server, http, newest):
    url = f"/{newest.name}?{COMPRESSED}"
    etag = http.head(url).headers["etag"]
    assert http.get(url, headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206
    answer = http.get(url, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert answer.status_code == 200 and _sha256(answer.content) == newest.archive_sha256


@needs("etag")
def test_known_bytes_are_not_sent_again(server, http, newest):
    url = f"/{newest.name}?{COMPRESSED}"
    etag = http.get(url).headers["etag"]
    known = http.get(url, headers={"If-None-Match": etag})
    assert known.status_code == 304 and known.content == b""
    assert http.get(url, headers={"If-None-Match": '"another"'}).status_code == 200


@needs("last_modified")
def test_known_bytes_are_not_sent_again_by_date(server, http, newest):
    url = f"/{newest.name}?{COMPRESSED}"
    at = http.get(url).headers["last-modified"]
    assert http.get(url, headers={"If-Modified-Since": at}).status_code == 304


@needs("digest")
def test_the_digest_is_told(server, http, newest):
    answer = http.get(f"/{newest.name}?{COMPRESSED}")
    assert answer.headers["etag"] == f'"sha256:{newest.archive_sha256}"'
    encoded = base64.b64encode(bytes.fromhex(newest.archive_sha256)).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{encoded}:"


@needs("page")
def test_the_same_address_shows_a_page(server, http, newest):
    """H21."""
    answer = http.get(f"/{newest.name}", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/")
    assert answer.text.strip() and _sha256(answer.content) != newest.archive_sha256


@needs("json")
def test_the_same_address_answers_machines(server, http, newest):
    value = http.get(f"/{newest.name}", headers={"Accept": "application/json"}).json()
    assert value == http.get(f"/api/v1/models/{newest.name}").json()
    assert value["archive"]["digest"] == f"sha256:{newest.archive_sha256}" and value["status"] == newest.status


@needs("lists")
def test_lists_tell_what_there_is_to_take_and_the_status_of_all(server, http):
    listed = http.get("/api/v1/models").json()
    assert {row["name"] for row in listed} == server.expected.listed
    moments = [datetime.fromisoformat(row["published_at"]) for row in listed]
    assert moments == sorted(moments, reverse=True)
    for version in server.expected.versions:
        rows = http.get(f"/api/v1/models/{version.model}").json()["versions"]
        assert [(r["status"], r["why"]) for r in rows if f"{version.model}/{r['version']}" == version.name] == [
            (version.status, version.why)
        ]
    assert http.get("/healthz").json() == {"status": "ok"}


@needs("manifest")
def test_manifests_come_byte_for_byte(server, http):
    for version in server.expected.served:
        assert _sha256(http.get(f"/api/v1/models/{version.name}/manifest").content) == version.manifest_sha256


@needs("blobs")
def test_blobs_are_had_by_digest_and_by_title(server, http):
    for version in server.expected.served:
        for title, digest in version.blobs.items():
            for name in (digest, title):
                answer = http.get(f"/api/v1/models/{version.name}/blobs/{name}")
                assert answer.status_code == 200 and f"sha256:{_sha256(answer.content)}" == digest
        files = {row["path"]: row["sha256"] for row in http.get(f"/api/v1/models/{version.name}/files").json()}
        assert files == version.files
        for what, title in (("signature", "model.sig"), ("provenance", "provenance.dsse.json")):
            answer = http.get(f"/api/v1/models/{version.name}/{what}")
            assert f"sha256:{_sha256(answer.content)}" == version.blobs[title] if title in version.blobs else True
        unknown = http.get(f"/api/v1/models/{version.name}/blobs/sha256:{'0' * 64}")
        assert unknown.status_code == 404


@needs("read_only")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_only_reading_is_allowed(method, server, http, newest):
    for path in (f"/{newest.name}?{COMPRESSED}", f"/{newest.name}", "/api/v1/models"):
        assert http.request(method, path).status_code == 405


@needs("sentences")
def test_what_cannot_be_had_is_one_sentence(server, http, newest):
    for path in (f"/{newest.model}/9999", f"/{newest.name}?tf-hub-format=zip", f"/{newest.name}?tf-hub-format="):
        answer = http.get(path)
        assert answer.status_code == 404 and answer.text.startswith("Expected") and "Received:" in answer.text


@needs("deprecation")
def test_a_yanked_version_says_so(server, http):
    for version in server.expected.served:
        answer = http.get(f"/{version.name}?{COMPRESSED}")
        assert ("deprecation" in answer.headers) == (version.status == "yanked")
