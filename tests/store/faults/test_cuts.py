"""Downloads that break off at every member's boundary, for the unmodified client: its cache stays clean.

The control shows that the cuts are real: from a server that tells the length, which this client does not compare, some
of them stand in its cache for ever.
"""

import io
import shutil
import tarfile
import zlib

import httpx
import pytest

from piecehub.facts.content import list_files
from piecehub.store.archive import Compression
from piecehub.store.publish import publish
from tests.loopback import served
from tests.store.conformance import servers
from tests.store.faults.conftest import make_model
from tests.store.faults.cutting_proxy import cutting_proxy
from tests.store.hub_client import HubError


def _cuts(archive: bytes) -> list[int]:
    """After how many bytes of the archive the tar ends at a member's boundary, or within the header behind it."""
    plain = zlib.decompress(archive, 31)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        offsets = [member.offset for member in tar.getmembers()]
        offsets.append(tar.offset)
    wanted = [offset for offset in offsets if offset]
    cuts: list[int] = []
    inflate, size = zlib.decompressobj(31), 0
    for position in range(len(archive)):
        size += len(inflate.decompress(archive[position : position + 1]))
        while wanted and size >= wanted[0]:
            cuts.append(position + 1)
            wanted.pop(0)
    return cuts


def _frame(body_bytes: int) -> int:
    """What stands before the first byte of a chunk on the wire."""
    return len(f"{body_bytes:x}\r\n")


def _campaign(url, wire, client, model, scratch, counted):
    """Each cut, then the whole: an error and a clean cache, then the model."""
    with cutting_proxy(url) as (address, cut):
        for after in wire:
            cache = scratch / "cache"
            cut.after_bytes = after
            try:
                client.resolve(f"{address}/acme/tiny/1", cache)
                ended = "was taken for whole"
            except HubError as error:
                ended = error.name
            left = [path.name for path in cache.glob("*")] if cache.exists() else []
            cut.after_bytes = None
            try:
                found = list_files(client.resolve(f"{address}/acme/tiny/1", cache))
            except HubError as error:
                found = str(error)
            counted.outcomes[f"{ended}, {'cache poisoned' if left else 'cache clean'}"] += 1
            if left or found != list_files(model):
                counted.wrong.append(f"cut after {after} bytes: {ended}, {left}, {found}"[:400])
            shutil.rmtree(cache)


def _published(store, tmp_path, compression):
    """A version, and its archive's bytes."""
    model = make_model(tmp_path / "model", "cut me")
    for number in range(4):
        (model / "assets").mkdir(exist_ok=True)
        (model / "assets" / f"words-{number}.txt").write_text(f"word {number}\n" * 50)
    published = publish(store, model, "acme", "tiny", blobs={}, facts={}, compression=compression)
    return model, store.read_blob(store.manifest(published.handle).archive.digest)


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("program", ["piecehub serve", "nginx"])
def test_a_cut_never_poisons_the_cache(program, compression, store, client, tmp_path, campaign):
    if program == "nginx" and servers.nginx_program() is None:
        pytest.skip("this machine has no nginx; on Debian: apt-get install nginx-light")
    counted = campaign(f"download cut at every member's boundary, hub client, {compression}", program)
    model, archive = _published(store, tmp_path, compression)
    with served(store.root) if program == "piecehub serve" else servers.nginx(store, tmp_path) as url:
        first = _first_chunk(url)
        # Chunks of other sizes shift what follows, so each boundary is also tried some bytes later.
        wire = [_frame(first) + cut + more for cut in _cuts(archive) for more in (0, 1, 200)]
        _campaign(url, [after for after in wire if after < len(archive)], client, model, tmp_path, counted)
    counted.conclude(at_least=15)


def test_the_control_is_poisoned(store, client, tmp_path, campaign):
    """A server that tells the length: the reason for the chunks. Not counted as ours."""
    counted = campaign("control", "http.server")
    counted.folder = None
    model, archive = _published(store, tmp_path, Compression.STORE)
    with servers.plain(store, tmp_path) as url:
        _campaign(url, _cuts(archive)[:-1], client, model, tmp_path, counted)
    assert any("was taken for whole, cache poisoned" in outcome for outcome in counted.outcomes), counted


def _first_chunk(url: str) -> int:
    """How many bytes the server sends in its first chunk."""
    with (
        httpx.Client(trust_env=False) as http,
        http.stream("GET", f"{url}/acme/tiny/1?tf-hub-format=compressed") as answer,
    ):
        assert answer.headers["transfer-encoding"] == "chunked"
        return len(next(answer.iter_raw()))
