"""A small model folder, a store, and a real server on loopback."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from piecehub.store.catalog import Store
from piecehub.store.server import hub_routes

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
    app = Starlette(routes=[*hub_routes(lambda: Store.open(store.root))])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)
