"""A small model folder, a store, a real server on loopback, and stores in other places."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from piecehub.store.catalog import Store
from piecehub.store.cloud import BucketBackend
from tests.loopback import served
from tests.s3_server import running_s3
from tests.store import engines
from tests.store.engines import Engine
from tests.store.hub_client import HubClient, running_client

MakeModel = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Makes a folder that looks like a SavedModel; `text` decides its content."""

    def make(text: str = "weights", name: str = "") -> Path:
        folder = tmp_path / (name or f"model-{text[:20]}")
        for path, data in {
            "saved_model.pb": f"graph of {text}".encode() * 100,
            "fingerprint.pb": b"\x08\x01",
            "variables/variables.index": b"index",
            "variables/variables.data-00000-of-00001": text.encode() * 5000,
            "assets/vocabulary.txt": b"one\ntwo\n",
        }.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return folder

    return make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that does not exist yet."""
    return Store.open(tmp_path / "store")


@pytest.fixture
def store_url(store: Store) -> Iterator[str]:
    """The address at which `store` is served."""
    with served(store.root) as url:
        yield url


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server with one bucket, `bucket`."""
    with running_s3() as endpoint:
        yield endpoint


@pytest.fixture
def use_variables(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the library's variables for a server, or for a proxy in front of it."""

    def use(engine: Engine, address: str = "") -> None:
        for name, value in engine.variables(address or engine.endpoint).items():
            monkeypatch.setenv(name, value)

    return use


@pytest.fixture
def s3_variables(s3_endpoint: str, use_variables: Callable[..., None]) -> Callable[[str], None]:
    """Sets the library's variables for an endpoint that speaks S3."""
    return lambda endpoint: use_variables(_moto(s3_endpoint), endpoint)


def _moto(endpoint: str) -> Engine:
    return engines.s3("S3 (moto)", "s3://bucket", endpoint, "key", "secret")


@pytest.fixture
def s3_uri(engine_uri: Callable[[str], str]) -> str:
    """Where a store may be made on the S3 server."""
    return engine_uri("s3")


@pytest.fixture(scope="session")
def client() -> Iterator[HubClient]:
    """The unmodified client of tensorflow_hub; it takes its seconds to start, once."""
    with running_client() as found:
        yield found


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/store --place az://container`: runs the suite of every place on another one too."""
    parser.addoption("--place", action="append", default=[], help="A uri; credentials by the library's variables.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every kind of place for `anywhere`."""
    if "anywhere" in metafunc.fixturenames:
        places = ["folder", "s3", "memory", *(metafunc.config.getoption("--place", default=None) or [])]
        others = [pytest.param(name, marks=pytest.mark.long) for name in engines.ENGINES]
        metafunc.parametrize("anywhere", [*places, *others], indirect=True)


@pytest.fixture(scope="session")
def start_engine(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Engine]]:
    """The object store of a name, started once: `s3` is moto; skips where this machine has not that of others."""
    running = {"s3": _moto(s3_endpoint)}
    with ExitStack() as stack:

        def start(name: str) -> Engine:
            if name not in running:
                if reason := engines.missing(name):
                    pytest.skip(reason)
                start_it = (engines.ENGINES | engines.REFUSED)[name]
                running[name] = stack.enter_context(start_it(tmp_path_factory.mktemp("engine")))
            return running[name]

        yield start


@pytest.fixture
def engine_uri(start_engine: Callable[[str], Engine], use_variables: Callable[..., None]) -> Callable[[str], str]:
    """Where a store may be made on an object store; the library's variables lead there from then on."""

    def use(name: str) -> str:
        engine = start_engine(name)
        use_variables(engine)
        return f"{engine.uri}/{uuid.uuid4().hex}"

    return use


@pytest.fixture
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store that does not exist yet, in each kind of place."""
    if "://" in request.param:
        return Store.open(f"{request.param}/{uuid.uuid4().hex}")
    if request.param == "folder":
        return Store.open(tmp_path / "store")
    if request.param != "memory":
        return Store.open(request.getfixturevalue("engine_uri")(request.param))
    memory = MemoryStore()
    return Store(BucketBackend(f"memory://{uuid.uuid4().hex}", memory, memory))
