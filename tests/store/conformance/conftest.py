"""The servers of the suite, and the stores behind them.

    pytest tests/store/conformance                                              our servers, over POSIX and S3
    pytest tests/store/conformance --base-url URL --expected FILE [--feature F …]   any server

A test asks for the fixture `server`, and marks what it needs: `pytest.mark.needs("range")`. It runs on the servers
that promise it, and is not there for the others.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from piecehub.facts.content import list_files
from piecehub.facts.handle import Handle
from piecehub.store import curate
from piecehub.store.catalog import Store
from piecehub.store.publish import publish
from tests.store import engines
from tests.store.conformance import servers
from tests.store.conformance.expected import Expected, Version
from tests.store.conformance.servers import Server
from tests.store.engines import Engine
from tests.store.hub_client import HubClient

KINDS = {
    f"{program} over {place}": features
    for place in ("posix", "s3", *engines.ENGINES)
    for program, features in servers.KINDS.items()
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options for a server that somebody else runs."""
    parser.addoption("--base-url", help="The address of a server; needs --expected.")
    parser.addoption("--expected", type=Path, help="What tests/store/conformance/expected.py wrote of its store.")
    parser.addoption("--feature", action="append", default=[], help=f"Of {sorted(servers.EVERYTHING)}; default: all.")


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line("markers", "needs(*features): what a server must promise for this test")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The servers that promise what the test needs."""
    if "server" not in metafunc.fixturenames:
        return
    needed = {feature for mark in metafunc.definition.iter_markers("needs") for feature in mark.args}
    assert needed <= servers.EVERYTHING, needed
    url = metafunc.config.getoption("--base-url", default=None)
    kinds = {url: _promised(metafunc.config)} if url else KINDS
    promised = [name for name, features in kinds.items() if needed <= features]
    # Object stores of others are built by hand, so they wait for the long run.
    names = [
        pytest.param(name, marks=pytest.mark.long) if name.partition(" over ")[2] in engines.ENGINES else name
        for name in promised
    ]
    metafunc.parametrize("server", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def models(client: HubClient, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A SavedModel, and others that differ from it in a file of `assets.extra`."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "vocabulary.txt").write_text("one\ntwo\n")
    made = [client.save(folder / f"model-{number}", folder / "vocabulary.txt") for number in range(3)]
    for number, model in enumerate(made):
        (model / "assets.extra" / "deep" / "er").mkdir(parents=True)
        (model / "assets.extra" / "deep" / "er" / "note.txt").write_text(f"model {number} größer")
        (model / "assets.extra" / ("long" * 30)).write_bytes(b"long")
        (model / "assets.extra" / "empty").write_bytes(b"")
    assert len({tuple(list_files(model)) for model in made}) == 3
    return made


@pytest.fixture(scope="session")
def fill(
    models: list[Path], start_engine: Callable[[str], Engine], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Store]]:
    """Makes the store of a place, with the same versions everywhere; once."""
    filled: dict[str, Store] = {}

    with pytest.MonkeyPatch.context() as patch:

        def make(place: str) -> Store:
            uri = str(tmp_path_factory.mktemp("store") / "store")
            if place != "posix":
                engine = start_engine(place)
                uri = f"{engine.uri}/conformance"
                # The servers of one place run after another, and read these while they do.
                for name, value in engine.variables(engine.endpoint).items():
                    patch.setenv(name, value)
            if place not in filled:
                filled[place] = _fill(Store.create(uri), models)
            return filled[place]

        yield make


def _fill(store: Store, models: list[Path]) -> Store:
    """Four versions: one old, one yanked, one quarantined, the newest; and a model beside."""
    page = {"documentation.md": b"# Module acme/vision/tiny/1\n\nA tiny one.\n", "evidence/digits/plot.svg": b"<svg/>"}
    for number in (0, 1, 2, 0):
        publish(store, models[number], "acme", "vision/tiny", blobs=page, facts={"number": number})
    publish(store, models[1], "acme", "vision", blobs={"model.sig": b"{}", "provenance.dsse.json": b"[]"}, facts={})
    curate.yank(store, Handle("acme", "vision/tiny", 2), by="anna", why="labels were swapped")
    curate.quarantine(store, Handle("acme", "vision/tiny", 3), by="anna", why="leaks names")
    return store


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server after the other."""
    if "://" in request.param:
        path = request.config.getoption("--expected")
        assert path, "Expected --expected FILE beside --base-url; tests/store/conformance/expected.py writes it."
        yield Server(request.param.rstrip("/"), _promised(request.config), Expected.read(path))
        return
    program, _, place = request.param.partition(" over ")
    if program == "nginx" and servers.nginx_program() is None:
        pytest.skip("this machine has no nginx; on Debian: apt-get install nginx-light")
    store: Store = request.getfixturevalue("fill")(place)
    with servers.MAKERS[program](store, tmp_path_factory.mktemp("server")) as url:
        yield Server(url, KINDS[request.param], Expected.of(store))


def _promised(config: pytest.Config) -> frozenset[str]:
    return frozenset(config.getoption("--feature") or servers.EVERYTHING) | servers.BASIC


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """A client of the server that follows no redirect and decodes nothing."""
    headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=30) as found:
        yield found


@pytest.fixture
def newest(server: Server) -> Version:
    """The newest version of a model that has several."""
    versions = server.expected.versions
    return next(v for v in versions if v.is_newest and sum(w.model == v.model for w in versions) > 1)
