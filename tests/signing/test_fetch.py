"""`fetch`: the hub client's cache gets what was verified, or nothing."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from piecehub.errors import (
    ArchiveError,
    EnvironmentProblem,
    NoSpace,
    NotVerified,
    PiecehubError,
    RecipeError,
    StoreError,
)
from piecehub.facts.content import list_files, sha256_bytes
from piecehub.facts.manifest import Blob
from piecehub.signing.fetch import Fetched, fetch
from piecehub.signing.hub_cache import check_cache, entry_name
from piecehub.signing.trust import Trust
from piecehub.signing.verify import verify_version
from piecehub.store import archive
from piecehub.store.shelf import Address, ServerShelf
from piecehub.store.tokens import Tokens
from tests.full_disk import full
from tests.loopback import Answer, answering, served
from tests.signing.conftest import Pair, World, published


def _answers(world: World) -> dict[str, Answer]:
    """What an honest server answers about the version."""
    base = f"/api/v1/models/{world.manifest.handle}"
    blobs = (world.manifest.archive, *world.manifest.blobs)
    found = {f"{base}/blobs/{b.digest}": world.store.blob_path(b.digest).read_bytes() for b in blobs}
    found[f"{base}/manifest"] = world.store.manifest_path(world.manifest.handle).read_bytes()
    return {path: (200, {}, body) for path, body in found.items()}


def _archive_route(world: World) -> str:
    return f"/api/v1/models/{world.manifest.handle}/blobs/{world.manifest.archive.digest}"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _fetch_from(answers: Mapping[str, Answer], world: World, cache: Path, trust: Trust | None = None) -> Fetched:
    with answering(answers) as url:
        return fetch(world.manifest.handle.url(url), cache, trust=trust)


def test_what_is_fetched_is_what_was_published_with_a_descriptor_and_nothing_else(world: World, cache: Path) -> None:
    with served(world.store.root) as url:
        handle = world.manifest.handle.url(url)
        done = fetch(handle, cache, trust=Trust.in_key(world.key.public))
        again = fetch(handle, cache)
    assert (done.created, again.created, again.digest) == (True, False, world.manifest.digest)
    assert done.signed and done.signed.fingerprint == Trust.in_key(world.key.public).keys[0].fingerprint
    assert list_files(done.entry) == list_files(world.model)
    name = hashlib.sha1(handle.encode()).hexdigest()
    assert sorted(path.name for path in cache.iterdir()) == [name, f"{name}.descriptor.txt"]
    first, *_ = (cache / f"{name}.descriptor.txt").read_text().splitlines()
    assert first == f"Module: {handle}"
    assert check_cache(cache) == []


def test_a_server_verifies_like_a_store(world: World, pairs: list[Pair]) -> None:
    with served(world.store.root) as url:
        shelf = ServerShelf(url)
        verdict = verify_version(shelf, world.manifest.handle, Trust.in_key(world.key.public))
        assert verdict.signed and verdict.digest == world.manifest.digest
        with pytest.raises(NotVerified, match="untrusted"):
            verify_version(shelf, world.manifest.handle, Trust.in_key(pairs[1].public))


def test_an_untrusted_signature_leaves_the_cache_as_it_was(world: World, pairs: list[Pair], cache: Path) -> None:
    with pytest.raises(NotVerified, match="valid but untrusted"):
        _fetch_from(_answers(world), world, cache, Trust.in_key(pairs[1].public))
    assert not cache.exists()


def test_an_archive_with_any_flipped_byte_or_cut_leaves_no_entry(world: World, cache: Path) -> None:
    answers, route = _answers(world), _archive_route(world)
    whole = answers[route][2]
    damaged = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (0, len(whole) // 2, len(whole) - 1)]
    for body in (*damaged, whole[:-1], b"", whole[: len(whole) // 2]):
        with pytest.raises(NotVerified, match=r"Expected 'model\.tar\.gz' with the digest"):
            _fetch_from(answers | {route: (200, {}, body)}, world, cache)
        assert list(cache.iterdir()) == []
    _fetch_from(answers, world, cache)


def test_more_bytes_than_the_manifest_says_are_not_taken(world: World, cache: Path) -> None:
    answers, route = _answers(world), _archive_route(world)
    with pytest.raises(ArchiveError, match=f"at most {world.manifest.archive.size_bytes} bytes"):
        _fetch_from(answers | {route: (200, {}, answers[route][2] + b"\0" * 10_000_000)}, world, cache)
    with (
        answering(answers) as url,
        pytest.raises(NotVerified, match="at most 100 bytes"),
    ):
        fetch(world.manifest.handle.url(url), cache, max_bytes=100)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_an_answer_that_ends_early_is_the_servers_problem(world: World, cache: Path) -> None:
    answers, route = _answers(world), _archive_route(world)
    body = answers[route][2]
    cut = (200, {"Content-Length": str(len(body))}, body[:-5])
    with pytest.raises(PiecehubError, match=r"IncompleteRead|digest"):
        _fetch_from(answers | {route: cut}, world, cache)
    assert list(cache.iterdir()) == []


def test_an_archive_of_other_files_under_its_right_digest_leaves_no_entry(
    world: World, make_model: Callable[[str], Path], cache: Path, tmp_path: Path
) -> None:
    packed = archive.pack(make_model("hostile"), tmp_path / "hostile.tar.gz")
    blob = Blob("model.tar.gz", f"sha256:{packed.sha256}", packed.size_bytes)
    unsigned = tuple(b for b in world.manifest.blobs if b.title == "documentation.md")
    forged = replace(world.manifest, archive=blob, blobs=unsigned)
    base = f"/api/v1/models/{world.manifest.handle}"
    answers = {
        f"{base}/manifest": (200, {}, forged.to_json().encode()),
        f"{base}/blobs/{blob.digest}": (200, {}, (tmp_path / "hostile.tar.gz").read_bytes()),
    }
    with pytest.raises(PiecehubError, match=r"Expected the files of|beyond them"):
        _fetch_from(answers, world, cache)
    assert list(cache.iterdir()) == []


def test_a_manifest_of_another_version_is_refused(world: World, cache: Path) -> None:
    other = published(world.store, world.model, world.key, "other")
    answers = _answers(world)
    text = world.store.manifest_path(other.handle).read_bytes()
    answers[f"/api/v1/models/{world.manifest.handle}/manifest"] = (200, {}, text)
    with pytest.raises(NotVerified, match=r"Expected the manifest of 'acme/tiny/1'"):
        _fetch_from(answers, world, cache)
    answers[f"/api/v1/models/{world.manifest.handle}/manifest"] = (200, {}, b"<html>")
    with pytest.raises(StoreError, match="Expected the manifest of 'acme/tiny/1' as it was written"):
        _fetch_from(answers, world, cache)


def test_what_lies_in_the_cache_is_compared_and_never_written_over(world: World, cache: Path) -> None:
    with served(world.store.root) as url:
        handle = world.manifest.handle.url(url)
        entry = cache / entry_name(handle)
        entry.mkdir(parents=True)  # the client takes an empty folder for nothing, and so do we
        assert fetch(handle, cache).created
        (entry / "saved_model.pb").write_bytes(b"poison")
        with pytest.raises(NotVerified, match="cache doctor --purge"):
            fetch(handle, cache)
    assert (entry / "saved_model.pb").read_bytes() == b"poison"


def test_many_processes_may_fetch_at_once(world: World, cache: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with served(world.store.root) as url, ThreadPoolExecutor(8) as pool:
        handle = world.manifest.handle.url(url)
        done = list(pool.map(lambda _: fetch(handle, cache), range(8)))
    assert len({found.entry for found in done}) == 1
    assert list_files(done[0].entry) == list_files(world.model)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://host/acme/tiny",
        "http://host/acme/tiny/1?token=secret-token",
        "http://user:secret-token@host/acme/tiny/1",
        "http://host/acme/tiny/1#part",
        "ftp://host/acme/tiny/1",
        "acme/tiny/1",
    ],
)
def test_an_address_that_is_no_version_alone_is_refused_without_its_secrets(url: str, cache: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        fetch(url, cache)
    assert "secret" not in caught.value.sentence
    assert not cache.exists()


def test_a_store_below_a_path_is_found_if_its_server_is_named() -> None:
    address = Address.parse("https://host/hub/acme/vision/tiny/3", "https://host/hub")
    assert (address.server, str(address.handle)) == ("https://host/hub", "acme/vision/tiny/3")
    assert Address.parse("https://host/acme/vision/tiny/3").server == "https://host"
    with pytest.raises(RecipeError, match="below 'https://other'"):
        Address.parse("https://host/acme/tiny/3", "https://other")


def test_a_private_publisher_needs_the_token_and_the_token_is_written_nowhere(world: World, cache: Path) -> None:
    tokens = Tokens({"acme": (sha256_bytes(b"open-sesame"),)})
    with served(world.store.root, tokens) as url:
        handle = world.manifest.handle.url(url)
        for token in ("", "wrong"):
            with pytest.raises(EnvironmentProblem, match="status 401"):
                fetch(handle, cache, token=token)
        done = fetch(handle, cache, token="open-sesame", trust=Trust.in_key(world.key.public))
    assert list_files(done.entry) == list_files(world.model)
    for path in cache.rglob("*"):
        assert path.is_dir() or b"open-sesame" not in path.read_bytes()


def test_a_token_does_not_go_along_with_a_redirect(world: World, cache: Path) -> None:
    seen_there: list[tuple[str, str]] = []
    seen_here: list[tuple[str, str]] = []
    with answering(_answers(world), seen_there) as there:
        elsewhere = {path: (302, {"Location": f"{there}{path}"}, b"") for path in _answers(world)}
        with answering(elsewhere, seen_here) as here:
            fetch(world.manifest.handle.url(here), cache, token="open-sesame")
    assert {token for _, token in seen_here} == {"Bearer open-sesame"}
    assert {token for _, token in seen_there} == {""}


def test_a_token_is_not_sent_over_the_open_network_without_tls(cache: Path) -> None:
    with pytest.raises(RecipeError, match="Expected https for a token") as caught:
        fetch("http://models.example/acme/tiny/1", cache, token="open-sesame")
    assert "sesame" not in caught.value.sentence


_CLIENT = """
import sys
import tensorflow as tf
import tensorflow_hub as hub

