"""Models by their address: what is fetched, what is refused, and what is left."""

import contextlib
import io
import tarfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from piecehub.errors import ArchiveError, EnvironmentProblem, RecipeError
from piecehub.facts.manifest import DOCUMENTATION_TITLE
from piecehub.store import download as downloading
from piecehub.store.archive import pack
from piecehub.store.catalog import Store
from piecehub.store.download import download, fetch_file
from piecehub.store.publish import publish
from piecehub.store.source import find_saved_model


@contextmanager
def _server(
    answers: dict[str, tuple[int, dict[str, str], bytes]], tokens: list[str] | None = None
) -> Generator[tuple[str, list[str]], None, None]:
    """A server with fixed answers by path, and the paths that it was asked for; `tokens` gets what it was shown."""
    asked: list[str] = []
    tokens = [] if tokens is None else tokens

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            tokens.append(self.headers.get("Authorization", ""))
            status, headers, body = answers.get(self.path, (404, {}, b"not here"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"model")
    pack(folder, tmp_path / "made.tar.gz")
    return (tmp_path / "made.tar.gz").read_bytes()


def test_the_handle_is_asked_for_as_the_client_does(archive: bytes, tmp_path: Path) -> None:
    answers = {
        "/a/b/1?tf-hub-format=compressed": (200, {}, archive),
        "/a/b/1?token=x%2Fy&tf-hub-format=compressed": (200, {}, archive),
        "/old?tf-hub-format=compressed": (302, {"Location": "/files/model"}, b""),
        "/files/model": (200, {}, archive),
    }
    with _server(answers) as (url, asked):
        for number, handle in enumerate(("/a/b/1", "/a/b/1?token=x%2Fy#part", "/old")):
            download(url + handle, tmp_path / str(number))
            assert (tmp_path / str(number)).read_bytes() == archive
    assert asked == list(answers)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gs://bucket/model", "ftp://127.0.0.1/model", "s3://b/m"])
def test_only_http_is_spoken(url: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="http or https"):
        download(url, tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1:1/model", "gs://bucket/model"])
def test_a_redirect_out_of_the_web_is_not_followed(place: str, tmp_path: Path) -> None:
    with _server({"/m?tf-hub-format=compressed": (302, {"Location": place}, b"")}) as (url, asked):
        with pytest.raises(EnvironmentProblem, match="Expected a model at"):
            download(f"{url}/m", tmp_path / "model")
        assert asked == ["/m?tf-hub-format=compressed"]


def test_an_answer_without_end_is_cut_off(tmp_path: Path) -> None:
    with _server({"/m?tf-hub-format=compressed": (200, {}, bytes(5 << 20))}) as (url, _):
        with pytest.raises(ArchiveError, match="at most 4194304 bytes"):
            download(f"{url}/m", tmp_path / "model", max_bytes=4 << 20)
        assert (tmp_path / "model").stat().st_size <= 4 << 20


def test_a_server_that_is_not_there_or_has_no_such_model_is_one_sentence(tmp_path: Path) -> None:
    with _server({}) as (url, _), pytest.raises(EnvironmentProblem, match="status 404"):
        download(f"{url}/m", tmp_path / "model")
    with pytest.raises(EnvironmentProblem, match="Expected a model at"):
        download(f"{url}/m", tmp_path / "model")  # the server is gone by now


def test_what_a_server_gives_is_not_trusted_and_is_gone_afterwards(archive: bytes, tmp_path: Path) -> None:
    with _server({"/m?tf-hub-format=compressed": (200, {}, archive)}) as (url, _):
        with find_saved_model(f"{url}/m", tmp_path / "store") as source:
            assert (source.folder / "saved_model.pb").read_bytes() == b"model"
            assert not source.trusted and source.archive is not None and source.documentation == ""
        assert not source.folder.exists() and not source.archive.exists()


def test_a_hostile_answer_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("../evil")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    for body in (packed.getvalue(), b"<html>not found</html>", b""):
        with (
            _server({"/m?tf-hub-format=compressed": (200, {}, body)}) as (url, _),
            pytest.raises(ArchiveError),
            find_saved_model(f"{url}/m", tmp_path / "store"),
        ):
            pass


def test_a_folder_and_an_archive_of_anybody_are_not_trusted(archive: bytes, tmp_path: Path) -> None:
    del archive
    for name in ("made", "made.tar.gz"):
        with find_saved_model(str(tmp_path / name), tmp_path / "store") as source:
            assert not source.trusted
            assert (source.folder / "saved_model.pb").read_bytes() == b"model"


def test_what_stands_in_the_local_store_is_trusted_and_brings_its_page(archive: bytes, tmp_path: Path) -> None:
    del archive
    (tmp_path / "page.md").write_text("# Module a/b/1\n")
    blobs = {DOCUMENTATION_TITLE: tmp_path / "page.md"}
    publish(Store.create(tmp_path / "store"), tmp_path / "made", "a", "b", version=1, blobs=blobs, facts={})
    with find_saved_model("a/b/1", tmp_path / "store") as source:
        assert source.trusted
        assert source.documentation == "# Module a/b/1\n"
        assert (source.folder / "saved_model.pb").read_bytes() == b"model"
    with pytest.raises(RecipeError, match="or an address with http"), find_saved_model("nonsense", tmp_path / "store"):
        pass


_PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


@pytest.fixture
def set_proxy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets one variable of the environment, and no other one of proxies."""

    def set_it(**variables: str) -> None:
        for name in _PROXIES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_it


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a4_this_machine_is_never_asked_through_a_proxy(
    variable: str, host: str, set_proxy: Callable[..., None], tmp_path: Path
) -> None:
    told: list[str] = []
    with _server({"/m": (200, {}, b"direct")}) as (url, _), _server({}, told) as (proxy, through):
        set_proxy(**{variable: proxy})
        token = "t0ken" if host != "127.0.0.2" else ""  # nobody listens there, and the proxy must not hear of it either
        with contextlib.suppress(EnvironmentProblem):
            fetch_file(f"{url.replace('127.0.0.1', host)}/m", tmp_path / "m", max_bytes=100, token=token)
        assert (through, told) == ([], [])
        if token:
            assert (tmp_path / "m").read_bytes() == b"direct"


def test_a4_others_are_asked_through_the_proxy_without_a_token(set_proxy: Callable[..., None], tmp_path: Path) -> None:
    told: list[str] = []
    with _server({"http://models.example/m": (200, {}, b"proxied")}, told) as (proxy, through):
        for name in ("http_proxy", "HTTP_PROXY"):
            set_proxy(**{name: proxy})
            fetch_file("http://models.example/m", tmp_path / name, max_bytes=100)
            with pytest.raises(RecipeError, match="Expected https for a token"):
                fetch_file("http://models.example/m", tmp_path / "no", max_bytes=100, token="t0ken")
        assert through == ["http://models.example/m"] * 2 and told == ["", ""]


@pytest.mark.parametrize("address", ["http://models.example/m?token=t0ken", "http://u:t0ken@models.example/m"])
def test_a4_a_token_of_the_address_does_not_go_in_clear_either(
    address: str, set_proxy: Callable[..., None], tmp_path: Path
) -> None:
    with _server({}) as (proxy, through):
        set_proxy(http_proxy=proxy)
        with pytest.raises((RecipeError, EnvironmentProblem)) as refused:
            download(address, tmp_path / "m")
        assert through == []
        assert "https for a token" in refused.value.sentence and "t0ken" not in refused.value.sentence
        with (
            _server({"/r": (302, {"Location": address}, b"")}) as (url, _),
            pytest.raises(EnvironmentProblem) as redirected,
        ):
            fetch_file(f"{url}/r", tmp_path / "m", max_bytes=100)
        assert through == []
        assert "without TLS" in redirected.value.sentence and "t0ken" not in redirected.value.sentence


def test_a4_a_token_is_not_sent_along_with_a_redirect(set_proxy: Callable[..., None], tmp_path: Path) -> None:
    first: list[str] = []
    told: list[str] = []
    with (
        _server({"http://models.example/m": (200, {}, b"proxied")}, told) as (proxy, through),
        _server({"/r": (302, {"Location": "http://models.example/m"}, b"")}, first) as (url, _),
    ):
        set_proxy(http_proxy=proxy)
        fetch_file(f"{url}/r", tmp_path / "m", max_bytes=100, token="t0ken")
        assert through == ["http://models.example/m"]
        assert (first, told) == (["Bearer t0ken"], [""])


def test_e14_a_full_disk_is_named_and_not_the_server(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "_BLOCK_BYTES", 16)
    with _server({"/m": (200, {}, archive)}) as (url, _), pytest.raises(EnvironmentProblem) as raised:
        (tmp_path / "full").symlink_to("/dev/full")
        real = Path.open
        monkeypatch.setattr(Path, "open", lambda path, _mode, **more: real(path, "wb", **more))
        fetch_file(f"{url}/m", tmp_path / "full", max_bytes=1 << 20)
    assert "No space left on device" in raised.value.sentence
    assert "Expected room for a download" in raised.value.sentence and "check the address" not in raised.value.sentence
