"""A store served on loopback, by a real server in a thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from piecehub.store.catalog import Store
from piecehub.store.server import hub_routes
from piecehub.store.tokens import Tokens


@contextmanager
def served(root: Path | str, tokens: Tokens | None = None) -> Iterator[str]:
    """The address at which the store at `root`, a folder or a uri, is served; it may be made later."""
    with serving(lambda: Store.open(root), tokens) as url:
        yield url


@contextmanager
def serving(open_store: Callable[[], Store], tokens: Tokens | None = None) -> Iterator[str]:
    """The address at which a store is served."""
    app = Starlette(routes=[*hub_routes(open_store, tokens=tokens)])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