class Tiny(tf.Module):
    def __init__(self):
        self.scale = tf.Variable([1.0, 2.0], name="scale")

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def __call__(self, inputs):
        return inputs * self.scale

tf.saved_model.save(Tiny(), sys.argv[1])
print("saved", flush=True)
model = hub.load(input())
print(model(tf.constant([[3.0, 4.0]])).numpy().tolist())
"""


@pytest.mark.heavy
def test_after_it_the_unmodified_client_loads_with_the_server_stopped(
    world: World, tmp_path: Path, cache: Path
) -> None:
    environment = os.environ | {"TFHUB_CACHE_DIR": str(cache), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-P", "-c", _CLIENT, str(tmp_path / "tiny")]
    with subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as client:
        handle = ""
        if client.stdout.readline() == "saved\n":
            manifest = published(world.store, tmp_path / "tiny", world.key, "real")
            with served(world.store.root) as url:
                handle = manifest.handle.url(url)
                assert fetch(handle, cache, trust=Trust.in_key(world.key.public)).created
        out, err = client.communicate(handle, timeout=240)
    assert (client.returncode, out.strip()) == (0, "[[3.0, 8.0]]"), err[-2000:]
    assert not re.search("Downloading", err)


@pytest.mark.parametrize("room", [0, 100, 3000])
def test_a_full_disk_leaves_the_cache_as_it_was_and_the_next_fetch_fills_it(
    world: World, cache: Path, room: int
) -> None:
    with served(world.store.root) as url:
        handle = world.manifest.handle.url(url)
        cache.mkdir()
        with full(cache, room), pytest.raises(NoSpace, match="Received: no space left on device; free some"):
            fetch(handle, cache)
        assert list(cache.iterdir()) == []
        assert fetch(handle, cache).created
    assert check_cache(cache) == []
