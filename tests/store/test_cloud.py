"""Buckets: lost answers, servers that cannot be trusted, and many processes at once."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from piecehub.errors import EnvironmentProblem, StoreError
from piecehub.store import archive
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from tests.loopback import answering
from tests.store.faulty_proxy import faulty_proxy


@pytest.fixture
def through_proxy(s3_endpoint, s3_uri, s3_variables):
    """The uri of a store behind a proxy, and the faults that the proxy is to make."""
    faults: dict[str, list[str]] = {}
    with faulty_proxy(s3_endpoint, faults) as endpoint:
        s3_variables(endpoint)
        yield s3_uri, faults


@pytest.mark.parametrize("kinds", [["lost"], ["unheard"], ["told 500"], ["lost", "told 503", "unheard"]])
def test_a_manifest_whose_answer_is_lost_is_published_once(kinds, through_proxy, make_model):
    uri, faults = through_proxy
    store = Store.create(uri)
    faults["manifest.json"] = list(kinds)
    published = publish(store, make_model(), "acme", "tiny", blobs={}, facts={})
    assert published.created and store.versions("acme", "tiny") == [1] and faults["manifest.json"] == []
    assert publish(store, make_model("other"), "acme", "tiny", blobs={}, facts={}).handle.version == 2


def test_a_refusal_after_a_lost_answer_is_not_taken_for_ours(through_proxy):
    """Somebody else's bytes stand there: the race is lost, whatever became of our first try."""
    uri, faults = through_proxy
    backend = Store.create(uri).backend
    faults["key"] = ["unheard", "unheard"]
    assert backend.create("other", b"theirs")
    assert backend.create("key", b"ours") and faults["key"] == []
    faults["other"] = ["told 500"]
    assert not backend.create("other", b"ours") and backend.read("other") == b"theirs"


def test_a_server_that_never_answers_is_one_sentence(through_proxy, monkeypatch):
    uri, faults = through_proxy
    backend = Store.create(uri).backend
    monkeypatch.setattr("piecehub.store.cloud._FIRST_PAUSE_S", 0.001)
    faults["key"] = ["unheard"] * 99
    with pytest.raises(EnvironmentProblem, match=r"Expected to reach 's3://.*'\. Received: [^\n<]*; check the address"):
        backend.create("key", b"bytes")


def test_a_bucket_that_does_not_exist_is_one_sentence(s3_uri):
    for job in (lambda: Store.create("s3://nothing/store"), lambda: Store.open("s3://nothing/store").models()):
        with pytest.raises(EnvironmentProblem, match="Expected to reach 's3://nothing/store'"):
            job()


def test_a_server_that_ignores_conditions_is_refused(tmp_path, s3_variables):
    """`rclone serve s3` 1.75 answers 200 to every PUT with If-None-Match."""
    (tmp_path / "files" / "bucket").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    rclone = shutil.which("rclone", path=Path(sys.executable).parent)
    command = [rclone, "serve", "s3", "--addr", address, "--vfs-cache-mode", "off", str(tmp_path / "files")]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={"HOME": str(tmp_path)})
    try:
        s3_variables(f"http://{address}")
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex((address.split(":")[0], int(address.split(":")[1]))):
            assert time.monotonic() < deadline and server.poll() is None
            time.sleep(0.05)
        with pytest.raises(EnvironmentProblem, match="which overwrote an object that it was told to create"):
            Store.create("s3://bucket/store")
        assert Store.open("s3://bucket/store").backend.read("store.json") is None
    finally:
        server.terminate()
        server.wait(10)


RACER = """
import sys
from pathlib import Path
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
place = sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1])
for folder in sys.argv[2:]:
    print(publish(Store.create(place), Path(folder), "acme", "tiny", blobs={"a.json": b"{}"}, facts={}).handle.version)
"""


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_racing_processes_get_each_number_once(kind, tmp_path, make_model, request):
    place = str(tmp_path / "store") if kind == "folder" else request.getfixturevalue("s3_uri")
    models = [[str(make_model(f"content {p} {n}")) for n in range(4)] for p in range(4)]
    racers = [
        subprocess.Popen([sys.executable, "-P", "-c", RACER, place, *mine], stdout=subprocess.PIPE, text=True)
        for mine in models
    ]
    numbers = [int(line) for racer in racers for line in racer.communicate(timeout=120)[0].split()]
    assert sorted(numbers) == list(range(1, 17))
    store = Store.open(place)
    assert store.versions("acme", "tiny") == list(range(1, 17))
    for manifest in store.models():
        with store.blob_file(manifest.archive.digest) as path:
            archive.verify(path, manifest.files)


def test_a_flipped_blob_is_not_handed_out(s3_uri, make_model):
    store = Store.create(s3_uri)
    publish(store, make_model(), "acme", "tiny", blobs={"a.json": b"{}"}, facts={})
    manifest = store.newest("acme", "tiny")
    for blob in (manifest.archive, *manifest.blobs):
        key = f"blobs/sha256/{blob.digest[7:9]}/{blob.digest[7:]}"
        data = bytearray(store.backend.read(key))
        data[len(data) // 2] ^= 1
        with store.backend.staging() as staging:
            (staging / "x").write_bytes(data)
            store.backend.put(key, staging / "x")
        with pytest.raises(StoreError, match=f"Expected the bytes of {blob.digest}"):
            store.read_blob(blob.digest)
        with pytest.raises(StoreError, match=f"Expected the bytes of {blob.digest}"), store.blob_file(blob.digest):
            pass


def test_a_store_in_a_bucket_has_no_paths(s3_uri, make_model):
    store = Store.create(s3_uri)
    digest = store.manifest(publish(store, make_model(), "acme", "tiny", blobs={}, facts={}).handle).archive.digest
    with pytest.raises(StoreError, match="Expected a store in a folder"):
        store.blob_path(digest)


@pytest.mark.long
def test_a_gcs_server_that_lacks_the_xml_api_is_refused_in_one_sentence(engine_uri):
    """fake-gcs-server by itself: so the tests put a translation before it (gcs_in_xml.py)."""
    with pytest.raises(
        EnvironmentProblem, match=r"Expected to reach 'gs://stores/.*400 Bad Request.*check the address"
    ):
        Store.create(engine_uri("fake-gcs-server alone"))


_ASKS = """
import sys
from piecehub.store.cloud import open_bucket
bucket = open_bucket(sys.argv[1])
print(bucket.create("key", b"value"), bucket.read("key"))
"""


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("none_for", ["", "elsewhere.example"])
def test_a4_a_bucket_on_this_machine_is_not_asked_through_a_proxy_and_others_are(variable, none_for, s3_uri):
    through: list[tuple[str, str]] = []
    with answering({}, through) as proxy:
        variables = {**os.environ, "no_proxy": none_for, variable: proxy}
        command = [sys.executable, "-P", "-c", _ASKS, s3_uri]
        done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
        assert (done.stdout, through) == ("True b'value'\n", []), done.stderr
        variables["AWS_ENDPOINT_URL"] = "http://buckets.example"
        command[-2] = _ASKS.replace('bucket.create("key", b"value"), ', "")
        subprocess.run(command, capture_output=True, env=variables, timeout=60, check=False)
        assert through[0][0].startswith("http://buckets.example/")
