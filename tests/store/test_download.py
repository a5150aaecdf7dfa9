"""Models by their address: what is fetched, what is refused, and what is left."""

import contextlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from piecehub.errors import ArchiveError, EnvironmentProblem, RecipeError
from piecehub.facts.manifest import DOCUMENTATION_TITLE
from piecehub.store import download as downloading
from piecehub.store.archive import pack
from piecehub.store.catalog import Store
from piecehub.store.download import download, fetch_file
from piecehub.store.publish import publish
from piecehub.store.source import find_saved_model
from tests.loopback import answering


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
    asked: list[tuple[str, str]] = []
    with answering(answers, asked) as url:
        for number, handle in enumerate(("/a/b/1", "/a/b/1?token=x%2Fy#part", "/old")):
            download(url + handle, tmp_path / str(number))
            assert (tmp_path / str(number)).read_bytes() == archive
    assert [path for path, _ in asked] == list(answers)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gs://bucket/model", "ftp://127.0.0.1/model", "s3://b/m"])
def test_only_http_is_spoken(url: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="http or https"):
        download(url, tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1:1/model", "gs://bucket/model"])
def test_a_redirect_out_of_the_web_is_not_followed(place: str, tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []
    with answering({"/m?tf-hub-format=compressed": (302, {"Location": place}, b"")}, asked) as url:
        with pytest.raises(EnvironmentProblem, match="Expected a model at"):
            download(f"{url}/m", tmp_path / "model")
        assert [path for path, _ in asked] == ["/m?tf-hub-format=compressed"]


def test_an_answer_without_end_is_cut_off(tmp_path: Path) -> None:
    with answering({"/m?tf-hub-format=compressed": (200, {}, bytes(5 << 20))}) as url:
        with pytest.raises(ArchiveError, match="at most 4194304 bytes"):
            download(f"{url}/m", tmp_path / "model", max_bytes=4 << 20)
        assert (tmp_path / "model").stat().st_size <= 4 << 20


def test_a_server_that_is_not_there_or_has_no_such_model_is_one_sentence(tmp_path: Path) -> None:
    with answering({}) as url, pytest.raises(EnvironmentProblem, match="status 404"):
        download(f"{url}/m", tmp_path / "model")
    with pytest.raises(EnvironmentProblem, match="Expected a model at"):
        download(f"{url}/m", tmp_path / "model")  # the server is gone by now


def test_what_a_server_gives_is_not_trusted_and_is_gone_afterwards(archive: bytes, tmp_path: Path) -> None:
    with answering({"/m?tf-hub-format=compressed": (200, {}, archive)}) as url:
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
            answering({"/m?tf-hub-format=compressed": (200, {}, body)}) as url,
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


Seen = list[tuple[str, str]]  # path and token of each question


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a4_this_machine_is_never_asked_through_a_proxy(
    variable: str, host: str, set_proxy: Callable[..., None], tmp_path: Path
) -> None:
    through: Seen = []
    with answering({"/m": (200, {}, b"direct")}) as url, answering({}, through) as proxy:
        set_proxy(**{variable: proxy})
        token = "t0ken" if host != "127.0.0.2" else ""  # nobody listens there, and the proxy must not hear of it either
        with contextlib.suppress(EnvironmentProblem):
            fetch_file(f"{url.replace('127.0.0.1', host)}/m", tmp_path / "m", max_bytes=100, token=token)
        assert through == []
        if token:
            assert (tmp_path / "m").read_bytes() == b"direct"


def test_a4_others_are_asked_through_the_proxy_without_a_token(set_proxy: Callable[..., None], tmp_path: Path) -> None:
    through: Seen = []
    with answering({"http://models.example/m": (200, {}, b"proxied")}, through) as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            set_proxy(**{name: proxy})
            fetch_file("http://models.example/m", tmp_path / name, max_bytes=100)
            with pytest.raises(RecipeError, match="Expected https for a token"):
                fetch_file("http://models.example/m", tmp_path / "no", max_bytes=100, token="t0ken")
        assert through == [("http://models.example/m", "")] * 2


@pytest.mark.parametrize("address", ["http://models.example/m?token=t0ken", "http://u:t0ken@models.example/m"])
def test_a4_a_token_of_the_address_does_not_go_in_clear_either(
    address: str, set_proxy: Callable[..., None], tmp_path: Path
) -> None:
    through: Seen = []
    with answering({}, through) as proxy:
        set_proxy(http_proxy=proxy)
        with pytest.raises((RecipeError, EnvironmentProblem)) as refused:
            download(address, tmp_path / "m")
        assert through == []
        assert "https for a token" in refused.value.sentence and "t0ken" not in refused.value.sentence
        with (
            answering({"/r": (302, {"Location": address}, b"")}) as url,
            pytest.raises(EnvironmentProblem) as redirected,
        ):
            fetch_file(f"{url}/r", tmp_path / "m", max_bytes=100)
        assert through == []
        assert "without TLS" in redirected.value.sentence and "t0ken" not in redirected.value.sentence


def test_a4_a_token_is_not_sent_along_with_a_redirect(set_proxy: Callable[..., None], tmp_path: Path) -> None:
    first: Seen = []
    through: Seen = []
    with (
        answering({"http://models.example/m": (200, {}, b"proxied")}, through) as proxy,
        answering({"/r": (302, {"Location": "http://models.example/m"}, b"")}, first) as url,
    ):
        set_proxy(http_proxy=proxy)
        fetch_file(f"{url}/r", tmp_path / "m", max_bytes=100, token="t0ken")
        assert through == [("http://models.example/m", "")]
        assert first == [("/r", "Bearer t0ken")]


def test_e14_a_full_disk_is_named_and_not_the_server(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "_BLOCK_BYTES", 16)
    with answering({"/m": (200, {}, archive)}) as url, pytest.raises(EnvironmentProblem) as raised:
        (tmp_path / "full").symlink_to("/dev/full")
        real = Path.open
        monkeypatch.setattr(Path, "open", lambda path, _mode, **more: real(path, "wb", **more))
        fetch_file(f"{url}/m", tmp_path / "full", max_bytes=1 << 20)
    said = raised.value.sentence
    assert "Expected room for what is written" in said and "no space left on device" in said
    assert "check the address" not in said
